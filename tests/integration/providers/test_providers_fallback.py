"""Lists of providers: the next one answers when one fails before its first delta, and what is said
when all fail.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import random
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import DONE, HTML, JSON, SSE, Asked, Line, Site, bot, delta, page, sockets_to

from tailrace import IterListProvider, RetryProvider, WordPressChatProvider, errors
from tailrace._calls.token_cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Iterable

HI = [{"role": "user", "content": "PROMPT-of-the-caller"}]
REFUSED = "http://127.0.0.1:9"  # the discard port, on which nothing listens


def provider(name: str, url: str, **more: Any) -> type[WordPressChatProvider]:
    return type(name, (WordPressChatProvider,), {"url": url, "token_cache": TokenCache(), **more})


def busy(*, times: int, retry_after: str = "") -> Any:
    """A site that answers 503 to the first posts, then "late"."""
    left = [times]

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page())
        elif left[0] > 0:
            left[0] -= 1
            await line.reply(
                b'{"error":{"message":"busy"}}', JSON, "503 Service Unavailable", retry_after
            )
        else:
            await line.begin(SSE)
            await line.chunks((delta("late"), DONE))
            await line.end()

    return answer


class Naps:
    """Waits nothing, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def test_the_next_provider_answers_when_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    async with Site(bot(delta("Hi"), delta("!"), DONE)) as site:
        good = provider("Good", site.url)
        both = IterListProvider([provider("Refused", REFUSED), good], shuffle=False)
        with caplog.at_level(logging.WARNING, "tailrace"):
            async with both.create_async_generator("", HI) as stream:
                assert [each async for each in stream] == ["Hi", "!"]
        assert (stream.end, stream.error, stream.provider, both.last_provider) == (
            "done",
            None,
            good,
            good,
        )
        ((name, error),) = stream.errors
        assert (name, type(error)) == ("Refused", errors.ConnectError)
        assert (
            "Refused failed before its first delta, Good is asked next: ConnectError" in caplog.text
        )
        assert "PROMPT" not in caplog.text


async def test_after_a_delta_no_other_is_asked() -> None:
    async with Site(bot(delta("Hi"))) as broken, Site(bot(delta("never"), DONE)) as other:
        both = IterListProvider(
            [provider("Broken", broken.url), provider("Other", other.url)], shuffle=False
        )
        async with both.create_async_generator("", HI) as stream:
            assert await anext(stream) == "Hi"
            with pytest.raises(errors.StreamError) as raised:
                await anext(stream)
            assert await stream.read() == []
        assert (raised.value.kind, stream.end) == ("truncated", "truncated")
        assert stream.error is raised.value
        assert other.asked == []


async def test_when_all_fail_the_error_tells_of_each() -> None:
    async with Site(bot(HTML.encode(), content_type=JSON, status="500 Oops")) as site:
        names = [provider("Refused", REFUSED), provider("Oops", site.url)]
        stream = IterListProvider(names, shuffle=False).create_async_generator("", HI)
        async with stream:
            with pytest.raises(errors.RetryProviderError) as raised:
                await stream.read()
            assert await stream.read() == []
    error = raised.value
    assert [(name, type(each)) for name, each in error.errors] == [
        ("Refused", errors.ConnectError),
        ("Oops", errors.ResponseStatusError),
    ]
    assert str(error).startswith(
        "every provider failed: Refused: ConnectError: http://127.0.0.1:9 could not be"
    )
    assert "; Oops: ResponseStatusError: " in str(error)
    assert (stream.error, stream.end) == (error, "failed")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - made here
        assert (str(again), again.args) == (str(error), error.args)
        assert [name for name, _ in again.errors] == ["Refused", "Oops"]


async def test_the_callers_own_fault_is_raised_at_once() -> None:
    async with Site(bot(delta("never"), DONE)) as site:
        both = IterListProvider([provider("A", site.url), provider("B", site.url)])
        for messages, more in (([], {}), (HI, {"timeout": -1}), (HI, {"cookies": "a=b"})):
            with pytest.raises(errors.InvalidRequestError):
                await both.create_async("", messages, **more)
        assert site.asked == []


