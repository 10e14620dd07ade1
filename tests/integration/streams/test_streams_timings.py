"""The times of a reply and the JSON of its events: by a clock that the test moves, at every kind of
stream, with asyncio and without.
"""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from reply_server import DONE, delta, serving

from tailrace import (
    Delta,
    IterListProvider,
    RetryPolicy,
    Site,
    StreamError,
    Timings,
    stream_deltas,
    stream_events,
)
from tailrace._environment import Environment
from tailrace.errors import InvalidRequestError, NetworkError
from tailrace.errors import TimeoutError as OurTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator


def chunk(usage: int | None = None, ids: int = 0, **delta: Any) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    if ids:
        choice["token_ids"] = list(range(ids))
    event: dict[str, Any] = {"choices": [choice]}
    if usage is not None:
        event["usage"] = {"prompt_tokens": 1, "completion_tokens": usage}
    return b"data: %b\n\n" % json.dumps(event).encode()


ROLE = chunk(role="assistant")
THOUGHT = chunk(reasoning_content="Hm.")
PARTS = [ROLE, THOUGHT, delta("Hel"), delta("lo"), DONE]
REFUSED = "http://127.0.0.1:9"  # the discard port, on which nothing listens


class Clock:
    """A clock that tells another time whenever it is asked: 10, 20, ..., and how often that was."""

    def __init__(self) -> None:
        self._ticks = count(10, 10)
        self.last = 0

    def __call__(self) -> int:
        self.last = next(self._ticks)
        return self.last


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def environment(clock: Clock) -> Environment:
    return Environment(monotonic_ns=clock)


def site(url: str, **options: Any) -> Site:
    return Site(url, software="openai", model="m", **options)


def told(reply: Any) -> Timings:
    assert isinstance(reply.timings, Timings)
    return reply.timings


def one_by_one(parts: list[bytes]) -> Iterator[bytes]:
    yield from parts


# -- sources ---------------------------------------------------------------------------------------


def test_each_read_has_its_time(environment: Environment) -> None:
    deltas = stream_deltas(PARTS, records=True, timings=True, environment=environment)
    with deltas as reply:
        assert [(each.text, each.at) for each in reply] == [("Hm.", 20), ("Hel", 30), ("lo", 40)]
    assert told(reply) == Timings(None, None, 10, 20, 30, 40, 50, (10, 10))


def test_what_one_read_brings_has_one_time(environment: Environment) -> None:
    with stream_deltas([b"".join(PARTS)], timings=True, environment=environment) as reply:
        assert list(reply) == ["Hel", "lo"]
    assert told(reply) == Timings(None, None, 10, 10, 10, 10, 10, (0, 0))


async def test_with_asyncio_it_is_the_same(environment: Environment) -> None:
    async with stream_deltas(PARTS, timings=True, environment=environment) as reply:
        assert [text async for text in reply] == ["Hel", "lo"]
    assert told(reply) == Timings(None, None, 10, 20, 30, 40, 50, (10, 10))


def test_in_a_thread_it_is_the_same(environment: Environment) -> None:
    source = one_by_one(PARTS)
    with stream_deltas(source, timings=True, idle=60, environment=environment) as reply:
        assert list(reply) == ["Hel", "lo"]
    assert told(reply) == Timings(None, None, 10, 20, 30, 40, 50, (10, 10))


def test_an_event_in_pieces_has_the_time_of_its_last_one(environment: Environment) -> None:
    whole = delta("Hi")
    pieces = [whole[:9], whole[9:], DONE]
    with stream_deltas(pieces, records=True, timings=True, environment=environment) as reply:
        assert [each.at for each in reply] == [20]
    assert told(reply) == Timings(None, None, 20, 20, 20, 20, 30)


def test_events_have_times(environment: Environment) -> None:
    with stream_events(PARTS, timings=True, environment=environment) as events:
        assert [each.at for each in events] == [10, 20, 30, 40, 50]
    assert told(events) == Timings(None, None, 10, None, None, 50, 60, (10, 10, 10, 10))


async def test_events_have_times_with_asyncio(environment: Environment) -> None:
    async with stream_events([ROLE + THOUGHT], timings=True, environment=environment) as events:
        assert [each.at async for each in events] == [10, 10]
    assert told(events) == Timings(None, None, 10, None, None, 10, 20, (0,))


def test_a_body_is_one_event(environment: Environment) -> None:
    body = json.dumps({"choices": [{"message": {"content": "Hi"}}]}).encode()
    source = [body[:20], body[20:]]
    with stream_deltas(
        source, records=True, timings=True, keep_raw=True, environment=environment
    ) as reply:
        assert list(reply) == [Delta("text", "Hi", raw=body.decode(), at=30)]
    assert told(reply) == Timings(None, None, 30, 30, 30, 30, 30)


