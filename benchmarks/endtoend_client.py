"""One measurement of `endtoend.py`.

One contender reads all streams of a run, in a process of its own.

Counted is the processor time of the whole process, from the moment all streams are open and quiet
until each has all its text. Making and closing connections is outside. The result is one line of
JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp

from contenders.hand_loop import DECODE
from endtoend_wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

__all__ = [
    "BASE",
    "CHURNED",
    "CONTENDERS",
    "DECODED",
    "FAST",
    "FAST_OVER_AIOHTTP",
    "KEPT",
    "OURS",
    "RESPONSE",
    "WHOLE",
    "WHOLE_OVER_AIOHTTP",
    "Contender",
]

SETTLE = 0.2  # seconds in which what was sent at the opening is read
SECONDS = 120.0  # the most a run may take, and the clocks of those who have one for silence
LARGE_BLOCK = 2**20  # bytes, more than asyncio makes room for at a read
BASE = "aiohttp, raw reads"
KEPT = f"{BASE}, memory kept"
DECODED = "aiohttp + DeltaDecoder, memory kept"
CHURNED = "aiohttp + DeltaDecoder"
OURS = "tailrace, OpenAIProvider"
RESPONSE = "tailrace, stream_deltas over aiohttp"
FAST = "openai client, tailrace.openai.fast"
WHOLE = "openai client, whole objects"
FAST_OVER_AIOHTTP = "openai client over aiohttp, tailrace.openai.fast"
WHOLE_OVER_AIOHTTP = "openai client over aiohttp, whole objects"
QUESTION: list[Any] = [{"role": "user", "content": "What runs off below the mill?"}]
BODY = {"model": "bench", "messages": QUESTION, "stream": True}


class Left:
    """How much a stream still waits for; told when there is nothing left."""

    def __init__(self, run: Run, amount: int) -> None:
        self.run = run
        self.amount = amount

    def take(self, amount: int) -> None:
        """So much has come."""
        self.amount -= amount
        if self.amount == 0:
            self.run.arrive()


@dataclass
class Run:
    """What a contender needs to know, and how far all its streams are."""

    origin: str
    wire: Wire
    streams: int
    shared: Any = None
    arrived: int = 0
    all_arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def arrive(self) -> None:
        """One more stream has everything but its ending."""
        self.arrived += 1
        if self.arrived == self.streams:
            self.all_arrived.set()

    def bytes_left(self) -> Left:
        """For a stream that looks at no text."""
        return Left(self, self.wire.body_bytes)

    def text_left(self) -> Left:
        """For a stream that gives text."""
        return Left(self, len(self.wire.text))

    @property
    def url(self) -> str:
        """Where a chat completion is posted."""
        return f"{self.origin}/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Contender:
    """`read` reads one stream and returns its text, "" where it looks at none.

    All streams of a run share `shared`.
    """

    name: str
    read: Callable[[Run], Awaitable[str]]
    shared: Callable[[Run], AbstractAsyncContextManager[Any]]
    package: str = "aiohttp"  # the module that must be there
    share: float = 1.0  # of the events in writes of several, where all would take too long
    streams: int = 200


# -- reading one stream ----------------------------------------------------------------------------


async def asyncio_raw(run: Run) -> str:
    """The body as it was framed."""
    host, _, port = run.origin.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps(BODY).encode()
    head = f"Host: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + body)
    await reader.readuntil(b"\r\n\r\n")
    left = Left(run, run.wire.chunked_bytes)
    while data := await reader.read(2**16):
        left.take(len(data))
    writer.close()
    return ""


async def aiohttp_raw(run: Run) -> str:
    """Reads, and no parsing."""
    left = run.bytes_left()
    async with run.shared.post(run.url, json=BODY) as response:
        async for data in response.content.iter_any():
            left.take(len(data))
    return ""


async def aiohttp_hand_loop(run: Run) -> str:
    """Lines by hand, msgspec with types."""
    parts: list[str] = []
    left = run.text_left()
    held = b""
    async with run.shared.post(run.url, json=BODY) as response:
        async for data in response.content.iter_any():
            lines = (held + data if held else data).split(b"\n")
            held = lines.pop()
            came = 0
            for line in lines:
                name, _colon, value = line.partition(b":")
                if name == b"data" and value != b" [DONE]":
                    choices = DECODE(value).choices
                    if choices and (text := choices[0].delta.content):
                        parts.append(text)
                        came += len(text)
            left.take(came)
    return "".join(parts)


async def aiohttp_lines(run: Run) -> str:
    """Lines as aiohttp gives them, and json."""
    parts: list[str] = []
    left = run.text_left()
    async with run.shared.post(run.url, json=BODY) as response:
        async for line in response.content:
            if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                choices = json.loads(line[6:])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    parts.append(text)
                    left.take(len(text))
    return "".join(parts)


async def gpt4free(run: Run) -> str:
    """A class of its OpenAI-compatible kind; it strips white space from before the answer."""
    parts: list[str] = []
    stripped = len(run.wire.text) - len(run.wire.text.lstrip())
    left = run.text_left()
    left.take(stripped)
    async for item in run.shared.create_async_generator(
        "bench", QUESTION, api_key="key", stream=True
    ):
        if type(item) is str:
            parts.append(item)
            left.take(len(item))
    return run.wire.text[:stripped] + "".join(parts)


async def httpx_events(run: Run) -> str:
    """httpx-sse's events, and json."""
    from httpx_sse import aconnect_sse  # noqa: PLC0415 - a process loads what its contender needs

    parts: list[str] = []
    left = run.text_left()
    async with aconnect_sse(run.shared, "POST", run.url, json=BODY) as source:
        async for event in source.aiter_sse():
            choices = json.loads(event.data)["choices"] if event.data != "[DONE]" else ()
            if choices and (text := choices[0]["delta"].get("content")):
                parts.append(text)
                left.take(len(text))
    return "".join(parts)


