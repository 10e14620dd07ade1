"""The same site asked again before the first delta: by class of error, after a wait, and told in
the end.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import random
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import DONE, JSON, SSE, Asked, Line, Site, delta, page, sockets_to

from tailrace import ChatStream, RetryPolicy, WordPressChatProvider, errors
from tailrace._calls.retry_policy import passes
from tailrace._calls.retrying import Retrying
from tailrace._calls.token_cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tailrace._calls.exchange import Exchange

    Reply = Callable[[Line], Awaitable[None]]

HI = [{"role": "user", "content": "PROMPT-of-the-caller"}]
STEADY = random.Random(3)


class Naps:
    """Waits nothing, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def status(line: str, headers: str = "") -> Reply:
    async def reply(way: Line) -> None:
        await way.reply(b'{"error":{"message":"not now"}}', JSON, line, headers)

    return reply


async def resets(way: Line) -> None:
    way.reset()


async def breaks(way: Line) -> None:
    """A reply that ends before its first delta."""
    await way.begin(SSE)
    await way.chunks((b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n',))


async def stalls(way: Line) -> None:
    await way.begin(SSE)
    await way.stall()


async def answers(way: Line) -> None:
    await way.begin(SSE)
    await way.chunks((delta("late"), DONE))
    await way.end()


async def breaks_late(way: Line) -> None:
    await way.begin(SSE)
    await way.chunks((delta("begun"),))


def site_of(*replies: Reply) -> Site:
    """A site whose posts are answered by `replies` in turn."""
    waiting = list(replies)

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(page())
        else:
            await waiting.pop(0)(line)

    return Site(answer)


def retried(
    site: Site,
    policy: RetryPolicy,
    *,
    sleep: Any,
    idle: float | None = None,
    total: float | None = None,
) -> ChatStream:
    cache: TokenCache[Any] = TokenCache()

    def exchange() -> Exchange:
        stream = WordPressChatProvider.create_async_generator(
            "", HI, url=site.url, token_cache=cache
        )
        made: Exchange = stream._exchange
        return made

    return ChatStream(
        Retrying(exchange, policy, chance=STEADY, sleep=sleep), idle=idle, total=total
    )


@pytest.mark.parametrize(
    ("failure", "idle"),
    [
        (status("429 Slow down"), None),
        (status("500 Oops"), None),
        (status("502 Bad Gateway"), None),
        (status("503 Busy"), None),
        (status("504 Too late"), None),
        (status("524 A Timeout Occurred"), None),
        (status("529 Site Is Overloaded"), None),
        (resets, None),
        (breaks, None),
        (stalls, 0.05),
    ],
)
async def test_a_failure_that_passes_is_repeated(failure: Reply, idle: float | None) -> None:
    naps = Naps()
    async with site_of(failure, failure, answers) as site:
        async with retried(site, RetryPolicy(attempts=3), sleep=naps, idle=idle) as stream:
            assert [each async for each in stream] == ["late"]
        assert (stream.end, stream.error, len(stream.attempts)) == ("done", None, 2)
        assert site.methods == {"GET": 1, "POST": 3}
        assert sockets_to(site.port) == 0
    assert len(naps.seconds) == 2


@pytest.mark.parametrize(
    "line", ["400 Bad", "401 Who", "402 Pay", "404 Where", "413 Long", "501 What"]
)
async def test_a_failure_that_lasts_is_not(line: str) -> None:
    naps = Naps()
    async with site_of(status(line)) as site:
        async with retried(site, RetryPolicy(attempts=3), sleep=naps) as stream:
            with pytest.raises(errors.ResponseStatusError) as raised:
                await stream.read()
        assert site.methods["POST"] == 1
    assert naps.seconds == []
    assert raised.value.attempts == stream.attempts == ()
    assert raised.value.__notes__[0].endswith("which is not worth another")


async def test_nothing_is_repeated_after_the_first_delta() -> None:
    async with site_of(resets, breaks_late) as site:
        async with retried(site, RetryPolicy(attempts=5), sleep=Naps()) as stream:
            assert await anext(stream) == "begun"
            with pytest.raises(errors.StreamError) as raised:
                await anext(stream)
        assert site.methods["POST"] == 2
    assert [type(each) for each in raised.value.attempts] == [errors.NetworkError]


async def test_a_site_that_refuses_connections_is_asked_again() -> None:
    naps = Naps()
    async with site_of() as site:
        gone = site
    async with retried(gone, RetryPolicy(attempts=4), sleep=naps) as stream:
        with pytest.raises(errors.ConnectError) as raised:
            await stream.read()
    assert len(naps.seconds) == len(raised.value.attempts) == 3


async def test_every_decision_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with site_of(*[status("503 Busy")] * 2) as site:
        with caplog.at_level(logging.INFO, "tailrace"):
            async with retried(site, RetryPolicy(attempts=2), sleep=Naps()) as stream:
                with pytest.raises(errors.ResponseStatusError) as raised:
                    await stream.read()
    (before,) = raised.value.attempts
    assert isinstance(before, errors.ResponseStatusError)
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("attempt 1 of 2 failed with ResponseStatusError: again in 0.")
    assert last.startswith("attempt 2 of 2 failed with ResponseStatusError, and it was the last: ")
    assert first.startswith(before.__notes__[0])
    assert last.startswith(raised.value.__notes__[0])
    assert "PROMPT" not in caplog.text
    again = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 - made here
    assert [str(each) for each in again.attempts] == [str(before)]


async def test_the_wait_doubles_and_half_of_it_is_chance() -> None:
    naps = Naps()
    policy = RetryPolicy(attempts=6, first_wait=1, longest_wait=5)
    async with (
        site_of(*[status("503 Busy")] * 5, answers) as site,
        retried(site, policy, sleep=naps) as stream,
    ):
        assert await stream.read() == ["late"]
    assert [
        low <= nap <= 2 * low for low, nap in zip((0.5, 1, 2, 2.5, 2.5), naps.seconds, strict=True)
    ] == [True] * 5
    assert len(set(naps.seconds)) == 5


async def test_retry_after_is_waited_for() -> None:
    naps = Naps()
    asked = (
        "Retry-After: 7\r\n",
        "Date: Fri, 20 Nov 2026 10:00:00 GMT\r\nRetry-After: Fri, 20 Nov 2026 10:00:30 GMT\r\n",
        "Retry-After: soon\r\n",
    )
    replies = [status("503 Busy", headers) for headers in asked]
    async with (
        site_of(*replies, answers) as site,
        retried(site, RetryPolicy(attempts=4), sleep=naps) as stream,
    ):
        assert await stream.read() == ["late"]
    seconds = [
        each.retry_after for each in stream.attempts if isinstance(each, errors.ResponseStatusError)
    ]
    assert seconds == [7, 30, None]
    assert [int(each) for each in naps.seconds[:2]] == [7, 30]
    assert naps.seconds[2] <= 2


async def test_a_page_that_is_not_there_yet_is_asked_for_again() -> None:
    naps = Naps()
    busy = [True]

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "POST":
            await answers(line)
        elif busy:
            busy.clear()
            await line.reply(b"soon", "text/html", "503 Busy", "Retry-After: 9\r\n")
        else:
            await line.reply(page())

    async with Site(answer) as site, retried(site, RetryPolicy(attempts=2), sleep=naps) as stream:
        assert await stream.read() == ["late"]
        assert site.methods == {"GET": 2, "POST": 1}
    assert [int(each) for each in naps.seconds] == [9]


async def test_a_site_that_asks_for_too_long_is_not_asked_again() -> None:
    async with site_of(status("429 Slow", "Retry-After: 3600\r\n")) as site:
        async with retried(site, RetryPolicy(attempts=4), sleep=Naps()) as stream:
            with pytest.raises(errors.RateLimitError) as raised:
                await stream.read()
        assert site.methods["POST"] == 1
    assert raised.value.retry_after == 3600
    assert raised.value.__notes__[0].endswith("and the site asks for 3600 s")


async def test_the_total_clock_runs_while_it_waits() -> None:
    policy = RetryPolicy(attempts=4)

    async def endless(_: float) -> None:
        await asyncio.Event().wait()

    async with (
        site_of(status("503 Busy")) as site,
        retried(site, policy, sleep=endless, total=0.2) as stream,
    ):
        with pytest.raises(errors.TimeoutError) as raised:
            await stream.read()
    assert raised.value.phase == "total"
    assert len(raised.value.attempts) == 1


async def test_leaving_during_a_wait_leaves_nothing() -> None:
    began = asyncio.Event()

    async def endless(_: float) -> None:
        began.set()
        await asyncio.Event().wait()

    async with site_of(status("503 Busy")) as site:
        stream = retried(site, RetryPolicy(attempts=4), sleep=endless)
        reading = asyncio.create_task(stream.read())
        await began.wait()
        assert sockets_to(site.port) == 0
        await stream.aclose()
        assert await reading == []


async def test_cancelling_after_a_repeated_silence_is_a_cancellation() -> None:
    async with site_of(stalls, stalls) as site:
        stream = retried(
            site, RetryPolicy(attempts=2, repeats=lambda _: True), sleep=Naps(), idle=0.5
        )
        reading = asyncio.create_task(stream.read())
        await site.until(lambda: site.methods["POST"] == 2)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert sockets_to(site.port) == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ConnectError("x"), True),
        (errors.ReplyBrokenError("x"), True),
        (errors.TLSError("x"), False),
        (errors.ProxyError("x"), False),
        (errors.TimeoutError("connect", 1), True),
        (errors.TimeoutError("first byte", 1), True),
        (errors.TimeoutError("total", 1), False),
        (errors.StreamError("truncated", "x", status=200), True),
        (errors.StreamError("empty", "x", status=200), True),
        (errors.StreamError("upstream", "x", status=200), False),
        (errors.StreamError("not_a_stream", "x", status=200), False),
        (errors.LimitExceeded("x"), False),
        (errors.ChallengeError(status=503), False),
        (errors.ConversationLimitError("upstream", "x", status=429), False),
        (errors.NonceRefusedError("upstream", "x", status=403), False),
        (errors.TokenNotFoundError("missing_both"), False),
        (errors.InvalidRequestError("x"), False),
        (errors.MissingRequirementsError("x"), False),
    ],
)
def test_which_errors_pass(error: errors.TailraceError, expected: object) -> None:
    assert passes(error) is expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 1.5},
        {"first_wait": -1},
        {"longest_wait": float("nan")},
    ],
)
def test_a_wrong_policy_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequestError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
