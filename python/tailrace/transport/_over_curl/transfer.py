"""One request under way in libcurl: the head and bytes of its response, and its cancellation."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from tailrace.errors import (
    LimitExceeded,
    TimeoutError,  # noqa: A004 - ours is the one that names its phase
)
from tailrace.transport._over_curl.failures import UNKNOWN_CODE, failed_request
from tailrace.transport._rules import (
    MOST_INTERIM_HEADS,
    is_interim,
    origin,
    too_many_interim_heads,
)

if TYPE_CHECKING:
    from curl_cffi import AsyncCurl, Curl

    from tailrace.errors import TailraceError
    from tailrace.transport._session import SessionOptions

__all__ = ["Transfer"]

# Bytes, and chunks, buffered for a busy reader before libcurl is paused. What libcurl has read by
# then it keeps in one piece.
_READ_BUFFER, _MOST_CHUNKS = 128 * 2**10, 512
_PAUSE = 0x10000001  # CURL_WRITEFUNC_PAUSE, which the package does not export
_CONTINUE = 0  # CURLPAUSE_CONT
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3}) ?(.*)")


class Transfer:
    """One request under way in libcurl, with the head of its response once `begin` has returned.

    `url`: the URL of the request in `handle`; `options`: its clocks and its proxy. The callbacks
    run within libcurl, so they only store data and wake the reader. The future of curl_cffi alone
    decides whether the transfer is over: it is done at once, while callbacks on it run a turn of
    the loop later.
    """

    def __init__(self, multi: AsyncCurl, handle: Curl, url: str, options: SessionOptions) -> None:
        from curl_cffi import CurlOpt  # noqa: PLC0415

        self.status: int = 0
        self.reason: str = ""
        self.headers: CIMultiDict[str] = CIMultiDict()
        self._multi = multi
        self._handle: Curl | None = handle  # None: cut
        self._url = url
        self._options = options
        self._end: asyncio.Future[None] | None = None
        self._head_is_in = False
        self._interim_heads = 0
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        handle.setopt(CurlOpt.HEADERFUNCTION, self._on_header)
        handle.setopt(CurlOpt.WRITEFUNCTION, self._on_data)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the transfer."""
        return self._multi.loop

    @property
    def code(self) -> int:
        """Libcurl's code of a transfer that is over; 0 for a clean end."""
        if self._end is None or self._end.cancelled():
            return UNKNOWN_CODE
        error = self._end.exception()
        return 0 if error is None else int(getattr(error, "code", 0) or UNKNOWN_CODE)

    async def begin(self) -> None:
        """Send the request and wait for the response's head.

        Raises the error of a failure before that, and `TimeoutError` (phase ``first byte``) when
        the head does not come in time.
        """
        assert self._handle is not None  # noqa: S101 - begin is the first call
        self._end = self._multi.add_handle(self._handle)
        self._end.add_done_callback(self._on_end)
        started = self.loop.time()
        seconds = self._options.timeouts.first_byte
        deadline = None if seconds is None else started + seconds
        while not self._is_answered():
            if await self._woken(deadline) or self._is_answered() or seconds is None:
                continue
            sent = self._seconds_until_sent()
            # Not sent yet: the deadline is at the earliest another first_byte away.
            deadline = (started + sent if sent else self.loop.time()) + seconds
            if deadline <= self.loop.time():
                raise TimeoutError("first byte", seconds, origin(self._url))
        if not self._head_is_in:
            raise self._failure()

    async def received(self) -> bytes:
        """Return the bytes that have come, at least one; ``b""`` when the transfer is over."""
        while not self._held:
            if self._is_over():
                return b""
            self._resume()
            if not self._held:
                await self._woken(None)
        data = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        return data

    def cut(self) -> None:
        """Remove the transfer from libcurl, which closes its connection unless it is over."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if self._end is not None and not self._end.done():
            self._multi.remove_handle(handle)  # which cancels the future
        handle.close()
        self._wake()

    def _is_over(self) -> bool:
        return self._handle is None or (self._end is not None and self._end.done())

    def _is_answered(self) -> bool:
        return self._head_is_in or self._has_too_many_heads() or self._is_over()

    def _has_too_many_heads(self) -> bool:
        return self._interim_heads > MOST_INTERIM_HEADS

    def _resume(self) -> None:
        if self._is_paused and self._handle is not None:
            self._is_paused = False
            self._handle.pause(_CONTINUE)

    async def _woken(self, deadline: float | None) -> bool:
        """Wait for a callback; False when `deadline` passed before one."""
        waiter = self._waiter = self.loop.create_future()
        timer = None if deadline is None else self.loop.call_at(deadline, _cancel, waiter)
        try:
            await asyncio.wait([waiter])
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return not waiter.cancelled()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _seconds_until_sent(self) -> float:
        """Return the seconds from the start until the request's last byte was sent.

        While the request is being sent, until its first byte; 0 before.
        """
        from curl_cffi import CurlInfo  # noqa: PLC0415

        assert self._handle is not None  # noqa: S101 - a transfer that was cut is over
        for moment in (CurlInfo.POSTTRANSFER_TIME_T, CurlInfo.PRETRANSFER_TIME_T):
            microseconds = self._handle.getinfo(moment)
            if isinstance(microseconds, int) and microseconds > 0:
                return microseconds / 1e6
        return 0.0

    def _failure(self) -> TailraceError:
        from curl_cffi import CurlInfo  # noqa: PLC0415

        if self._has_too_many_heads():
            return LimitExceeded(too_many_interim_heads(origin(self._url)))
        status = 0 if self._handle is None else self._handle.getinfo(CurlInfo.HTTP_CONNECTCODE)
        return failed_request(
            self.code,
            origin(self._url),
            self._options.proxy,
            connect_seconds=self._options.timeouts.connect,
            connect_status=status if isinstance(status, int) else 0,
        )

    def _on_header(self, line: bytes) -> int:
        if self._head_is_in:  # trailers
            return len(line)
        if match := _STATUS_LINE.match(line):
            self.status, self.reason = int(match[1]), match[2].decode("latin-1").strip()
            self.headers.clear()
        elif line.strip():
            name, _, value = line.partition(b":")
            self.headers.add(
                name.decode("latin-1").strip(), value.decode("utf-8", "surrogateescape").strip()
            )
        elif not is_interim(self.status):
            self._head_is_in = True
            self._wake()
        else:
            self._interim_heads += 1
        if self._has_too_many_heads():
            self._wake()
            return _PAUSE  # an error would not keep libcurl from going on with what it has read
        return len(line)

    def _on_data(self, data: bytes) -> int:
        if self._held_bytes >= _READ_BUFFER or len(self._held) >= _MOST_CHUNKS:
            self._is_paused = True
            return _PAUSE
        self._held.append(data)
        self._held_bytes += len(data)
        self._wake()
        return len(data)

    def _on_end(self, end: asyncio.Future[None]) -> None:
        if not end.cancelled():
            end.exception()  # or asyncio logs the failure of a transfer that was cut
        self._wake()


def _cancel(waiter: asyncio.Future[None]) -> None:
    waiter.cancel()
