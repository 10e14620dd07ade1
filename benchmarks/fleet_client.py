"""One measurement of `fleet.py`: one contender, in a process of its own.

``events`` speaks the protocol of `endtoend_server.py` and prints the nanoseconds of processor time
an event, as `endtoend_client.py` and the floor do. The others talk to `fleet_server.py`: ``stamps``
prints how late moments were, ``memory`` the bytes a stream, ``leaving`` how long cancelling and
closing took, ``sleeping`` what a taker that sleeps costs, ``many`` whether all came.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import http.client
import json
import os
import ssl
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from endtoend_wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.fleet import Batch, Fleet

SETTLE = 0.2  # seconds in which what was sent at the opening is read
SECONDS = 120.0  # the most a run may take
BODY = {"model": "bench", "messages": [{"role": "user", "content": "?"}], "stream": True}
PAGE = 4096
SLEEP = 2.0  # seconds that a taker sleeps
CLOCKS = ("connect_timeout", "first_byte_timeout", "idle_timeout")
# How each fleet differs from one as it comes.
FLEETS: dict[str, dict[str, Any]] = {
    "fleet": {},
    "fleet-rested": {"coalesce": 0.01},
    "fleet-read": {"stamps": "read"},
    "fleet-restless": {"stamps": "read", "coalesce": 0},
    "fleet-unclocked": {"stamps": "read", "coalesce": 0, **dict.fromkeys(CLOCKS)},
}


def main() -> None:
    """Measure one thing, and print it as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=[*FLEETS, "uvloop", "aiohttp"])
    parser.add_argument("--what", default="events")
    parser.add_argument("--origin", required=True)
    parser.add_argument("--control", help="the server's origin without TLS; the same unless given")
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--opening", type=int, default=20)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--per-write", type=int, default=1)
    parser.add_argument("--interval", type=float, default=0.0)
    parser.add_argument("--busy", action="store_true", help="a thread of Python computes meanwhile")
    options = parser.parse_args()
    measures: dict[str, Any] = {
        "events": events,
        "stamps": stamps,
        "memory": memory,
        "leaving": leaving,
        "sleeping": sleeping,
        "many": many,
    }
    found = measures[options.what](options)
    print(json.dumps(found), flush=True)
    os._exit(0)


# -- what all share --------------------------------------------------------------------------------


