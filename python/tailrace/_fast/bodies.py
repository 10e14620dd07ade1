"""The body of a response, read without what httpx and anyio do anew for each read.

What comes of a body goes through eight generators in httpx and httpcore, and for each read anyio
turns the socket's reading on and off and opens a scope with a timer. Here the connection's own h11
gets what its own socket brings, and says what of it is the body. Opening, closing and the pool are
the packages' own, and so are timeouts and the classes of errors. A body that is not made of just
the classes named here, over HTTP/2, trio, a transport of the caller's own, or one that is traced,
is read as it always is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
from collections import deque
from typing import Any

__all__ = ["AsyncBody", "Body", "async_body", "blocking_body"]

_READ = 2**16  # bytes, as httpcore reads
_WAY = (
    ("BoundSyncStream", "BoundAsyncStream"),
    ("ResponseStream", "AsyncResponseStream"),
    ("PoolByteStream", "PoolByteStream"),
    ("HTTP11ConnectionByteStream", "HTTP11ConnectionByteStream"),
    ("HTTP11Connection", "AsyncHTTP11Connection"),
)
_INNER = ("_stream", "_httpcore_stream", "_stream", "_connection", "_network_stream")
_PACKAGES = frozenset({"anyio", "httpcore", "httpcore2", "httpx", "httpx2"})


def blocking_body(response: Any) -> Body | None:
    """Return the body of a response of a blocking client; None where it is of another make."""
    connection, network = _connection_of(response, 0)
    if not _is(network, "SyncStream") or type(network._sock) not in {socket.socket, ssl.SSLSocket}:
        return None
    return Body(response, connection, network._sock)


def async_body(response: Any) -> AsyncBody | None:
    """Return the body of a response of a client of asyncio; None where it is of another make."""
    connection, network = _connection_of(response, 1)
    if not _is(network, "AnyIOStream"):
        return None
    stream = network._stream
    below = stream.transport_stream if _is(stream, "TLSStream") else stream
    if not _is(below, "SocketStream") or not _is(below._protocol, "StreamProtocol"):
        return None
    return AsyncBody(response, connection, stream, below)


def _connection_of(response: Any, kind: int) -> tuple[Any, Any]:
    """The connection of a response over HTTP/1.1, and its stream of the network; or nothing."""
    found: list[Any] = [getattr(response, "stream", None)]
    for names, inner in zip(_WAY, _INNER, strict=True):
        if not _is(found[-1], names[kind]):
            return None, None
        found.append(getattr(found[-1], inner, None))
    connection = found[-2]
    if "trace" in response.request.extensions or _is_logged(connection):
        return None, None
    return connection, found[-1]


def _is_logged(connection: Any) -> bool:
    package = type(connection).__module__.partition(".")[0]
    return logging.getLogger(f"{package}.http11").isEnabledFor(logging.DEBUG)


def _is(item: object, name: str) -> bool:
    kind = type(item)
    return kind.__name__ == name and kind.__module__.partition(".")[0] in _PACKAGES


class _Pieces:
    """Pieces of a response's body, as h11 finds them in the bytes of its connection."""

    def __init__(self, response: Any, connection: Any) -> None:
        self._response = response
        self._h11 = connection._h11_state
        self._library = sys.modules[type(response).__module__.partition(".")[0]]
        self._timeout: float | None = response.request.extensions.get("timeout", {}).get("read")
        h11 = sys.modules[type(self._h11).__module__.partition(".")[0]]
        self._data, self._need, self._wrong = h11.Data, h11.NEED_DATA, h11.RemoteProtocolError
        response.is_stream_consumed = True
        response._num_bytes_downloaded = 0

    def _next(self) -> bytes | None:
        """Return the next piece of what has come: None without one, nothing at the end."""
        try:
            event = self._h11.next_event()
        except self._wrong as error:
            raise self._failed("RemoteProtocolError", error) from error
        if event is self._need:
            return None
        if type(event) is not self._data:
            return b""
        self._response._num_bytes_downloaded += len(event.data)
        return bytes(event.data)

    def _failed(self, name: str, error: Exception) -> Exception:
        kind: type[Exception] = getattr(self._library, name)
        return kind(str(error), request=self._response.request)  # type: ignore[call-arg]


