"""The idle and total clocks of a stream, on a loop whose time the test moves: no second is waited
for.

A comment is no progress unless the caller says so, an event is, and what the consumer takes for
himself counts for the idle clock never and for the total one always.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import ChatStream, DeltaDecoder, errors
from tailrace._calls.exchange import Opening

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from tailrace.errors import TailraceError

IDLE = 10.0


class Loop(asyncio.SelectorEventLoop):
    """A loop that jumps to its next timer where a real one would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._really_select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now

    def _jump(self, timeout: float | None) -> Any:
        if timeout is None:
            raise AssertionError("the loop would wait for ever")
        self.now += timeout
        return self._really_select(0)


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(work)


class Paced:
    """An exchange whose reads take the given seconds."""

    def __init__(
        self,
        reads: Iterable[tuple[float, bytes]],
        opens_after: float = 0.0,
        dialect: Any = "openai",
    ) -> None:
        self.reads = iter(reads)
        self.opens_after = opens_after
        self.decoder = DeltaDecoder(dialect)
        self.closed = 0

    async def open(self) -> Opening:
        await asyncio.sleep(self.opens_after)
        return Opening(self, self.decoder)

    async def read(self) -> bytes:
        seconds, data = next(self.reads)
        await asyncio.sleep(seconds)
        return data

    async def again(self, opening: Opening, error: TailraceError) -> Opening | None:
        del opening, error
        return None

    def conceal(self, error: TailraceError) -> None:
        """Has sent no secret."""

    async def aclose(self) -> None:
        self.closed += 1

    def abort(self) -> None:
        raise AssertionError("every stream here is closed")


def delta(text: str) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % text.encode()


COMMENT = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
SILENCE = (1e9, b"")


async def heard(
    exchange: Paced, *, pause: float = 0.0, **clocks: Any
) -> tuple[str, str, tuple[str, float] | None, float]:
    """The text, the end, the clock that ran out with its seconds, and when all was over."""
    parts: list[str] = []
    ran_out: tuple[str, float] | None = None
    stream = ChatStream(exchange, **clocks)
    try:
        async for text in stream:
            parts.append(text)
            await asyncio.sleep(pause)
    except errors.TimeoutError as error:
        ran_out = error.phase, error.seconds
    assert isinstance(stream.error, errors.TimeoutError) is (ran_out is not None)
    await stream.aclose()
    assert exchange.closed == 1
    return "".join(parts), stream.end, ran_out, asyncio.get_running_loop().time()


OUT = ("idle", IDLE)