class Control:
    """Questions to the server, which block."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._host = urlsplit(options.control or options.origin).netloc
        names = ("streams", "opening", "events", "per_write", "interval")
        self._settings = {name: getattr(options, name) for name in names}

    def begin(self) -> None:
        """Begin a run."""
        self.ask("POST", "/run", self._settings)

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """Ask one thing."""
        connection = http.client.HTTPConnection(self._host, timeout=SECONDS)
        connection.request(method, path, json.dumps(body) if body is not None else b"")
        answer = connection.getresponse().read()
        connection.close()
        return answer


def opened(options: argparse.Namespace, keep: Any = "counts", **more: Any) -> Fleet:
    """A fleet with all streams begun."""
    from tailrace.fleet import Fleet, Request  # noqa: PLC0415 - a process loads what it needs

    settings = {"idle_timeout": SECONDS, **FLEETS.get(options.contender, {}), **more}
    fleet = Fleet(keep=keep, **settings)
    url = f"{options.origin}/v1/chat/completions"
    fleet.submit_many(Request(url, json=BODY, tag=tag) for tag in range(options.streams))
    return fleet


def taken(batches: Iterator[Batch], rows: int) -> None:
    """Take so many rows."""
    while rows > 0:
        rows -= len(next(batches))


@contextmanager
def computing(options: argparse.Namespace) -> Iterator[None]:
    """Have one thread of Python compute meanwhile, where that is asked for."""
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute, daemon=True)
    if options.busy:
        thread.start()
    yield
    over.set()
    if options.busy:
        thread.join()


# -- events ----------------------------------------------------------------------------------------


def events(options: argparse.Namespace) -> float:
    """Nanoseconds of the process an event."""
    if options.contender == "uvloop":
        return over_uvloop(options)
    control = Control(options)
    control.begin()
    wire = Wire(options.opening, options.events, options.per_write)
    fleet = opened(options)
    batches = iter(fleet.batches(max_wait=0.05))
    taken(batches, options.streams * (options.opening - 1))  # the role is an event, and no row
    control.ask("GET", "/opened")
    time.sleep(SETTLE)
    gc.collect()
    gc.freeze()
    control.ask("POST", "/go")
    began = time.process_time_ns()
    taken(batches, options.streams * options.events)
    took = time.process_time_ns() - began
    control.ask("POST", "/finish")
    ends = [ended for batch in batches for ended in batch.ended]
    size = wire.body_bytes + len(wire.ending)
    whole = [each for each in ends if each.end == "done" and size - each.bytes in {0, 1}]
    if len(whole) != options.streams:
        raise RuntimeError("a stream did not come whole")
    return took / int(options.events * options.streams)


def over_uvloop(options: argparse.Namespace) -> float:
    """The same over uvloop, a protocol with a buffer of its own, httptools and the decoder."""
    import uvloop  # noqa: PLC0415

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_over_uvloop(options))


async def _over_uvloop(options: argparse.Namespace) -> float:
    control, loop = Control(options), asyncio.get_running_loop()
    control.begin()
    tls = ssl.create_default_context() if options.origin.startswith("https") else None
    address = urlsplit(options.origin)
    streams = []
    for _ in range(options.streams):
        _, made = await loop.create_connection(_protocol(), address.hostname, address.port, ssl=tls)
        streams.append(made)
    await asyncio.to_thread(control.ask, "GET", "/opened")
    await asyncio.sleep(SETTLE)
    gc.collect()
    gc.freeze()
    text = len(Wire(options.opening, options.events, options.per_write).text)
    await asyncio.to_thread(control.ask, "POST", "/go")
    began = time.process_time_ns()
    for each in streams:
        await each.until(text)
    took = time.process_time_ns() - began
    await asyncio.to_thread(control.ask, "POST", "/finish")
    for each in streams:
        await each.over
    return took / int(options.events * options.streams)


def _protocol() -> Any:
    """The class of a connection; what it needs is imported here."""
    import httptools  # noqa: PLC0415

    from tailrace import DeltaDecoder  # noqa: PLC0415

    body = json.dumps(BODY).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"

    class Stream(asyncio.BufferedProtocol):
        """One stream; `httptools` calls its methods."""

        def __init__(self) -> None:
            self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._buffer = bytearray(64 * 1024)
            self._view = memoryview(self._buffer)
            self._parser = httptools.HttpResponseParser(self)
            self._decoder = DeltaDecoder()
            self._wanted, self._came = -1, 0
            self._has_come: asyncio.Future[None] | None = None

        def connection_made(self, transport: Any) -> None:
            transport.write(head % (len(body), body))

        def get_buffer(self, _size: int) -> Any:
            return self._buffer

        def buffer_updated(self, size: int) -> None:
            self._parser.feed_data(self._view[:size])

        def on_body(self, data: bytes) -> None:
            self._came += sum(map(len, self._decoder.feed(data)))
            has_come = self._has_come
            if self._came == self._wanted and has_come is not None and not has_come.done():
                has_come.set_result(None)

        def on_message_complete(self) -> None:
            self.over.set_result(None)

        async def until(self, characters: int) -> None:
            """Wait for so much text in all."""
            self._wanted = characters
            if self._came < characters:
                self._has_come = asyncio.get_running_loop().create_future()
                await self._has_come

    return Stream


# -- stamps ----------------------------------------------------------------------------------------


def stamps(options: argparse.Namespace) -> dict[str, float]:
    """How late the moments are, in milliseconds: what is sent says when it was."""
    control = Control(options)
    control.begin()
    with computing(options):
        if options.contender == "aiohttp":
            late = asyncio.run(_stamps_over_aiohttp(options, control))
        else:
            late = _stamps_of_fleet(options, control)
    late.sort()
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    shown = {name: late[int(part * len(late))] / 1e6 for name, part in at.items()}
    return {**shown, "most": late[-1] / 1e6, "count": len(late)}


def _stamps_of_fleet(options: argparse.Namespace, control: Control) -> list[int]:
    fleet = opened(options, "text")
    batches = iter(fleet.batches(max_wait=0.05))
    taken(batches, options.streams * options.opening)
    control.ask("POST", "/go")
    late: list[int] = []
    for batch in batches:
        moments = memoryview(batch.at_ns).tolist()
        sent = map(int, batch.texts())
        late += [moment - each for moment, each in zip(moments, sent, strict=True)]
    return late


async def _stamps_over_aiohttp(options: argparse.Namespace, control: Control) -> list[int]:
    import aiohttp  # noqa: PLC0415

    from tailrace import stream_deltas  # noqa: PLC0415

    late: list[int] = []
    url = f"{options.origin}/v1/chat/completions"
    connector = aiohttp.TCPConnector(limit=0)

    async def read(session: aiohttp.ClientSession) -> None:
        response = await session.post(url, json=BODY)
        stream = stream_deltas(response, records=True, timings=True)
        count = 0
        async with stream:
            async for delta in stream:
                count += 1
                if count > options.opening:
                    late.append((delta.at or 0) - int(delta.text))

    async with aiohttp.ClientSession(connector=connector) as session:
        reading = asyncio.gather(*(read(session) for _ in range(options.streams)))
        await asyncio.to_thread(control.ask, "GET", "/opened")
        await asyncio.to_thread(control.ask, "POST", "/go")
        await reading
    return late


# -- memory, cancelling, closing, sleeping, many ---------------------------------------------------


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * PAGE


def memory(options: argparse.Namespace) -> float:
    """Bytes a stream that is open and has been read."""
    control = Control(options)
    control.begin()
    if options.contender == "aiohttp":
        return asyncio.run(_memory_of_aiohttp(options, control))
    from tailrace.fleet import Fleet  # noqa: PLC0415

    with Fleet():
        pass  # what a process needs once
    gc.collect()
    before = resident()
    fleet = opened(options)
    batches = iter(fleet.batches(max_wait=0.05))
    taken(batches, options.streams * options.opening)
    gc.collect()
    return (resident() - before) / int(options.streams)


async def _memory_of_aiohttp(options: argparse.Namespace, control: Control) -> float:
    import aiohttp  # noqa: PLC0415

    from tailrace import stream_deltas  # noqa: PLC0415

    url = f"{options.origin}/v1/chat/completions"
    connector = aiohttp.TCPConnector(limit=0)
    opened_all = asyncio.Event()
    count = 0

    async def read(session: aiohttp.ClientSession) -> None:
        nonlocal count
        async with stream_deltas(await session.post(url, json=BODY), idle=SECONDS) as stream:
            async for _ in stream:
                count += 1
                if count == options.streams * options.opening:
                    opened_all.set()

    async with aiohttp.ClientSession(connector=connector) as session:
        gc.collect()
        before = resident()
        reading = asyncio.gather(*(read(session) for _ in range(options.streams)))
        await opened_all.wait()
        gc.collect()
        grown = resident() - before
        await asyncio.to_thread(control.ask, "POST", "/go")
        await reading
    return grown / int(options.streams)


def leaving(options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds to cancel all streams and see their ends, and to close with all running."""
    from tailrace.fleet import Request  # noqa: PLC0415

    control = Control(options)
    control.begin()
    fleet = opened(options)
    batches = iter(fleet.batches(max_wait=0.05))
    taken(batches, options.streams * options.opening)
    fleet.close()
    control.begin()
    fleet = opened(options, max_rows=1_000_000)
    batches = iter(fleet.batches(max_wait=0.05))
    taken(batches, options.streams * options.opening)
    began = time.monotonic_ns()
    fleet.close()
    closing = time.monotonic_ns() - began
    control.begin()
    fleet = opened(argparse.Namespace(**{**vars(options), "streams": 0}))
    url = f"{options.origin}/v1/chat/completions"
    tickets = fleet.submit_many(Request(url, json=BODY) for _ in range(options.streams))
    batches = iter(fleet.batches(max_wait=0.05))
    taken(batches, options.streams * options.opening)
    began = time.monotonic_ns()
    for ticket in tickets:
        ticket.cancel()
    left = options.streams
    while left:
        left -= len(next(batches).ended)
    cancelling = time.monotonic_ns() - began
    fleet.close()
    return {"cancelling": cancelling / 1e6, "closing": closing / 1e6}