async def openai_objects(run: Run) -> str:
    """Chunks as objects."""
    return await objects(
        run, await run.shared.create(model="bench", messages=QUESTION, stream=True)
    )


async def litellm_objects(run: Run) -> str:
    """Objects that are made of those."""
    return await objects(run, await run.shared(messages=QUESTION, stream=True))


async def langchain_messages(run: Run) -> str:
    """A message a chunk, made of those of the openai client."""
    parts: list[str] = []
    left = run.text_left()
    async for message in run.shared.astream(QUESTION):
        if text := message.text:
            parts.append(text)
            left.take(len(text))
    return "".join(parts)


async def liter_objects(run: Run) -> str:
    """Objects that Rust makes of chunks."""
    from liter_llm import ChatCompletionRequest, Message, chat_stream  # noqa: PLC0415

    messages = [Message(**QUESTION[0])]
    request = ChatCompletionRequest(model="openai/bench", messages=messages, stream=True)
    return await objects(run, chat_stream(run.shared, request))


async def pyreqwest_decoder(run: Run) -> str:
    """Its reads, through our decoder; it gives a response when so much of it is there, 0 bytes."""
    from tailrace import DeltaDecoder  # noqa: PLC0415

    parts: list[str] = []
    left = run.text_left()
    decoder = DeltaDecoder()
    request = run.shared.post(run.url).body_json(BODY).streamed_read_buffer_limit(0)
    async with request.build_streamed() as response:
        while data := await response.body_reader.read_chunk():
            texts = decoder.feed(bytes(data))
            parts += texts
            left.take(sum(map(len, texts)))
    return "".join(parts)


async def aiohttp_decoder(run: Run) -> str:
    """Its reads, through our decoder: what the ways above it are held against."""
    from tailrace import DeltaDecoder  # noqa: PLC0415

    parts: list[str] = []
    left = run.text_left()
    decoder = DeltaDecoder()
    async with run.shared.post(run.url, json=BODY) as response:
        async for data in response.content.iter_any():
            for text in decoder.feed(data):
                parts.append(text)
                left.take(len(text))
    return "".join(parts)


async def objects(run: Run, chunks: Any) -> str:
    """Their text."""
    parts: list[str] = []
    left = run.text_left()
    async for chunk in chunks:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            parts.append(text)
            left.take(len(text))
    return "".join(parts)


async def deltas(run: Run, stream: Any) -> str:
    """A stream of ours, a step a delta."""
    parts: list[str] = []
    left = run.text_left()
    async with stream:
        async for text in stream:
            parts.append(text)
            left.take(len(text))
    return "".join(parts)


async def ours(run: Run) -> str:
    """A provider, with its clocks for the first byte and for silence on."""
    return await deltas(run, run.shared())


async def ours_read(run: Run) -> str:
    """The same, all deltas that are ready at once."""
    parts: list[str] = []
    left = run.text_left()
    async with run.shared() as stream:
        while texts := await stream.read():
            parts += texts
            left.take(sum(map(len, texts)))
    return "".join(parts)


async def ours_response(run: Run) -> str:
    """Somebody's own aiohttp response."""
    from tailrace import stream_deltas  # noqa: PLC0415

    async with run.shared.post(run.url, json=BODY) as response:
        return await deltas(run, stream_deltas(response, idle=SECONDS))