class Body(_Pieces):
    """An iterator over a body, for a client that blocks."""

    def __init__(self, response: Any, connection: Any, sock: socket.socket) -> None:
        super().__init__(response, connection)
        self._socket = sock
        sock.settimeout(self._timeout)

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        while (piece := self._next()) is None:
            try:
                data = self._socket.recv(_READ)
            except TimeoutError as error:
                raise self._failed("ReadTimeout", error) from error
            except OSError as error:
                raise self._failed("ReadError", error) from error
            self._h11.receive_data(data)
        if not piece:
            raise StopIteration
        return piece

    def pause(self) -> None:
        """Let another read on."""


class AsyncBody(_Pieces):
    """An iterator over a body, for a client of asyncio."""

    def __init__(self, response: Any, connection: Any, stream: Any, below: Any) -> None:
        super().__init__(response, connection)
        self._stream, self._below = stream, below
        self._source = stream
        self._anyio = sys.modules["anyio"]
        self._reads: _Reads | None = None

    def __aiter__(self) -> AsyncBody:
        return self

    async def __anext__(self) -> bytes:
        # One coroutine for all: each more would be made anew for each read.
        while (piece := self._next()) is None:
            if self._reads is None:
                self._reads = self._begin()
            try:
                data = await self._source.receive(_READ)
            except self._anyio.EndOfStream:
                data = b""
            except TimeoutError as error:
                raise self._failed("ReadTimeout", error) from error
            except (self._anyio.BrokenResourceError, self._anyio.ClosedResourceError) as error:
                raise self._failed("ReadError", error) from error
            self._h11.receive_data(data)
        if not piece:
            raise StopAsyncIteration
        return piece

    def _begin(self) -> _Reads:
        reads = _Reads(self._below, self._timeout)
        if self._stream is self._below:
            self._source = reads
        else:  # TLS, which reads from below
            self._below.receive = reads.receive
        return reads

    def pause(self) -> None:
        """Let another read on."""
        if self._reads is not None:
            self._reads.end()
            self._reads = None
            vars(self._below).pop("receive", None)


class _Reads(asyncio.Protocol):
    """Protocol of an asyncio transport that keeps each read, in the place of anyio's own.

    The socket stays open for reading from one read to the next, until something comes that nobody
    waits for. A clock is looked at again when its time is up, and not set anew for each read.
    """

    def __init__(self, stream: Any, timeout: float | None) -> None:
        self._own = stream._protocol
        self._transport: Any = stream._transport
        self._timeout = timeout
        self._anyio = sys.modules["anyio"]
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bytes] | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._latest = 0.0  # the loop's time at which what is waited for is too late
        self._held: deque[bytes] = deque(self._own.read_queue)
        self._own.read_queue.clear()
        self._own.read_event.clear()
        self._is_lost = self._transport.is_closing()
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    def end(self) -> None:
        """Give the transport, and what it brought, back to the stream's own protocol."""
        if self._clock is not None:
            self._clock.cancel()
        self._transport.pause_reading()
        self._transport.set_protocol(self._own)
        for data in self._held:
            self._own.data_received(data)
        if self._own.is_at_eof or self._is_lost:
            self._own.read_event.set()

    async def receive(self, _most: int = _READ) -> bytes:
        """Return what comes next, as the stream's own `receive` does."""
        if self._held:
            return self._held.popleft()
        if self._own.is_at_eof or self._is_lost:
            raise self._over()
        if self._waiter is not None:
            raise self._anyio.BusyResourceError("reading from")
        self._transport.resume_reading()
        self._wait_until()
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _over(self) -> Exception:
        if self._own.exception is not None:
            error: Exception = self._anyio.BrokenResourceError(str(self._own.exception))
        elif self._own.is_at_eof:
            error = self._anyio.EndOfStream()
        else:
            error = self._anyio.ClosedResourceError()
        return error

    def _wait_until(self) -> None:
        if self._timeout is None:
            return
        self._latest = self._loop.time() + self._timeout
        if self._clock is None:
            self._clock = self._loop.call_at(self._latest, self._look)

    def _look(self) -> None:
        self._clock = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._latest:
            self._clock = self._loop.call_at(self._latest, self._look)
        else:
            self._waiter.set_exception(TimeoutError())

    def data_received(self, data: bytes) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(data)
        else:
            self._held.append(data)
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        keeps_open: bool | None = self._own.eof_received()
        self._tell_of_the_end()
        return keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._own.connection_lost(exc)
        self._tell_of_the_end()

    def _tell_of_the_end(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._over())

    def pause_writing(self) -> None:
        self._own.pause_writing()

    def resume_writing(self) -> None:
        self._own.resume_writing()