async def test_a_model_that_one_does_not_know_may_be_known_to_the_next() -> None:
    async with Site(bot(delta("Hi"), DONE)) as site:
        picky = provider("Picky", site.url, models=["a"], default_model="a")
        other = provider("Other", site.url, models=["b", "a"], default_model="b")
        both = IterListProvider([picky, other], shuffle=False)
        assert both.get_models() == ["a", "b"]
        async with both.create_async_generator("b", HI) as stream:
            assert await stream.read() == ["Hi"]
        assert stream.provider is other
        with pytest.raises(errors.RetryProviderError):
            await both.create_async("c", HI)


async def test_one_that_is_marked_as_not_working_is_not_asked() -> None:
    async with Site(bot(delta("Hi"), DONE)) as site:
        off = provider("Off", site.url, working=False)
        both = IterListProvider([off, provider("On", site.url)], shuffle=False)
        assert both.working
        assert await both.create_async("", HI) == "Hi"
        only = IterListProvider([off])
        assert not only.working
        with pytest.raises(errors.RetryProviderError) as raised:
            await only.create_async("", HI)
        assert isinstance(raised.value.errors[0][1], errors.ProviderNotWorkingError)


def test_an_empty_list_has_nobody_to_ask() -> None:
    for empty in (IterListProvider([]), RetryProvider([])):
        with pytest.raises(errors.RetryNoProviderError, match="empty"):
            empty.create_async_generator("", HI)
        assert (
            empty.working,
            empty.needs_auth,
            empty.supports_system_message,
            empty.get_models(),
        ) == (
            False,
            False,
            False,
            [],
        )


async def test_chance_orders_them_anew_at_each_call() -> None:
    async with Site(bot(delta("Hi"), DONE)) as site:
        names = [provider(each, site.url) for each in "ABCD"]

        async def asked(listed: IterListProvider) -> list[Any]:
            seen = []
            for _ in range(12):
                await listed.create_async("", HI)
                seen.append(listed.last_provider)
            return seen

        first = await asked(IterListProvider(names, chance=random.Random(7)))
        assert first == await asked(IterListProvider(names, chance=random.Random(7)))
        assert len(set(first)) > 1
        assert set(await asked(IterListProvider(names, shuffle=False))) == {names[0]}


async def test_a_list_may_stand_in_a_list() -> None:
    async with Site(bot(delta("Hi"), DONE)) as site:
        inner = IterListProvider([provider("Refused", REFUSED)])
        outer = RetryProvider([inner, provider("Good", site.url)], shuffle=False)
        async with outer.create_async_generator("", HI) as stream:
            assert await stream.read() == ["Hi"]
        ((name, error),) = stream.errors
        assert (name, type(error)) == ("IterListProvider", errors.RetryProviderError)


async def test_an_instance_may_stand_in_a_list() -> None:
    async with Site(bot(delta("Hi"), DONE)) as site:
        good = provider("Good", site.url)()
        both = IterListProvider([provider("Away", REFUSED)(), good], shuffle=False)
        async with both.create_async_generator("", HI) as stream:
            assert await stream.read() == ["Hi"]
        assert [name for name, _ in stream.errors] == ["Away"]
        assert stream.provider is good


@pytest.mark.parametrize("item", [None, "ChatGptt", ["ChatGptt"], 5])
def test_a_list_of_anything_else_is_refused_at_once(item: Any) -> None:
    with pytest.raises(errors.InvalidRequestError, match=f"not {type(item).__name__}$"):
        IterListProvider([provider("Away", REFUSED), item])


async def test_one_provider_is_asked_again_where_its_failure_passes() -> None:
    naps = Naps()
    async with Site(busy(times=2, retry_after="Retry-After: 7\r\n")) as site:
        patient = RetryProvider(
            [provider("Busy", site.url)],
            True,  # noqa: FBT003 - as gpt4free's callers write it
            True,  # noqa: FBT003
            3,
            chance=random.Random(1),
            sleep=naps,
        )
        assert await patient.create_async("", HI) == "late"
        assert site.methods["POST"] == 3
    assert [7.25 <= naps.seconds[0] <= 7.5, 7.5 <= naps.seconds[1] <= 8] == [True, True]


