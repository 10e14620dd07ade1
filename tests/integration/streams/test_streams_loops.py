"""A stream without its loop: plain `for`, `await`, another event loop, none of asyncio's, and the
end of the program.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import (
    GPROChat,
    RetryProvider,
    Site,
    Throttle,
    discover,
    doctor,
    errors,
    stream_deltas,
)
from tailrace._streams.loop_thread import LoopThread
from tailrace.replica import Question, Replica, builtin_answer
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    with LoopThread() as loop:
        sites = Replica()
        loop.run(sites.__aenter__())
        yield sites
        loop.run(sites.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def answer() -> str:
    return asyncio.run(builtin_answer(Question("any", "Hi")))


@pytest.fixture
def site(replica: Replica) -> Site:
    return Site(replica.url("geminiprochat"), software="geminiprochat", password="open sesame")


# -- plain for -------------------------------------------------------------------------------------


def test_a_plain_for_outside_of_any_loop(site: Site, answer: str) -> None:
    stream = site.stream("Hi")
    assert "".join(stream) == answer
    assert (stream.end, stream.error) == ("done", None)
    assert list(stream) == []
    conversation = site.conversation()
    assert "".join(conversation.send("Hi")) == answer
    assert len(conversation.messages) == 2
    assert "".join(RetryProvider([site]).create_async_generator("", HI)) == answer
    with pytest.raises(errors.InvalidRequestError, match="the messages hold no text"):
        list(site.stream(" "))


def test_a_plain_for_that_is_left_closes_the_connection(site: Site) -> None:
    before = threading.active_count()
    for _ in site.stream("Hi"):
        break
    assert threading.active_count() == before


async def test_a_plain_for_inside_a_loop_is_refused_by_name(site: Site) -> None:
    stream = site.stream("Hi")
    with pytest.raises(errors.InvalidRequestError, match="use `async for`, or `for … in await"):
        for _ in stream:
            pass
    await stream.aclose()


async def test_an_awaited_stream_is_read_whole(site: Site, answer: str) -> None:
    whole = await site.stream("Hi")
    assert "".join(whole) == answer
    assert list(whole) == []
    assert whole.end == "done"
    assert "".join([text async for text in await site.stream("Hi")]) == answer
    assert "".join(await (await site.stream("Hi")).read()) == answer


async def test_an_awaited_stream_delivers_what_came_before_its_error() -> None:
    chunks = [b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n', b'data: {"error":"no"}\n\n']
    for read in (_with_for, _with_async_for, _with_read):
        whole = await stream_deltas(chunks)
        texts: list[str] = []
        with pytest.raises(errors.StreamError, match="no"):
            await read(whole, texts)
        assert texts == ["Hel"]
        assert (whole.end, await whole.read()) == ("failed", [])
        await whole.aclose()


async def _with_for(whole: Any, texts: list[str]) -> None:
    texts += whole


async def _with_async_for(whole: Any, texts: list[str]) -> None:
    async for text in whole:
        texts += [text]


async def _with_read(whole: Any, texts: list[str]) -> None:
    while more := await whole.read():
        texts += more


# -- loops -----------------------------------------------------------------------------------------


async def frames() -> AsyncIterator[bytes]:
    """A source that asyncio alone can read, and that has no socket to be left open."""
    for text in ("a", "b"):
        yield b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % text.encode()


def test_a_stream_is_read_in_one_loop() -> None:
    with asyncio.Runner() as first, asyncio.Runner() as second:
        stream = stream_deltas(frames())
        assert first.run(stream.read()) == ["a"]
        with pytest.raises(errors.InvalidRequestError, match="belongs to another event loop"):
            second.run(stream.read())
        assert first.run(stream.read()) == ["b"]
        second.run(stream.aclose())
        assert first.run(stream.read()) == []


def test_a_stream_whose_loop_is_closed() -> None:
    stream = stream_deltas(frames())
    assert asyncio.run(stream.read()) == ["a"]
    with pytest.raises(errors.InvalidRequestError, match="belongs to another event loop"):
        asyncio.run(stream.read())
    asyncio.run(stream.aclose())


def test_a_site_is_used_in_one_loop_after_another(site: Site, answer: str) -> None:
    limited = site.replace(throttle=Throttle(concurrency=1, rate=1000))
    for _ in range(2):
        assert asyncio.run(limited.ask("Hi")) == answer


def stepped(work: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine as a library without asyncio would: nobody has set a loop."""
    try:
        work.send(None)
    finally:
        work.close()


def test_without_asyncio_a_call_says_so(site: Site) -> None:
    async def iterate() -> None:
        async with site.stream("Hi") as stream:
            async for _ in stream:
                pass

    for work in (
        iterate(),
        site.ask("Hi"),
        GPROChat.create_async("", HI),
        RetryProvider([site]).create_async("", HI),
        site.conversation().send("Hi").read(),
        stream_deltas([b""]).read(),
        doctor(site),
        discover(site.url),
        make_transport().session().get(site.url),
    ):
        with pytest.raises(errors.InvalidRequestError, match="event loop of asyncio, and none"):
            stepped(work)


# -- the end of the program ------------------------------------------------------------------------

by_a_signal = pytest.mark.skipif(
    sys.platform == "win32", reason="no process there can send another the signal of Ctrl-C"
)

ALIVE = """
import sys, urllib.request
from tailrace import GPROChat, RetryProvider, Site, stream_deltas

url = sys.argv[1]
hi = [{"role": "user", "content": "[[stall]]"}]
site = Site(url, software="geminiprochat")

class Mine(GPROChat):
    pass

Mine.url = url

def opened():
    with stream_deltas(urllib.request.urlopen(url), dialect="text", idle=60) as deltas:
        yield from deltas

iterators = [
    Mine.create_completion("", hi),
    RetryProvider([Mine]).create_completion("", hi),
    iter(site.stream(hi)),
    opened(),
]
for each in iterators:
    next(each)
print("begun")
"""
RAISES = (
    ALIVE
    + """
circle = [Mine.create_completion("", hi)]
next(circle[0])
circle.append(circle)
del circle
for text in Mine.create_completion("", hi):
    raise KeyError("mine")
"""
)
INTERRUPTED = (
    ALIVE
    + """
import os, signal, threading

for text in Mine.create_completion("", hi):  # the second text never comes
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
"""
)


async def begins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A site that sends the first word of an answer, and nothing more."""
    await reader.readuntil(b"\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head + b"3\r\nHel\r\n")
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("script", "code", "says"),
    [
        pytest.param(RAISES, 1, "KeyError: 'mine'", id="raise"),
        pytest.param(INTERRUPTED, -2, "KeyboardInterrupt", id="interrupt", marks=by_a_signal),
    ],
)
async def test_a_program_ends_with_iterators_that_are_alive(
    script: str, code: int, says: str
) -> None:
    server = await asyncio.start_server(begins, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", script, url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, complaints = await asyncio.wait_for(program.communicate(), 60)
    assert (program.returncode, output) == (code, b"begun\n")
    assert says in complaints.decode()
    assert "Exception ignored" not in complaints.decode()
    assert "Unclosed" not in complaints.decode()
