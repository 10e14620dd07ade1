"""Bodies that a fast client reads itself: what breaks, stops, waits or ends them is as without."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import openai
import pytest
import trustme

import tailrace.openai
from tailrace._fast.bodies import AsyncBody, Body, _Reads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.filterwarnings("default")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
ASKED: Any = [{"role": "user", "content": "When is high tide?"}]
MADE: list[Callable[[Any], Any]] = [lambda client: client, tailrace.openai.fast]


def event(text: str) -> bytes:
    return (
        b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
        b'[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n' % text.encode()
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


DONE = chunk(b"data: [DONE]\n\n")
ONE = CHUNKED + chunk(event("a"))
LAST = b"0\r\n\r\n"


class Peer:
    """A server that says what it is told, on as many connections as there come."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.scheme = "http" if tls is None else "https"
        self.connections = 0
        self.answers: list[list[bytes | threading.Event]] = []
        self.resets = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self._listening.getsockname()[1]}/v1"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                while self.answers and self._has_asked(connection):
                    self._answer(connection)
                if self.resets:
                    linger = b"\x01\0\0\0\0\0\0\0"
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        except OSError:
            pass  # the client went away, which is what some come to see

    def _answer(self, connection: socket.socket) -> None:
        for part in self.answers.pop(0):
            if isinstance(part, bytes):
                connection.sendall(part)
            else:
                part.wait(30)

    def _has_asked(self, connection: socket.socket) -> bool:
        data = b""
        while b'"stream":true' not in data:
            more = connection.recv(2**16)
            if not more:
                return False
            data += more
        return True

    def close(self) -> None:
        self._listening.close()


@contextmanager
def peer(
    *answers: list[bytes | threading.Event], tls: ssl.SSLContext | None = None
) -> Iterator[Peer]:
    made = Peer(tls)
    made.answers.extend(answers)
    try:
        yield made
    finally:
        made.close()


def blocking(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key="key", base_url=url, max_retries=0, **options)


def ask(client: Any) -> Any:
    return client.chat.completions.create(model="m", messages=ASKED, stream=True)


@asynccontextmanager
async def asking(url: str, make: Callable[[Any], Any], **options: Any) -> AsyncIterator[Any]:
    async with openai.AsyncOpenAI(api_key="key", base_url=url, max_retries=0, **options) as client:
        yield make(client)


def told(error: BaseException | None) -> list[tuple[str, str]]:
    """An error and what caused it, down to the HTTP library's."""
    found = []
    while error is not None and len(found) < 2:
        found.append((type(error).__qualname__, str(error)))
        error = error.__cause__
    return found


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


def waits(task: Any) -> bool:
    return getattr(task.get_coro(), "cr_await", None) is not None


def text(chunks: list[Any]) -> str:
    return "".join(each.choices[0].delta.content or "" for each in chunks)


# -- it is read so ---------------------------------------------------------------------------------


def test_the_body_of_the_blocking_client_is_read_by_ours() -> None:
    with peer([ONE, chunk(event("b")), DONE, LAST]) as server, blocking(server.url) as client:
        stream = ask(tailrace.openai.fast(client))
        assert text(list(stream)) == "ab"
    assert type(stream._decoder._reads) is Body
    assert stream.response.is_closed
    assert stream.response.num_bytes_downloaded == len(event("a") * 2 + b"data: [DONE]\n\n")


async def test_the_body_of_the_client_of_asyncio_is_read_by_ours() -> None:
    with peer([ONE, chunk(event("b")), DONE, LAST]) as server:
        async with asking(server.url, tailrace.openai.fast) as client:
            stream = await ask(client)
            assert text([each async for each in stream]) == "ab"
    assert type(stream._decoder._reads) is AsyncBody
    assert stream.response.is_closed


