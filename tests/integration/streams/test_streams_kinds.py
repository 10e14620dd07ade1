"""A reply as text and as deltas of every kind, in turns: with asyncio and without, at every kind of
stream that a call returns.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, assert_type

import pytest
from reply_server import DONE, delta, serving

from tailrace import (
    AsyncGeneratorProvider,
    Delta,
    IterListProvider,
    RetryPolicy,
    Site,
    StreamError,
    ToolCall,
    stream_deltas,
    stream_events,
)
from tailrace.errors import InvalidRequestError, RetryProviderError
from tailrace.replica import Replica


def chunk(**delta: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()


def piece(index: int, arguments: str, call_id: str | None = None, name: str | None = None) -> Any:
    return {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}


THOUGHT = chunk(reasoning_content="Hm.")
BEGUN = chunk(tool_calls=[piece(0, '{"at":', "a", "tide")])
REST = chunk(tool_calls=[piece(0, "9}")])
ERROR = b'data: {"error":{"message":"no"}}\n\n'
PARTS = [THOUGHT, delta("Hel"), delta("lo"), BEGUN, REST, chunk(refusal="No."), delta("!"), DONE]
SEEN = [
    Delta("reasoning", "Hm."),
    Delta("text", "Hel"),
    Delta("text", "lo"),
    Delta("tool_call", '{"at":', 0, "a", "tide"),
    Delta("tool_call", "9}", 0),
    Delta("refusal", "No."),
    Delta("text", "!"),
]
CALLS = (ToolCall("a", "tide", '{"at":9}', 0),)
REFUSED = "http://127.0.0.1:9"  # the discard port, on which nothing listens


def site(url: str, **options: Any) -> Site:
    return Site(url, software="openai", model="m", **options)


def more_than_text(stream: Any) -> tuple[object, ...]:
    return stream.tool_calls, stream.reasoning, stream.refusal


ALL = (CALLS, "Hm.", "No.")


# -- deltas ----------------------------------------------------------------------------------------


async def test_a_site_s_reply_as_deltas() -> None:
    async with serving(*PARTS) as server, site(server.url).stream("Hi") as reply:
        deltas = reply.deltas()
        assert [each async for each in deltas] == SEEN
        assert [each async for each in deltas] == []
        assert more_than_text(reply) == more_than_text(deltas) == ALL
        assert (reply.end, deltas.end, repr(deltas)) == ("done", "done", "<Deltas done>")


async def test_who_reads_text_has_all_the_rest_at_the_end() -> None:
    async with serving(*PARTS) as server, site(server.url).stream("Hi") as reply:
        assert more_than_text(reply) == ((), "", "")
        assert [text async for text in reply] == ["Hel", "lo", "!"]
        assert more_than_text(reply) == ALL
        assert reply.outcome.tool_calls[0].parsed() == {"at": 9}


async def test_what_came_so_far_is_there_meanwhile() -> None:
    async with serving(*PARTS, held=True) as server, site(server.url).stream("Hi") as reply:
        deltas = reply.deltas()
        seen = []
        async for _ in deltas:
            seen.append((reply.reasoning, [call.arguments for call in reply.tool_calls]))
            server.go_on()
        assert seen[0] == ("Hm.", [])
        assert [calls for _, calls in seen[3:5]] == [['{"at":'], ['{"at":9}']]


def test_blocking_code_reads_deltas_with_for() -> None:
    with stream_deltas(PARTS) as reply:
        assert list(reply.deltas()) == SEEN
        assert more_than_text(reply) == ALL


async def test_blocking_code_reads_a_site_s_deltas() -> None:
    async with serving(*PARTS) as server:
        reply = site(server.url).stream("Hi")
        assert await asyncio.to_thread(list, reply.deltas()) == SEEN
        assert more_than_text(reply) == ALL
        assert await asyncio.to_thread(site(server.url).stream("Hi").read_text) == "Hello!"


async def test_a_plain_for_over_deltas_in_a_loop_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="async for"):
        iter(site(REFUSED).stream("Hi").deltas())


@pytest.mark.parametrize("source", [PARTS, iter(PARTS)], ids=["memory", "thread"])
async def test_a_batch_has_everything_that_is_ready(source: Any) -> None:
    async with stream_deltas(source) as reply:
        batches: list[Delta] = []
        while batch := await reply.deltas().read():
            batches += batch
        assert batches == SEEN


async def test_records_are_deltas_already() -> None:
    with stream_deltas(PARTS, records=True) as reply:
        assert list(reply.deltas()) == SEEN
        assert more_than_text(reply) == ALL
    with stream_deltas(PARTS, records=True) as reply:
        assert reply.read_text() == "Hello!"
    async with stream_deltas(PARTS, records=True) as reply:
        assert await anext(reply) == SEEN[0]
        assert await reply.text() == "Hello!"


async def test_events_hold_what_they_hold() -> None:
    async with stream_events(PARTS) as reply:
        assert len([each async for each in reply]) == len(PARTS)
        assert more_than_text(reply) == ((), "", "")


# -- in turns --------------------------------------------------------------------------------------


async def test_both_take_turns_and_nothing_comes_twice() -> None:
    async with serving(b"".join(PARTS)) as server, site(server.url).stream("Hi") as reply:
        assert await anext(reply) == "Hel"
        deltas = reply.deltas()
        assert await anext(deltas) == Delta("text", "lo")
        assert await reply.read() == ["!"]
        assert await deltas.read() == []
        assert await reply.read() == []
        assert more_than_text(reply) == ALL


async def test_from_deltas_to_text() -> None:
    async with serving(b"".join(PARTS)) as server, site(server.url).stream("Hi") as reply:
        assert await anext(reply.deltas()) == SEEN[0]
        assert await reply.text() == "Hello!"
        assert await reply.text() == ""
        assert more_than_text(reply) == ALL


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_in_turns_in_blocking_code_however_the_reply_is_cut(size: int) -> None:
    body = b"".join(PARTS)
    with stream_deltas(body[start : start + size] for start in range(0, len(body), size)) as reply:
        deltas = iter(reply.deltas())
        assert next(deltas) == SEEN[0]
        assert next(reply) == "Hel"
        assert next(deltas) == Delta("text", "lo")
        assert reply.read_text() == "!"
        assert next(deltas, None) is None
        assert more_than_text(reply) == ALL


async def test_one_reader_at_a_time() -> None:
    async with serving(*PARTS, held=True) as server, site(server.url).stream("Hi") as reply:
        deltas = reply.deltas()
        await anext(deltas)
        reading = asyncio.ensure_future(anext(deltas))
        await asyncio.sleep(0)
        for other in (anext(reply), reply.read(), anext(reply.deltas())):
            with pytest.raises(InvalidRequestError, match="one at a time"):
                await other
        server.go_on()
        assert await reading == SEEN[1]


# -- text ------------------------------------------------------------------------------------------


async def test_the_rest_of_the_text() -> None:
    async with stream_deltas(PARTS) as reply:
        assert await anext(reply) == "Hel"
        assert await reply.text() == "lo!"
    assert stream_deltas(PARTS).read_text() == "Hello!"


async def test_an_answer_of_tool_calls_alone_is_no_failure() -> None:
    async with serving(BEGUN, REST, DONE) as server, site(server.url).stream("Hi") as reply:
        assert await reply.text() == ""
        assert (reply.end, reply.error, reply.tool_calls) == ("done", None, CALLS)


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"data: {", ERROR])
async def test_all_before_a_failure_comes_first_and_it_is_raised_once(end: bytes) -> None:
    for first, last in (("deltas", "text"), ("text", "deltas")):
        async with stream_deltas([b"".join(PARTS[:-1]) + end]) as reply:
            readers: dict[str, Any] = {"deltas": reply.deltas(), "text": reply}
            expected: list[Any] = SEEN if first == "deltas" else ["Hel", "lo", "!"]
            assert [await anext(readers[first]) for _ in expected] == expected
            with pytest.raises(StreamError):
                await anext(readers[last])
            assert await readers[first].read() == []
            assert await readers[last].read() == []
            assert more_than_text(reply) == ALL


async def test_text_raises_what_ended_the_reply() -> None:
    async with stream_deltas([delta("a"), BEGUN]) as reply:
        with pytest.raises(StreamError, match="broke off"):
            await reply.text()
    (call,) = reply.tool_calls
    with pytest.raises(ValueError, match="the reply was cut"):
        call.parsed()
    with pytest.raises(StreamError, match="broke off"):
        stream_deltas([delta("a")]).read_text()


# -- leaving ---------------------------------------------------------------------------------------


async def test_closing_the_deltas_closes_the_reply() -> None:
    async with serving(*PARTS, held=True) as server:
        async with site(server.url).stream("Hi").deltas() as deltas:
            assert await anext(deltas) == SEEN[0]
        await server.left.wait()
        assert await deltas.read() == []


async def test_deltas_that_were_left_by_break_close_when_the_last_reference_goes() -> None:
    async with serving(*PARTS, held=True) as server:
        async for each in site(server.url).stream("Hi").deltas():
            assert each == SEEN[0]
            break
        await server.left.wait()


# -- read to the end -------------------------------------------------------------------------------


async def test_a_reply_that_was_awaited_is_both() -> None:
    async with serving(*PARTS) as server:
        read = await site(server.url).stream("Hi")
        assert list(read.deltas()) == SEEN
        assert list(read) == []
        read = await site(server.url).stream("Hi")
        assert next(read) == "Hel"
        assert [each async for each in read.deltas()] == [Delta("text", "lo"), Delta("text", "!")]
        assert more_than_text(read) == ALL
        assert list(await site(server.url).stream("Hi").deltas()) == SEEN
        assert await (await site(server.url).stream("Hi")).text() == "Hello!"
        read = await site(server.url).stream("Hi")
        await read.aclose()
        assert await read.deltas().read() == []


async def test_the_failure_of_a_reply_that_was_awaited_comes_last() -> None:
    read = await stream_deltas([delta("a"), THOUGHT])
    assert await read.deltas().read() == [Delta("text", "a"), Delta("reasoning", "Hm.")]
    with pytest.raises(StreamError):
        await anext(read)
    assert await read.read() == []


# -- another attempt, another site -----------------------------------------------------------------


async def test_text_that_has_not_begun_is_asked_for_again() -> None:
    """What came of a reply that is replaced is gone with it."""
    async with serving(THOUGHT, BEGUN, cut=True) as broken, serving(*PARTS) as whole:
        policy = RetryPolicy(attempts=2, first_wait=0.0)
        async with site(broken.url, retry=policy).stream("Hi") as reply:
            with pytest.raises(StreamError, match="broke off"):
                await reply.text()
        assert (broken.connections, len(reply.attempts)) == (2, 1)
        sites = IterListProvider([site(broken.url), site(whole.url)], shuffle=False)
        async with sites.create_async_generator("", [{"role": "user", "content": "Hi"}]) as either:
            assert await either.text() == "Hello!"
        assert more_than_text(either) == ALL
        assert len(either.errors) == 1


async def test_deltas_have_begun_with_the_first_of_any_kind() -> None:
    async with serving(THOUGHT, BEGUN, cut=True) as broken, serving(*PARTS) as whole:
        policy = RetryPolicy(attempts=2, first_wait=0.0)
        async with site(broken.url, retry=policy).stream("Hi") as reply:
            deltas = reply.deltas()
            assert [await anext(deltas) for _ in range(2)] == [SEEN[0], SEEN[3]]
            with pytest.raises(StreamError, match="broke off"):
                await anext(deltas)
        assert (broken.connections, reply.attempts) == (1, ())
        sites = IterListProvider([site(broken.url), site(whole.url)], shuffle=False)
        async with sites.create_async_generator("", [{"role": "user", "content": "Hi"}]) as either:
            deltas = either.deltas()
            assert [await anext(deltas) for _ in range(2)] == [SEEN[0], SEEN[3]]
            with pytest.raises(StreamError, match="broke off"):
                await anext(deltas)
        assert (either.end, either.errors, either.reasoning) == ("truncated", (), "Hm.")


async def test_a_list_of_sites_gives_deltas_of_the_one_that_answers() -> None:
    async with serving(*PARTS) as server:
        sites = IterListProvider([site(REFUSED), site(server.url)], shuffle=False)
        messages = [{"role": "user", "content": "Hi"}]
        async with sites.create_async_generator("", messages) as reply:
            assert [each async for each in reply.deltas()] == SEEN
            assert more_than_text(reply) == ALL
        async with sites.create_async_generator("", messages) as reply:
            assert await anext(reply.deltas()) == SEEN[0]
            assert await anext(reply) == "Hel"
            assert await anext(reply.deltas()) == Delta("text", "lo")
            assert await reply.text() == "!"
        with pytest.raises(RetryProviderError):
            await IterListProvider([site(REFUSED)]).create_async_generator("", messages).text()


async def test_a_turn_of_a_conversation() -> None:
    async with serving(*PARTS) as server:
        conversation = site(server.url).conversation()
        async with conversation.send("Hi") as reply:
            assert await anext(reply.deltas()) == SEEN[0]
            assert await anext(reply) == "Hel"
            assert await reply.deltas().read() != []
            assert await reply.text() in ("", "!")
            while await reply.deltas().read():
                pass
            assert more_than_text(reply) == ALL
        said = conversation.messages[-1]
        assert (said["content"], said["refusal"]) == ("Hello!", "No.")
        assert [call["id"] for call in said["tool_calls"]] == ["a"]
        async with conversation.send("Hi") as reply:
            assert await anext(reply.deltas()) == SEEN[0]
        assert len(conversation.messages) == 2


# -- a stream of the caller's own ------------------------------------------------------------------


class Own(AsyncGeneratorProvider):
    @classmethod
    async def create_async_generator(cls, *_: Any, **__: Any) -> Any:
        yield "Hel"
        yield None
        for each in SEEN:
            if each.text != "Hel":
                yield each


OWN = [Delta("text", "Hel"), *(each for each in SEEN if each.text != "Hel")]


async def test_a_generator_of_the_caller_s_own_may_give_deltas() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    async with IterListProvider([Own]).create_async_generator("", messages) as reply:
        assert [each async for each in reply.deltas()] == OWN
        assert more_than_text(reply) == ALL
    async with IterListProvider([Own]).create_async_generator("", messages) as reply:
        assert await reply.text() == "Hello!"
        assert more_than_text(reply) == ALL
    assert await Own.create_async("", messages) == "Hello!"


async def test_a_generator_may_pass_on_what_a_site_gives() -> None:
    async with serving(*PARTS) as server:

        class Passing(AsyncGeneratorProvider):
            @classmethod
            async def create_async_generator(cls, *_: Any, **__: Any) -> Any:
                async for each in site(server.url).stream("Hi").deltas():
                    yield each

        class Returning(AsyncGeneratorProvider):
            @classmethod
            def create_async_generator(cls, *_: Any, **__: Any) -> Any:
                return site(server.url).stream("Hi").deltas()

        for own in (Passing, Returning):
            messages = [{"role": "user", "content": "Hi"}]
            async with IterListProvider([own]).create_async_generator("", messages) as reply:
                assert await reply.deltas().read() == SEEN[:1]
                assert await reply.text() == "Hello!"
                assert more_than_text(reply) == ALL


async def test_the_types_of_what_is_read() -> None:
    async with stream_deltas(PARTS) as stream:
        assert_type(await anext(stream), str)
        assert_type(await anext(stream.deltas()), Delta)
        assert_type(await stream.deltas().read(), list[Delta])
        assert_type(await stream.text(), str)
        assert_type(stream.tool_calls, tuple[ToolCall, ...])


# -- a model's own ---------------------------------------------------------------------------------


async def test_what_a_model_of_the_replica_says() -> None:
    tide = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
    async with Replica() as replica:
        asked = site(replica.url("openai") + "/v1", tools=[tide])
        asked = asked.replace(model="gpt-4o-mini")
        async with asked.stream("[[think]] [[tools]]") as reply:
            kinds = [each.kind async for each in reply.deltas()]
            assert {"reasoning", "tool_call"} <= {*kinds}
            assert reply.reasoning != ""
            assert [call.name for call in reply.tool_calls] == ["tide", "tide"]
            assert all(isinstance(call.parsed(), dict) for call in reply.tool_calls)
            assert (reply.end, reply.finish_reason) == ("done", "tool_calls")
        async with asked.stream("[[refuse]]") as reply:
            assert await reply.text() == ""
            assert (reply.end, bool(reply.refusal)) == ("done", True)