async def ours_openai(run: Run) -> str:
    """The openai client's own response, its bytes instead of its objects."""
    from tailrace import stream_deltas  # noqa: PLC0415

    async with run.shared.with_streaming_response.create(
        model="bench", messages=QUESTION, stream=True
    ) as response:
        return await deltas(run, stream_deltas(response, idle=SECONDS))


# -- what the streams of a run share ---------------------------------------------------------------


@asynccontextmanager
async def nothing(_run: Run) -> AsyncIterator[None]:
    """Nothing."""
    yield None


@asynccontextmanager
async def session(_run: Run) -> AsyncIterator[aiohttp.ClientSession]:
    """A session as aiohttp makes it, with as many connections as there are streams."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as made:
        yield made


@asynccontextmanager
async def session_with_read_clock(_run: Run) -> AsyncIterator[aiohttp.ClientSession]:
    """The same with aiohttp's clock for silence."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SECONDS)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout
    ) as made:
        yield made


@asynccontextmanager
async def session_with_room(run: Run) -> AsyncIterator[aiohttp.ClientSession]:
    """The same in a process that has freed a large block: what our transport sees to."""
    bytes(LARGE_BLOCK)
    async with session(run) as made:
        yield made


@asynccontextmanager
async def httpx_client(run: Run) -> AsyncIterator[Any]:
    """A client with as many connections as there are streams."""
    import httpx  # noqa: PLC0415

    limits = httpx.Limits(max_connections=run.streams)
    async with httpx.AsyncClient(limits=limits, timeout=SECONDS, trust_env=False) as client:
        yield client


@asynccontextmanager
async def openai_client(run: Run, **options: Any) -> AsyncIterator[Any]:
    """One client's completions."""
    import openai  # noqa: PLC0415

    async with openai.AsyncOpenAI(
        base_url=f"{run.origin}/v1", api_key="key", timeout=SECONDS, **options
    ) as client:
        yield client.chat.completions


@asynccontextmanager
async def openai_over_aiohttp(run: Run) -> AsyncIterator[Any]:
    """The same, with the package's own client of another library."""
    import openai  # noqa: PLC0415

    over = openai.DefaultAioHttpClient(timeout=SECONDS)
    async with openai_client(run, http_client=over) as completions:
        yield completions


@asynccontextmanager
async def fast_openai_client(run: Run) -> AsyncIterator[Any]:
    """One client's completions, its streams read by the core."""
    import tailrace.openai  # noqa: PLC0415

    async with openai_client(run) as completions:
        yield tailrace.openai.fast(completions._client).chat.completions  # noqa: SLF001


@asynccontextmanager
async def fast_openai_over_aiohttp(run: Run) -> AsyncIterator[Any]:
    """Both."""
    import tailrace.openai  # noqa: PLC0415

    async with openai_over_aiohttp(run) as completions:
        yield tailrace.openai.fast(completions._client).chat.completions  # noqa: SLF001


@asynccontextmanager
async def langchain_client(run: Run) -> AsyncIterator[Any]:
    """A model."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415

    yield ChatOpenAI(model="bench", base_url=f"{run.origin}/v1", api_key="key", timeout=SECONDS)


@asynccontextmanager
async def liter_client(run: Run) -> AsyncIterator[Any]:
    """A client."""
    from liter_llm import create_client  # noqa: PLC0415

    yield create_client("key", f"{run.origin}/v1")


@asynccontextmanager
async def pyreqwest_client(_run: Run) -> AsyncIterator[Any]:
    """A client as it comes."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415

    async with ClientBuilder().build() as client:
        yield client