async def test_the_body_over_aiohttp_is_read_as_ever() -> None:
    with peer([ONE, chunk(event("b")), DONE, LAST]) as server:
        http = openai.DefaultAioHttpClient()
        async with asking(server.url, tailrace.openai.fast, http_client=http) as client:
            stream = await ask(client)
            assert text([each async for each in stream]) == "ab"
    assert type(stream._decoder._reads) is not AsyncBody


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_without_asyncio(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    whole: list[Any] = [ONE, chunk(event("b")), DONE, LAST]
    with (
        peer(whole, whole, tls=tls) as server,
        blocking(server.url, http_client=openai.DefaultHttpxClient(verify=trusting)) as client,
    ):
        for _ in range(2):
            stream = ask(tailrace.openai.fast(client))
            assert text(list(stream)) == "ab"
        assert type(stream._decoder._reads) is Body


async def test_tls_with_asyncio(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    whole: list[Any] = [ONE, chunk(event("b")), DONE, LAST]
    with peer(whole, whole, tls=tls) as server:
        http = openai.DefaultAsyncHttpxClient(verify=trusting)
        async with asking(server.url, tailrace.openai.fast, http_client=http) as client:
            for _ in range(2):
                stream = await ask(client)
                assert text([each async for each in stream]) == "ab"
                assert type(stream._decoder._reads) is AsyncBody
        assert server.connections == 1


@pytest.mark.parametrize("make", MADE)
async def test_a_connection_is_used_again(make: Callable[[Any], Any]) -> None:
    """The last chunk comes behind the end, when the package reads on by itself."""
    late = threading.Event()
    whole: list[Any] = [ONE, DONE, late, LAST]
    with peer(whole, whole) as server:
        async with asking(server.url, make) as client:
            for _ in range(2):
                chunks = [each async for each in await ask(client) if not late.set()]
                assert text(chunks) == "a"
        assert server.connections == 1


def test_a_body_that_is_traced_or_logged_is_read_as_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with peer([ONE, DONE, LAST]) as server, blocking(server.url) as client:
        caplog.set_level(logging.DEBUG)
        stream = ask(tailrace.openai.fast(client))
        assert text(list(stream)) == "a"
    assert type(stream._decoder._reads) is not Body
    assert "receive_response_body.started" in caplog.text


# -- what breaks it --------------------------------------------------------------------------------


BROKEN: dict[str, list[bytes | threading.Event]] = {
    "cut in a chunk": [ONE, b"40\r\ndata: "],
    "cut between chunks": [ONE],
    "no chunk": [ONE, b"what is this\r\n\r\n"],
    "shorter than it says": [HEAD + b"content-length: 1000\r\n\r\n" + event("a")],
    "to the end of the connection": [HEAD + b"connection: close\r\n\r\n" + event("a")],
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_is_told_as_the_package_tells_it(name: str) -> None:
    found = []
    for make in MADE:
        with peer(BROKEN[name]) as server, blocking(server.url) as client:
            chunks: list[Any] = []
            caught = None
            try:
                chunks.extend(ask(make(client)))
            except Exception as error:  # noqa: BLE001 - the other must have it, too
                caught = error
        found.append((text(chunks), told(caught)))
    assert found[0] == found[1]
    assert found[0][0] == "a"


@pytest.mark.parametrize("name", BROKEN)
async def test_what_breaks_is_told_as_the_package_tells_it_with_asyncio(name: str) -> None:
    found = []
    for make in MADE:
        chunks: list[Any] = []
        caught = None
        with peer(BROKEN[name]) as server:
            async with asking(server.url, make) as client:
                try:
                    async for each in await ask(client):
                        chunks.append(each)  # noqa: PERF401 - then it may raise
                except Exception as error:  # noqa: BLE001 - the other must have it, too
                    caught = error
        found.append((text(chunks), told(caught)))
    assert found[0] == found[1]
    assert found[0][0] == "a"


def test_a_reset_is_told_as_the_package_tells_it() -> None:
    found = []
    for make in MADE:
        now = threading.Event()
        with peer([ONE, now]) as server, blocking(server.url) as client:
            server.resets = True
            stream = ask(make(client))
            chunks = [next(stream)]
            now.set()
            with pytest.raises(openai.APIConnectionError) as caught:
                chunks.extend(stream)
        found.append((text(chunks), told(caught.value)))
    assert found[0] == found[1]


async def test_a_reset_is_told_as_the_package_tells_it_with_asyncio() -> None:
    found = []
    for make in MADE:
        now = threading.Event()
        with peer([ONE, now]) as server:
            server.resets = True
            async with asking(server.url, make) as client:
                stream = await ask(client)
                first = await anext(stream)
                now.set()
                with pytest.raises(openai.APIConnectionError) as caught:
                    await anext(stream)
        found.append((text([first]), [name for name, _ in told(caught.value)]))
    assert found[0] == found[1]


@pytest.mark.parametrize("make", MADE)
def test_a_silent_server_is_given_up_when_the_client_says(make: Callable[[Any], Any]) -> None:
    with (
        peer([ONE, threading.Event()]) as server,
        blocking(server.url, timeout=0.3) as client,
        pytest.raises(openai.APITimeoutError) as caught,
    ):
        list(ask(make(client)))
    assert told(caught.value)[1] == ("ReadTimeout", "timed out")


@pytest.mark.parametrize("make", MADE)
async def test_a_silent_server_is_given_up_when_the_client_of_asyncio_says(
    make: Callable[[Any], Any],
) -> None:
    with peer([ONE, threading.Event()]) as server:
        async with asking(server.url, make, timeout=0.3) as client:
            stream = await ask(client)
            await anext(stream)
            with pytest.raises(openai.APITimeoutError) as caught:
                await anext(stream)
    assert told(caught.value)[1] == ("ReadTimeout", "")
    assert stream.response.is_closed


# -- who stops it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MADE)
def test_a_stream_that_is_closed_is_gone_for_the_server(make: Callable[[Any], Any]) -> None:
    with peer([ONE, threading.Event()]) as server, blocking(server.url) as client:
        with ask(make(client)) as stream:
            next(stream)
        assert client._client._transport._pool.connections == []  # type: ignore[attr-defined]
        with pytest.raises(openai.APIConnectionError):
            next(stream)


@pytest.mark.parametrize("make", MADE)
async def test_a_stream_of_asyncio_that_is_closed_is_gone_for_the_server(
    make: Callable[[Any], Any],
) -> None:
    with peer([ONE, threading.Event()]) as server:
        async with asking(server.url, make) as client:
            async with await ask(client) as stream:
                await anext(stream)
            assert client._client._transport._pool.connections == []
            with pytest.raises(openai.APIConnectionError):
                await anext(stream)


@pytest.mark.parametrize("make", MADE)
async def test_a_task_that_is_cancelled_closes_its_connection(make: Callable[[Any], Any]) -> None:
    with peer([ONE, threading.Event()]) as server:
        async with asking(server.url, make) as client:
            stream = await ask(client)
            await anext(stream)

            async def read_on() -> None:
                async for _ in stream:
                    pass

            task = asyncio.create_task(read_on())
            await until(lambda: waits(task))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert stream.response.is_closed
            assert client._client._transport._pool.connections == []


@pytest.mark.parametrize("make", MADE)
async def test_closed_while_somebody_waits(make: Callable[[Any], Any]) -> None:
    with peer([ONE, threading.Event()]) as server:
        async with asking(server.url, make) as client:
            stream = await ask(client)
            await anext(stream)
            waiting = asyncio.ensure_future(anext(stream))
            await until(lambda: waits(waiting))
            await stream.close()
            with pytest.raises(openai.APIConnectionError):
                await waiting


# -- how much of it is held ------------------------------------------------------------------------


class Bringing(asyncio.Protocol):
    """What a stream of anyio's has of a protocol."""

    is_at_eof = False
    exception = None

    def __init__(self) -> None:
        self.read_queue: list[bytes] = []
        self.read_event = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.read_queue.append(data)

    def eof_received(self) -> bool:
        self.is_at_eof = True
        return True


async def test_what_nobody_takes_stays_with_the_server() -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(Bringing, sock=ours)
    stream = type("SocketStream", (), {"_transport": transport, "_protocol": protocol})()
    reads = _Reads(stream, None)
    theirs.send(b"first")
    assert await reads.receive() == b"first"
    theirs.send(b"second")
    await until(lambda: not transport.is_reading())
    theirs.send(b"third")
    assert list(reads._held) == [b"second"]
    reads.end()
    assert (protocol.read_queue, transport.get_protocol()) == ([b"second"], protocol)
    transport.resume_reading()
    await until(lambda: len(protocol.read_queue) > 1)
    assert protocol.read_queue == [b"second", b"third"]
    transport.close()
    theirs.close()


async def test_two_who_read_one_stream_are_told() -> None:
    with peer([ONE, threading.Event()]) as server:
        async with asking(server.url, tailrace.openai.fast) as client:
            stream = await ask(client)
            await anext(stream)
            found = await asyncio.gather(
                *(asyncio.wait_for(anext(stream), 0.2) for _ in range(2)), return_exceptions=True
            )
            assert all(isinstance(each, Exception) for each in found)