@pytest.mark.parametrize(
    ("reads", "clocks", "expected"),
    [
        ([(9.9, delta("a")), (9.9, delta("b")), (9.9, DONE)], {}, ("ab", "done", None, 29.7)),
        ([(1, delta("a")), SILENCE], {}, ("a", "truncated", OUT, 11)),
        ([SILENCE], {}, ("", "truncated", OUT, 10)),
        ([SILENCE], {"idle": None, "total": 50.0}, ("", "truncated", ("total", 50.0), 50)),
        # Comments come and come, and nothing of the answer does.
        ([(1, delta("a")), *[(4, COMMENT)] * 9], {}, ("a", "truncated", OUT, 11)),
        (
            [(1, delta("a")), *[(4, COMMENT)] * 9, (4, DONE)],
            {"comments_restart_idle": True},
            ("a", "done", None, 41),
        ),
        # Half an event is no progress either; an event without text is.
        ([(1, delta("a")), *[(4, b"data: ")] * 9], {}, ("a", "truncated", OUT, 11)),
        ([*[(9, b"data: {}\n\n")] * 9, (9, delta("a") + DONE)], {}, ("a", "done", None, 90)),
        # The clock adds up what was waited between two events, and starts anew after each.
        (
            [(4, COMMENT), (4, COMMENT), (1.9, delta("a")), (9.9, DONE)],
            {},
            ("a", "done", None, 19.8),
        ),
        (
            [(4, COMMENT), (4, COMMENT), (2.1, delta("a")), (9.9, DONE)],
            {},
            ("", "truncated", OUT, 10),
        ),
        # The whole call has its own clock, whatever comes.
        ([(4, delta("a"))] * 9, {"total": 13.0}, ("aaa", "truncated", ("total", 13.0), 13)),
        ([(4, delta("a")), (4, DONE)], {"total": 13.0}, ("a", "done", None, 8)),
        # With both on, the one that runs out first counts, though they share a timer.
        ([(1, delta("a")), SILENCE], {"total": 50.0}, ("a", "truncated", OUT, 11)),
        (
            [(8, delta("a")), (8, COMMENT), SILENCE],
            {"total": 17.0},
            ("a", "truncated", ("total", 17.0), 17),
        ),
        ([(8, delta("a")), (8, COMMENT), SILENCE], {"total": 18.5}, ("a", "truncated", OUT, 18)),
        # What is whole when a clock runs out has its end.
        ([(1, delta("a") + DONE[:-1]), SILENCE], {}, ("a", "done", None, 11)),
        ([(1, delta("a") + DONE[:-1]), SILENCE], {"total": 5.0}, ("a", "done", None, 5)),
    ],
)
def test_clocks(
    reads: list[tuple[float, bytes]], clocks: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    async def main() -> None:
        *found, now = await heard(Paced(reads), **{"idle": IDLE, **clocks})
        assert (*found, round(now, 6)) == expected

    run(main())


@pytest.mark.parametrize(
    ("dialect", "drips"),
    [
        ("openai", [b'{"choices":[{"message":{"content":"', b"a", b"b", b'"}}]}']),
        ("text", [b"a", b"b"]),
    ],
)
def test_a_reply_without_events_goes_on_while_bytes_come(dialect: str, drips: list[bytes]) -> None:
    async def main() -> None:
        reads = [(9.0, drip) for drip in drips] + [(9.0, b"")]
        text, end, ran_out, _ = await heard(Paced(reads, dialect=dialect), idle=IDLE)
        assert (text, end, ran_out) == ("ab", "done", None)

    run(main())


def test_the_consumers_own_time_is_not_idle() -> None:
    async def main() -> None:
        reads = [(9, delta("a")), (9, delta("b")), (9, DONE)]
        text, end, ran_out, now = await heard(Paced(reads), idle=IDLE, pause=1000)
        assert (text, end, ran_out, now) == ("ab", "done", None, 2027)

    run(main())


def test_the_consumers_own_time_is_not_idle_between_comments() -> None:
    """The consumer pauses in the middle of a silence: before and after it add up, the pause does
    not.
    """

    async def main() -> None:
        reads = [(1, delta("a")), (4, COMMENT), (5.9, delta("b")), (1, DONE)]
        text, end, ran_out, _ = await heard(Paced(reads), idle=IDLE, pause=1000)
        assert (text, end, ran_out) == ("ab", "done", None)

    run(main())


def test_the_consumers_own_time_counts_for_the_whole_call() -> None:
    async def main() -> None:
        reads = [(1, delta("a")), (1, delta("b")), (1, DONE)]
        text, end, ran_out, _ = await heard(Paced(reads), total=100.0, pause=1000)
        assert (text, end, ran_out) == ("a", "truncated", ("total", 100.0))

    run(main())


def test_the_whole_calls_clock_runs_while_it_is_opened() -> None:
    async def main() -> None:
        exchange = Paced([(1, DONE)], opens_after=1e9)
        text, end, ran_out, now = await heard(exchange, idle=IDLE, total=30.0)
        assert (text, end, ran_out, now) == ("", "failed", ("total", 30.0), 30)

    run(main())


def test_the_idle_clock_does_not_run_while_it_is_opened() -> None:
    async def main() -> None:
        text, end, ran_out, now = await heard(
            Paced([(1, delta("a") + DONE)], opens_after=100), idle=IDLE
        )
        assert (text, end, ran_out, now) == ("a", "done", None, 101)

    run(main())


def test_a_cancelled_read_is_no_timeout() -> None:
    async def main() -> None:
        exchange = Paced([SILENCE])
        stream = ChatStream(exchange, idle=IDLE, total=IDLE)
        reading = asyncio.ensure_future(stream.read())
        await asyncio.sleep(5)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert exchange.closed == 1
        assert reading.cancelled()

    run(main())


@pytest.mark.parametrize("seconds", [5, 15])
def test_a_callers_own_timeout_is_his(seconds: float) -> None:
    async def main() -> None:
        stream = ChatStream(Paced([SILENCE]), idle=IDLE)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(seconds):
                await stream.read()
        assert isinstance(caught.value, errors.TimeoutError) is (seconds > IDLE)
        assert stream.end == ("truncated" if seconds > IDLE else "open")

    run(main())
