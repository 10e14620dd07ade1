"""The vectors over a fleet, from a server that writes every split: what `DeltaDecoder` has of the
same reads, in texts, rows and ends.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tailrace_fleet import KINDS
from vector_files import Case, cases, cuts, input_bytes, reply_bytes, told

from tailrace import DeltaDecoder
from tailrace.fleet import Fleet, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tailrace import Delta

OPTIONS = ("failure_tail", "max_event_bytes", "max_body_bytes")
"""Of a decoder, and not of a fleet."""

BODY = b'{"stream_options":{"continuous_usage_stats":true}}'
"""A request for tokens with every event, which a fleet then has in its column."""

MOST_WAYS = 24
"""Ways in which a reply is cut here, of all that the decoders' own tests try."""


def ways_of(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, in two, in reads of a few sizes; of many ways each so many-th one."""
    ways = cuts(data)
    first, last = ways[:2], ways[-4:]
    between = ways[2:-4]
    step = -(-len(between) // (MOST_WAYS - len(first) - len(last)))
    return [[part for part in way if part] for way in (*first, *between[:: step or 1], *last)]


class Splitting:
    """A server whose reply to ``/7`` is the seventh way to cut a reply, a chunk of HTTP a part."""

    def __init__(self) -> None:
        self.url = ""
        self.head = b""
        self.ways: list[list[bytes]] = []
        self.is_whole = True

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError), closing(writer):
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(BODY))
                way = self.ways[int(asked.split(b" ", 2)[1].strip(b"/"))]
                parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in way]
                writer.write(self.head + b"".join(parts))
                if not self.is_whole:
                    break
                writer.write(b"0\r\n\r\n")
                await writer.drain()


@asynccontextmanager
async def splitting() -> AsyncIterator[Splitting]:
    server = Splitting()
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(server.talk(reader, writer)))

    listening = await asyncio.start_server(accepted, "127.0.0.1", 0)
    server.url = "http://{}:{}".format(*listening.sockets[0].getsockname())
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Rows:
    """Rows of one stream, as they came."""

    kinds: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)


async def read_all(fleet: Fleet, requests: list[Request]) -> tuple[dict[int, Rows], dict[int, Any]]:
    rows: dict[int, Rows] = defaultdict(Rows)
    ends: dict[int, Any] = {}
    fleet.submit_many(requests)
    async for batch in fleet.batches(max_wait=0.002):
        columns = [
            memoryview(each).tolist()
            for each in (batch.tag, batch.kind, batch.length, batch.tokens, batch.at_ns)
        ]
        for tag, kind, length, tokens, moment, text in zip(*columns, batch.texts(), strict=True):
            each = rows[tag]
            each.kinds.append(KINDS[kind])
            each.lengths.append(length)
            each.tokens.append(tokens)
            each.moments.append(moment)
            each.texts.append(text)
        for ended in batch.ended:
            assert ended.tag not in ends
            ends[ended.tag] = ended
    return rows, ends


def decoded(case: Case, chunks: list[bytes], *, whole: bool) -> tuple[DeltaDecoder, list[Delta]]:
    """What a decoder has of the same reads."""
    decoder = DeltaDecoder(
        case["dialect"], content_type=case.get("content_type"), status=case.get("status", 200)
    )
    records: list[Delta] = []
    for chunk in chunks:
        records += decoder.feed_events(chunk, 7)
    records += decoder.close_events(complete=whole, at=7)
    return decoder, records


def state(end: Any, error: Any, usage: Any, finish: Any, ids: Any) -> dict[str, Any]:
    fields = ("kind", "status", "code", "raw", "message")
    return {
        "end": end,
        "error": error
        and {"class": type(error), **{name: getattr(error, name) for name in fields}},
        "usage": usage,
        "finish_reason": finish,
        "ids": ids,
    }


def head_of(case: Case) -> bytes:
    kind = case.get("content_type")
    named = b"" if kind is None else b"Content-Type: %b\r\n" % kind.encode()
    status = b"%d Of It" % case.get("status", 200)
    return b"HTTP/1.1 %b\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (status, named)


async def check(case: Case, data: bytes) -> None:
    """All ways of one reply, under way at once over one fleet."""
    whole = case.get("complete", True)
    async with splitting() as server, Fleet(keep="all", dialect=case["dialect"]) as fleet:
        server.head, server.is_whole = head_of(case), whole
        server.ways = ways_of(data)
        requests = [
            Request(f"{server.url}/{number}", data=BODY, tag=number)
            for number in range(len(server.ways))
        ]
        rows, ends = await read_all(fleet, requests)
    assert sorted(ends) == list(range(len(server.ways)))
    for number, chunks in enumerate(server.ways):
        how = told(chunks)
        decoder, records = decoded(case, chunks, whole=whole)
        ended, seen = ends[number], rows[number]
        ids = (ended.response_id, ended.model)
        found = state(ended.end, ended.error, ended.usage, ended.finish_reason, ids)
        ids = (decoder.ids.get("id"), decoder.ids.get("model"))
        assert found == state(
            decoder.end, decoder.error, decoder.usage, decoder.finish_reason, ids
        ), how
        if case["dialect"] != "text":  # whose deltas are its reads
            assert seen.kinds == [each.kind for each in records], how
            assert seen.texts == [each.text for each in records], how
            assert seen.tokens == [-1 if each.tokens is None else each.tokens for each in records]
            assert ended.deltas == len(records), how
        assert seen.lengths == [len(each) for each in seen.texts], how
        assert seen.moments == sorted(seen.moments), how
        assert ended.text == "".join(each.text for each in records if each.kind == "text"), how


def described_by(parameters: Any) -> Case:
    """The case of a test's parameters."""
    case: Case = parameters.values[0]
    return case


def is_for_a_fleet(described: Case) -> bool:
    """Whether a case wants nothing of a decoder that a fleet does not have."""
    status = described.get("status", 200)
    return not set(OPTIONS) & set(described) and status >= 200 and not 300 <= status < 400


VECTORS = [
    case for case in cases("deltas") + cases("replies") if is_for_a_fleet(described_by(case))
]


@pytest.mark.heavy
@pytest.mark.parametrize("case", VECTORS)
async def test_vector_however_it_is_split(case: Case) -> None:
    await check(case, reply_bytes(case))


@pytest.mark.heavy
@pytest.mark.parametrize("case", cases("field"))
async def test_what_servers_really_send(case: Case) -> None:
    await check(case, input_bytes(case["input"]))


async def test_a_reply_of_each_dialect() -> None:
    """Several dialects over one fleet, named by request."""
    by_dialect = {each["dialect"]: each for each in map(described_by, reversed(VECTORS))}
    async with splitting() as server, Fleet(keep="text") as fleet:
        for dialect, case in sorted(by_dialect.items()):
            server.head, server.ways = head_of(case), [[reply_bytes(case)]]
            whole = server.is_whole = case.get("complete", True)
            request = Request(f"{server.url}/0", data=BODY, dialect=dialect)
            _, ends = await read_all(fleet, [request])
            decoder, records = decoded(case, server.ways[0], whole=whole)
            text = "".join(each.text for each in records if each.kind == "text")
            assert (ends[0].text, ends[0].end) == (text, decoder.end), dialect