@asynccontextmanager
async def litellm_client(run: Run) -> AsyncIterator[Any]:
    """The function, kept from asking the network for prices."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm  # noqa: PLC0415

    yield partial(
        litellm.acompletion, model="openai/bench", api_base=f"{run.origin}/v1", api_key="key"
    )


@asynccontextmanager
async def gpt4free_class(run: Run) -> AsyncIterator[Any]:
    """A class for the server, over aiohttp, which gpt4free uses when installed without extras."""
    sys.modules["curl_cffi"] = None  # type: ignore[assignment]
    from g4f.Provider.template import OpenaiTemplate  # noqa: PLC0415

    yield type(
        "Loopback",
        (OpenaiTemplate,),
        {"base_url": f"{run.origin}/v1", "models": ["bench"], "default_model": "bench"},
    )


@asynccontextmanager
async def our_openai(run: Run) -> AsyncIterator[Any]:
    """Makes streams of the OpenAI-compatible provider."""
    from tailrace import OpenAIProvider  # noqa: PLC0415

    yield lambda: OpenAIProvider.create_async_generator("bench", QUESTION, url=f"{run.origin}/v1")


@asynccontextmanager
async def our_wordpress(run: Run) -> AsyncIterator[Any]:
    """Makes streams of the WordPress provider, over a page and the plugin's endpoint."""
    from tailrace import WordPressChatProvider  # noqa: PLC0415

    yield lambda: WordPressChatProvider.create_async_generator(
        "", QUESTION, url=f"{run.origin}/chat/"
    )


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("asyncio streams, raw", asyncio_raw, nothing),
        Contender(BASE, aiohttp_raw, session),
        Contender(f"{BASE}, its clock for silence on", aiohttp_raw, session_with_read_clock),
        Contender(KEPT, aiohttp_raw, session_with_room),
        Contender(DECODED, aiohttp_decoder, session_with_room),
        Contender(CHURNED, aiohttp_decoder, session),
        Contender("aiohttp + hand loop + msgspec, typed", aiohttp_hand_loop, session),
        Contender("aiohttp lines + json", aiohttp_lines, session),
        Contender(OURS, ours, our_openai),
        Contender(f"{OURS}, read()", ours_read, our_openai),
        Contender("tailrace, WordPressChatProvider", ours, our_wordpress),
        Contender(RESPONSE, ours_response, session),
        Contender("pyreqwest + DeltaDecoder", pyreqwest_decoder, pyreqwest_client, "pyreqwest"),
        Contender(
            "gpt4free", gpt4free, gpt4free_class, "g4f", streams=20
        ),  # it opens no more to one host
        Contender("httpx + httpx-sse + json", httpx_events, httpx_client, "httpx_sse", share=0.5),
        Contender(
            "tailrace, stream_deltas over the openai client",
            ours_openai,
            openai_client,
            "openai",
            share=0.1,
        ),
        *(
            Contender(name, openai_objects, made, "openai", share=0.1)
            for name, made in (
                (FAST, fast_openai_client),
                (WHOLE, openai_client),
                (FAST_OVER_AIOHTTP, fast_openai_over_aiohttp),
                (WHOLE_OVER_AIOHTTP, openai_over_aiohttp),
            )
        ),
        Contender("litellm stream", litellm_objects, litellm_client, "litellm", share=0.05),
        Contender(
            "langchain-openai, messages",
            langchain_messages,
            langchain_client,
            "langchain_openai",
            share=0.02,
        ),
        Contender("liter-llm, objects", liter_objects, liter_client, "liter_llm", share=0.1),
    )
}


# -- measuring -------------------------------------------------------------------------------------


async def measured(options: argparse.Namespace) -> float:
    """Nanoseconds an event."""
    contender = CONTENDERS[options.contender]
    wire = Wire(options.opening, options.events, options.per_write)
    run = Run(options.origin, wire, options.streams)
    settings = {
        name: getattr(options, name)
        for name in ("streams", "opening", "events", "per_write", "interval")
    }
    async with (
        aiohttp.ClientSession(options.origin) as control,
        contender.shared(run) as run.shared,
    ):
        await (await control.post("/run", json=settings)).read()
        reading: asyncio.Future[Any] = asyncio.gather(
            *(contender.read(run) for _ in range(run.streams))
        )
        opened: asyncio.Future[Any] = asyncio.ensure_future(control.get("/opened"))
        await asyncio.wait([reading, opened], return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            await reading  # it failed
        await (await opened).read()
        await asyncio.sleep(SETTLE)
        gc.collect()
        gc.freeze()
        await (await control.post("/go")).read()
        began = time.process_time_ns()
        arriving: asyncio.Future[Any] = asyncio.ensure_future(run.all_arrived.wait())
        await asyncio.wait([reading, arriving], return_when=asyncio.FIRST_COMPLETED)
        took = time.process_time_ns() - began
        if not arriving.done():
            raise RuntimeError("a stream ended before its text had come")
        await (await control.post("/finish")).read()
        texts = await reading
    if not all(text in {"", wire.text} for text in texts):
        raise RuntimeError("a text is not what was sent")
    return took / (int(options.events) * run.streams)


def main() -> None:
    """Measure, bounded in time, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--opening", type=int, default=20, help="events before the clock starts")
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--per-write", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True, help="seconds; 0: back to back")
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    loop_factory = None
    if options.uvloop:
        import uvloop  # noqa: PLC0415

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        took = runner.run(asyncio.wait_for(measured(options), SECONDS))
    print(json.dumps(took), flush=True)
    os._exit(0)  # threads of libraries in Rust may crash a Python that is torn down under them


if __name__ == "__main__":
    main()
