"""Posts to one URL over aiohttp's connections, each answered whole.

One timer of the loop serves all posts under way.
"""

from __future__ import annotations

import asyncio
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from yarl import URL

from tailrace import errors
from tailrace.transport import _rules as rules
from tailrace.transport._answers import check_status
from tailrace.transport._cookies import Jar
from tailrace.transport._decoding import ACCEPT_ENCODING, decoder_for
from tailrace.transport._over_aiohttp.connections import (
    last_turns,
    pause_at_many_chunks,
    wake_when_lost,
)
from tailrace.transport._over_aiohttp.failures import failed_request
from tailrace.transport._over_aiohttp.prepared import PreparedPost, drop
from tailrace.transport._posting import Poster, WholeReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

    from tailrace.transport._base import Timeouts
    from tailrace.transport._decoding import ContentDecoder
    from tailrace.transport._session import SessionOptions

__all__ = ["AiohttpPoster"]

_PER_TURN = 256 * 2**10  # bytes unpacked between two turns of the loop


class AiohttpPoster(Poster):
    """Posts over a connector, without an HTTP proxy."""

    def __init__(
        self,
        connector: aiohttp.BaseConnector,
        url: str,
        headers: Mapping[str, str] | None,
        options: SessionOptions,
    ) -> None:
        """Post to `url` with `headers`, which override those of `options`."""
        target = rules.checked_url(url)
        signed = {"authorization": target.authorization} if target.authorization else {}
        self._url = target.url
        self._cap = options.limits.max_reply_bytes
        self._cookies = options.cookies
        self._headers = rules.merged_headers(
            rules.DEFAULT_HEADERS,
            {"accept-encoding": ACCEPT_ENCODING},
            signed,
            options.headers,
            rules.checked_headers(headers),
        )
        self._prepared = PreparedPost(
            connector,
            target.url,
            self._headers,
            Jar(options.cookies).filter_cookies(URL(target.url, encoded=True)),
        )
        self._clocks = _Clocks(options.timeouts, asyncio.get_running_loop())

    async def aclose(self) -> None:
        """See `Poster.aclose`."""
        self._clocks.close()

    async def post(self, body: bytes) -> WholeReply:
        """See `Poster.post`."""
        clock, where = self._clocks.begin(), rules.origin(self._url)
        failure: errors.TailraceError | None
        try:
            return await self._post(body, clock)
        except asyncio.CancelledError:
            failure = clock.error(where)
            clock.end()
            if failure is None:
                await last_turns()
                raise
        except errors.TailraceError as error:
            failure = clock.error(where) or error  # a library may make an error of a cancellation
        finally:
            clock.end()  # before anything is waited for: nothing here would take its cancellation
        await last_turns()
        raise self._concealed(failure)

    def _concealed(self, failure: errors.TailraceError) -> errors.TailraceError:
        """Take what was sent as a secret out of an error, which may quote what came back."""
        from tailrace._secrecy import SentSecrets  # noqa: PLC0415 - for posts that failed

        sent = SentSecrets.of_request(self._url, self._headers, self._cookies)
        return sent.out_of_error(failure)

    async def _post(self, body: bytes, clock: _Clock) -> WholeReply:
        failure: Exception
        try:
            connection = await self._prepared.connect()
        except Exception as error:  # noqa: BLE001 - any error of a library becomes one of ours
            failure = error
        else:
            try:
                reply = await self._exchanged(connection, body, clock)
            except errors.TailraceError:
                raise
            except Exception as error:  # noqa: BLE001 - the same
                failure = error
            else:
                if reply.failure is None and not _is_over(connection):
                    connection.release()
                return reply
            finally:
                drop(connection)  # unless it was released
        raise failed_request(failure, self._url, None)

    async def _exchanged(self, connection: Connection, body: bytes, clock: _Clock) -> WholeReply:
        protocol = connection.protocol
        assert protocol is not None  # noqa: S101 - of a connection that was not released
        message, payload = await self._prepared.answered(
            connection, body, partial(clock.start, "first byte")
        )
        headers: Any = message.headers
        check_status(self._url, message.code, headers)
        if rules.is_redirect(message.code):
            raise rules.refused_redirect(
                self._url, message.code, headers.get("Location"), "a message is not sent on"
            )
        coding = headers.get("Content-Encoding")
        failure: errors.TailraceError | None = None
        if coding is None and payload.is_eof():
            whole = payload.read_nowait()  # nearly always
            if self._cap is not None and len(whole) > self._cap:
                whole, failure = whole[: self._cap], self._too_large(message.code)
            return WholeReply(message.code, headers, whole, failure)
        parts = _Parts(self._cap, decoder_for(coding) if coding else None)
        failure = await self._read(protocol, payload, parts, clock)
        if parts.is_over:
            failure = self._too_large(message.code)
        elif failure is None and not _is_whole(protocol, headers, parts):
            failure = self._broken()
        return WholeReply(message.code, headers, parts.taken(), failure)

    async def _read(
        self, protocol: ResponseHandler, payload: aiohttp.StreamReader, parts: _Parts, clock: _Clock
    ) -> errors.TailraceError | None:
        """Read a body that did not come with its head; return why it broke off, None at its end."""
        if not payload.is_eof() and not wake_when_lost(payload, protocol):
            return self._broken()
        pause_at_many_chunks(payload)
        try:
            while not parts.is_over:
                clock.start("idle")
                data = await payload.readany()
                if not data:
                    return None
                await parts.add(data)
        except asyncio.CancelledError:
            failure = clock.error("")
            if failure is None:
                raise
            return failure
        except errors.ReplyBrokenError as error:
            return error
        except Exception:  # noqa: BLE001 - aiohttp, TLS and sockets each break in their own way
            # Once it has broken, aiohttp does not return the bytes it has buffered.
            payload.set_exception(None)  # type: ignore[arg-type]
            await parts.add(payload.read_nowait())
            return self._broken()
        return None

    def _too_large(self, status: int) -> errors.LimitExceeded:
        return errors.LimitExceeded(f"the reply is larger than {self._cap} bytes", status=status)

    def _broken(self) -> errors.ReplyBrokenError:
        return errors.ReplyBrokenError(f"the reply of {rules.origin(self._url)} broke off")