def test_what_never_came_is_none(environment: Environment) -> None:
    error = b'data: {"error":{"message":"no"}}\n\n'
    reply = stream_deltas([ROLE, error], timings=True, environment=environment)
    with reply, pytest.raises(StreamError):
        list(reply)
    assert told(reply) == Timings(first_event=10, end=20)
    assert (told(reply).duration, told(reply).time_to_first_token) == (None, None)
    assert told(reply).inter_token_latency(5) is None


def test_a_reply_that_is_left_has_no_end(environment: Environment) -> None:
    with stream_deltas(PARTS, timings=True, environment=environment) as reply:
        next(iter(reply))
    assert told(reply) == Timings(None, None, 10, 20, 30, 30, None, (10,))


def test_a_broken_reply_has_the_time_of_the_break(environment: Environment) -> None:
    def breaking() -> Iterator[bytes]:
        yield delta("Hi")
        raise OSError

    reply = stream_deltas(breaking(), timings=True, environment=environment)
    with reply, pytest.raises(StreamError):
        list(reply)
    assert told(reply) == Timings(None, None, 10, 10, 10, 10, 20)


async def test_a_silence_has_the_time_at_which_it_was_too_long(environment: Environment) -> None:
    async def silent() -> Any:
        yield delta("Hi")
        await asyncio.Event().wait()

    stream = stream_deltas(silent(), timings=True, idle=0.001, environment=environment)
    with pytest.raises(OurTimeoutError):
        async with stream as reply:
            assert [text async for text in reply] == ["Hi"]
    assert told(stream) == Timings(None, None, 10, 10, 10, 10, 20)


def test_without_being_asked_for_nothing_is_taken(clock: Clock, environment: Environment) -> None:
    for keep_raw in (False, True):
        with stream_deltas(
            PARTS, records=True, environment=environment, keep_raw=keep_raw
        ) as reply:
            assert {(each.at, each.tokens) for each in reply} == {(None, None)}
        assert reply.timings is None
    with stream_events(PARTS, environment=environment) as events:
        assert {each.at for each in events} == {None}
    assert clock.last == 0


def test_gaps_are_kept_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    monkeypatch.setattr("tailrace._streams.observing._MOST_GAPS", 2)
    source = [delta("a"), delta("b"), delta("c") + delta("d"), DONE]
    with stream_deltas(source, timings=True, environment=environment) as reply:
        assert list(reply) == ["a", "b", "c", "d"]
    assert (told(reply).gaps, told(reply).further_gaps) == ((10, 10), 1)


# -- tokens ----------------------------------------------------------------------------------------


def tokens_of(source: list[bytes]) -> list[int | None]:
    with stream_deltas(source, records=True, timings=True) as reply:
        return [each.tokens for each in reply]


def test_a_running_usage_tells_tokens() -> None:
    parts = [
        chunk(0, role="assistant"),
        chunk(3, content="a"),
        chunk(3, content="b"),
        chunk(5, content="c"),
    ]
    assert tokens_of([*parts, DONE]) == tokens_of([b"".join(parts) + DONE]) == [3, None, 5]


def test_ids_of_tokens_are_counted() -> None:
    parts = [chunk(ids=2, content="a"), chunk(content="b"), chunk(ids=3, content="c")]
    assert tokens_of([*parts, DONE]) == tokens_of([b"".join(parts) + DONE]) == [2, None, 5]


def test_a_latency_a_token() -> None:
    assert Timings(first_delta=100, last=400).inter_token_latency(4) == 100
    assert Timings(first_delta=100, last=400).inter_token_latency(4, first=2) == 150
    assert Timings(first_delta=100, last=400).inter_token_latency(1) is None


# -- raw JSON --------------------------------------------------------------------------------------


def data_of(event: bytes) -> str:
    return event.decode().removeprefix("data: ").strip()


RAW = [data_of(event) for event in PARTS[:-1]]


@pytest.mark.parametrize("source", [PARTS, [b"".join(PARTS)]], ids=["in parts", "at once"])
def test_each_event_s_json_is_kept(source: list[bytes]) -> None:
    with stream_deltas(source, records=True, keep_raw=True) as reply:
        deltas = list(reply)
    assert [each.raw for each in deltas] == RAW
    assert [each.text for each in deltas] == ["", "Hm.", "Hel", "lo"]
    assert reply.reasoning == "Hm."