async def test_the_error_in_the_end_knows_the_attempts_before_it() -> None:
    naps = Naps()
    async with Site(busy(times=9)) as site:
        patient = RetryProvider(
            [provider("Busy", site.url)], single_provider_retry=True, max_retries=2, sleep=naps
        )
        with pytest.raises(errors.RetryProviderError) as raised:
            await patient.create_async("", HI)
        assert site.methods["POST"] == 2
    ((_, error),) = raised.value.errors
    assert [type(each) for each in error.attempts] == [errors.ResponseStatusError]
    assert error.__notes__ == [
        "attempt 2 of 2 failed with ResponseStatusError, and it was the last"
    ]
    assert (
        error.attempts[0]
        .__notes__[0]
        .startswith("attempt 1 of 2 failed with ResponseStatusError: again in 0.")
    )


async def test_without_single_provider_retry_each_is_asked_once() -> None:
    async with Site(busy(times=9)) as site:
        with pytest.raises(errors.RetryProviderError):
            await RetryProvider([provider("Busy", site.url)] * 2).create_async("", HI)
        assert site.methods["POST"] == 2


def test_it_is_used_as_a_provider_class_is() -> None:
    listed = RetryProvider([provider("A", REFUSED, models=["a"], default_model="a")])
    assert listed.__name__ == "RetryProvider"
    assert listed.get_dict() == {"name": "RetryProvider", "url": "", "label": None}
    assert listed.params.startswith("RetryProvider supports: (\n    model: ")
    assert (
        listed.working,
        listed.supports_stream,
        listed.supports_system_message,
        listed.needs_auth,
    ) == (
        True,
        True,
        True,
        False,
    )
    assert listed.get_create_function() == listed.create_completion
    assert listed.get_async_create_function() == listed.create_async_generator


async def test_the_blocking_call_works_inside_a_loop() -> None:
    async with Site(bot(delta("H"), delta("i"), DONE)) as site:
        both = IterListProvider(
            [provider("Refused", REFUSED), provider("Good", site.url)], shuffle=False
        )

        def asked(*, stream: bool) -> Iterable[str]:
            return list(both.create_completion("", HI, stream))

        assert "".join(await asyncio.to_thread(asked, stream=True)) == "Hi"
        assert await asyncio.to_thread(asked, stream=False) == ["Hi"]
    with pytest.raises(errors.InvalidRequestError, match="loop of its own"):
        both.create_completion("", HI, transport=object())


async def test_leaving_closes_the_connection_of_the_one_asked() -> None:
    async def stalls(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page())
        else:
            await line.begin(SSE)
            await line.stall()

    async with Site(stalls) as site:
        both = IterListProvider(
            [provider("Refused", REFUSED), provider("Stalls", site.url)], shuffle=False
        )
        stream = both.create_async_generator("", HI)
        reading = asyncio.create_task(stream.read())
        await site.until(lambda: site.methods["POST"] == 1)
        with pytest.raises(errors.InvalidRequestError, match="another task"):
            await stream.read()
        await stream.aclose()
        assert await reading == []
        assert sockets_to(site.port) == 0
        assert await stream.read() == []


async def test_leaving_ends_a_wait_between_two_attempts() -> None:
    began = asyncio.Event()

    async def endless(_: float) -> None:
        began.set()
        await asyncio.Event().wait()

    async with Site(busy(times=9)) as site:
        patient = RetryProvider(
            [provider("Busy", site.url)], single_provider_retry=True, sleep=endless
        )
        stream = patient.create_async_generator("", HI)
        reading = asyncio.create_task(stream.read())
        await began.wait()
        assert (stream.end, sockets_to(site.port)) == ("open", 0)
        await stream.aclose()
        assert await reading == []
        cancelled = asyncio.create_task(patient.create_async("", HI))
        began.clear()
        await began.wait()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