def _is_over(connection: Connection) -> bool:
    """Tell whether a connection cannot be used for another request."""
    return connection.protocol is None or connection.protocol.should_close


def _is_whole(protocol: ResponseHandler, headers: Mapping[str, str], parts: _Parts) -> bool:
    """Tell whether a body that has ended is whole.

    aiohttp reports a reset as a clean end where the body ends with its connection.
    """
    has_own_end = (
        "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()
    )
    is_reset = not has_own_end and isinstance(protocol.exception(), OSError)
    return parts.is_complete and not is_reset


class _Parts:
    """The decoded bytes of a body, up to a cap."""

    def __init__(self, cap: int | None, decoder: ContentDecoder | None) -> None:
        self._cap = inf if cap is None else cap
        self._decoder = decoder
        self._bytes = bytearray()
        self._unpacked = 0

    @property
    def is_over(self) -> bool:
        """Whether there is more than the cap allows."""
        return len(self._bytes) > self._cap

    @property
    def is_complete(self) -> bool:
        """Whether compressed data has come to its own end."""
        return self._decoder is None or self._decoder.complete

    def taken(self) -> bytes:
        """Return the bytes, as many as the cap allows."""
        return bytes(self._bytes if not self.is_over else self._bytes[: int(self._cap)])

    async def add(self, data: bytes) -> None:
        """Take in the next bytes; other tasks run while many are unpacked."""
        if self._decoder is None:
            self._bytes += data
            return
        self._decoder.feed(data)
        while not self.is_over and (piece := self._decoder.take()) != b"":
            self._bytes += piece or b""
            self._unpacked += len(piece or b"")
            if piece is None or self._unpacked >= _PER_TURN:
                self._unpacked = 0
                await asyncio.sleep(0)


# -- clocks ----------------------------------------------------------------------------------------


class _Clocks:
    """The clocks of all requests under way, on one timer: they are as long, and begin in order."""

    def __init__(self, timeouts: Timeouts, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds: Mapping[errors.TimeoutPhase, float | None] = {
            "connect": timeouts.connect,
            "first byte": timeouts.first_byte,
            "idle": timeouts.idle,
            "total": timeouts.total,
        }
        self.loop = loop
        self.under_way: set[_Clock] = set()
        self.next = inf  # when the timer fires
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> _Clock:
        clock = _Clock(self)
        self.under_way.add(clock)
        clock.start("connect")
        return clock

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.next = None, inf

    def fire_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.next = due
        self._timer = None if due == inf else self.loop.call_at(due, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        for clock in [each for each in self.under_way if each.due <= now]:
            clock.run_out()
        self.fire_at(min((each.due for each in self.under_way), default=inf))


class _Clock:
    """The clock of one request; when it runs out, its task is cancelled."""

    __slots__ = ("_clocks", "_ends", "_has_run_out", "_task", "due", "phase")

    def __init__(self, clocks: _Clocks) -> None:
        self._clocks = clocks
        self._task = asyncio.current_task(clocks.loop)
        total = clocks.seconds["total"]
        self._ends = inf if total is None else clocks.loop.time() + total
        self._has_run_out = False
        self.phase: errors.TimeoutPhase = "connect"
        self.due = inf

    def start(self, phase: errors.TimeoutPhase) -> None:
        """Begin a phase, which has its time from now on."""
        clocks = self._clocks
        seconds = clocks.seconds[phase]
        due = inf if seconds is None else clocks.loop.time() + seconds
        self.phase, self.due = ("total", self._ends) if self._ends < due else (phase, due)
        if self.due < clocks.next:
            clocks.fire_at(self.due)

    def end(self) -> None:
        self._clocks.under_way.discard(self)

    def run_out(self) -> None:
        self.end()
        if self._task is not None:
            self._has_run_out = True
            self._task.cancel()

    def error(self, where: str) -> errors.TimeoutError | None:
        """Return the error of the phase that ran out, and take back its cancellation.

        None where it did not, or where somebody else cancelled the task, too.
        """
        if not self._has_run_out or self._task is None:
            return None
        self._has_run_out = False
        if self._task.uncancel() > 0:
            return None
        return errors.TimeoutError(self.phase, self._clocks.seconds[self.phase] or 0.0, where)