def sleeping(options: argparse.Namespace) -> dict[str, float]:
    """Megabytes that are taken while the taker sleeps, and processor time; all comes at last."""
    control = Control(options)
    control.begin()
    fleet = opened(options, max_rows=10_000)
    control.ask("GET", "/opened")
    before = resident()
    control.ask("POST", "/go")
    time.sleep(SLEEP / 2)
    began = time.process_time_ns()
    time.sleep(SLEEP / 2)
    spent = time.process_time_ns() - began
    grown = resident() - before
    rows, ends = 0, 0
    for batch in fleet.batches():
        rows += len(batch)
        ends += sum(each.end == "done" for each in batch.ended)
    wanted = options.streams * (options.opening + options.events)
    if (rows, ends) != (wanted, options.streams):
        raise RuntimeError("something was lost")
    return {"megabytes": grown / 2**20, "processor": spent / (SLEEP / 2 * 1e9)}


def many(options: argparse.Namespace) -> dict[str, float]:
    """How many streams of one thread came whole, and their events a second."""
    control = Control(options)
    control.begin()
    fleet = opened(options)
    batches = iter(fleet.batches(max_wait=0.05))
    taken(batches, options.streams * options.opening)
    control.ask("POST", "/go")
    began, spent = time.monotonic_ns(), time.process_time_ns()
    rows = whole = 0
    for batch in batches:
        rows += len(batch)
        whole += sum(each.end == "done" for each in batch.ended)
    took = (time.monotonic_ns() - began) / 1e9
    core = (time.process_time_ns() - spent) / 1e9 / took
    is_all = rows == options.streams * options.events
    return {"whole": whole if is_all else 0, "events": rows / took, "core": core}


if __name__ == "__main__":
    main()