def test_deltas_of_one_event_share_its_json() -> None:
    event = chunk(reasoning_content="Hm.", content="Hi")
    with stream_deltas([event, DONE], records=True, keep_raw=True) as reply:
        first, second = reply
    assert (first.kind, second.kind) == ("reasoning", "text")
    assert first.raw is second.raw == data_of(event)


def test_text_alone_stays_text() -> None:
    with stream_deltas(PARTS, keep_raw=True) as reply:
        assert list(reply) == ["Hel", "lo"]


async def test_what_waits_as_text_keeps_all_when_deltas_are_read(environment: Environment) -> None:
    options: Any = {"timings": True, "keep_raw": True, "environment": environment}
    async with stream_deltas([b"".join(PARTS)], **options) as reply:
        assert await anext(reply) == "Hel"
        assert await anext(reply.deltas()) == Delta("text", "lo", raw=RAW[3], at=10)


# -- sites -----------------------------------------------------------------------------------------


async def test_a_site_s_reply_has_its_request_s_times(environment: Environment) -> None:
    async with serving(*PARTS, held=True) as server:
        asked = site(server.url, environment=environment)
        async with asked.stream("Hi", timings=True, keep_raw=True) as reply:
            seen = []
            async for each in reply.deltas():
                seen.append((each.text, each.raw, each.at))
                server.go_on()
    assert [(text, raw) for text, raw, _ in seen] == list(
        zip(["", "Hm.", "Hel", "lo"], RAW, strict=True)
    )
    times = told(reply)
    assert (times.sent, times.first_byte, times.first_event) == (10, 20, 30)
    assert [at for _, _, at in seen] == [30, 40, 50, 60]
    assert (times.first_delta, times.first_text, times.last, times.gaps) == (40, 50, 60, (10, 10))
    assert (times.end, times.duration, times.time_to_first_token) == (70, 60, 30)
    assert (times.time_to_first_text, reply.outcome.timings) == (40, times)


async def test_a_site_may_have_it_for_all_its_calls(environment: Environment) -> None:
    async with serving(*PARTS) as server:
        timed = site(server.url, environment=environment, timings=True)
        async with timed.stream("Hi") as reply:
            assert await reply.text() == "Hello"
            assert told(reply).end is not None
        async with timed.stream("Hi", timings=False) as untimed:
            assert await untimed.text() == "Hello"
            assert untimed.timings is None
        provider = IterListProvider([timed])
        async with provider.create_async_generator(
            "", [{"role": "user", "content": "Hi"}]
        ) as reply:
            assert await reply.text() == "Hello"
            assert told(reply).first_text is not None
        assert told(await timed.stream("Hi")).first_text is not None


async def test_what_waits_as_text_keeps_all_in_every_stream(environment: Environment) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    async with serving(b"".join(PARTS)) as server:
        asked = site(server.url, environment=environment, timings=True, keep_raw=True)
        for stream in (
            asked.stream("Hi"),
            asked.conversation().send("Hi"),
            IterListProvider([asked]).create_async_generator("", messages),
            await asked.stream("Hi"),
        ):
            async with stream as reply:
                assert await anext(reply) == "Hel"
                found = await anext(reply.deltas())
                assert (found.text, found.raw) == ("lo", RAW[3])
                assert found.at == told(reply).first_event


async def test_blocking_code_has_them_too(environment: Environment) -> None:
    async with serving(*PARTS) as server:
        reply = site(server.url, environment=environment).stream("Hi", timings=True)
        assert await asyncio.to_thread(reply.read_text) == "Hello"
    assert told(reply).sent == 10


async def test_of_a_request_that_is_repeated_the_last_one_counts(environment: Environment) -> None:
    async with serving(b"{}", status="503 Service Unavailable") as server:
        asked = site(server.url, environment=environment, timings=True)
        reply = asked.stream("Hi", retry=RetryPolicy(attempts=2, first_wait=0.001))
        with pytest.raises(StreamError):
            await reply.text()
    assert len(reply.attempts) == 1
    first, second = told(reply).sent, told(reply).end
    assert first is not None
    assert second is not None
    assert second > first > 10


async def test_a_call_that_fails_before_its_reply_has_no_times(environment: Environment) -> None:
    async with site(REFUSED, environment=environment).stream("Hi", timings=True) as reply:
        with pytest.raises(NetworkError):
            await reply.read()
    assert told(reply) == Timings(sent=10)


def test_the_options_are_checked() -> None:
    for wrong in ({"timings": 1}, {"keep_raw": "yes"}):
        with pytest.raises(InvalidRequestError, match="true or false"):
            site(REFUSED).stream("Hi", **wrong)
