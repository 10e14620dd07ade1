"""Replies to text: every workload, every size of feed, every contender."""

from __future__ import annotations

from typing import TYPE_CHECKING

import workloads
from contenders import BUFFERED, OURS, STRONGEST, TEXT, Contender, contenders
from report import (
    Figure,
    Options,
    Section,
    Table,
    arguments,
    medians,
    publish,
    version,
    with_spread,
)
from tailrace import DeltaDecoder
from timing import Measured, Samples, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from workloads import Reply

Grid = dict[tuple[str, str], Samples]

STREAMS: dict[str, tuple[Callable[[int], Reply], int]] = {
    "W1": (workloads.w1, 20_000),
    "W1o": (workloads.w1o, 20_000),
    "W1i": (workloads.w1i, 20_000),
    "W2": (workloads.w2, 20_000),
    "W3": (workloads.w3, 20_000),
    "W4": (workloads.w4, 1_000),
    "W4c": (workloads.w4c, 1_000),
    "W4p": (workloads.w4p, 1_000),
}
BODIES = {"W5": workloads.w5, "W5p": workloads.w5p}
WIRE = "1400 B"  # what a network hands over
SMALL, LARGE = "64 KiB in 64 B feeds", "8 MiB in 64 B feeds"
NOTES = """\
What is not like for like:

- Ours reads the whole protocol, and keeps ids, usage, finish reason, counts and how the reply \
ended. The hand loops
  leave most of it out: their text alone is wanted here.
- The openai client makes an object of every chunk, litellm another of that one, with callbacks; \
we give text, and what
  was asked for. Both read an answer that is at hand, through an httpx transport without a \
socket; "over the openai
  client" is its response, opened and asked in the same way, with its bytes read by ours. They \
got {fewer} of the 20,000
  events, and litellm's other threads are not counted.
- gpt4free is the function its OpenAI-compatible providers read replies with, on aiohttp's own \
stream reader, filled
  before. It yields an object beside every chunk's text. Lines and json in a hand loop are the \
bare form of its way.
- httpx-sse and openai's decoder give events, not deltas; their data is read with the library named.
- node is another language and another process. Its time is the process's CPU time, its compiler \
and collector
  included, taken in there; rounds interleave with ours by request. It works on strings of UTF-16.
- A hand loop pays for one event in many small feeds with the square of its length; ours does not \
(see the figures).
- What is returned is freed outside the clock, for everybody."""


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    field = contenders(missing_allowed=options.quick)
    grid = streams(field, options)
    bodies = {name: buffered(build(), field, options) for name, build in BODIES.items()}
    feeds = small_feeds(options)
    section = Section(
        name="decode",
        title="Replies to text",
        tables=tuple(tables(grid, bodies, feeds, field)),
        figures=tuple(figures(grid, bodies, feeds)),
        notes=NOTES.format(fewer=fewer(field)),
        versions={
            package: version(package) for contender in field for package in contender.packages
        },
        medians={
            **{
                f"{workload}, {feed}": medians(samples, OURS)
                for (workload, feed), samples in grid.items()
            },
            **{name: medians(samples, BUFFERED) for name, samples in bodies.items()},
            "one event": medians(feeds, SMALL),
        },
    )
    publish(section, options)


# -- measuring -------------------------------------------------------------------------------------


def streams(field: Sequence[Contender], options: Options) -> Grid:
    """Everyone on W1 and, as far as they take all events, on reads of the wire.

    The loops on everything.
    """
    grid: Grid = {}
    for workload in STREAMS:
        for feed in workloads.FEEDS:
            everyone = [one for one in field if not one.buffered]
            if workload != "W1":
                everyone = [
                    one for one in everyone if one.loop or (feed == WIRE and one.share == 1)
                ]
            grid[workload, feed] = stream(workload, feed, everyone, options)
    return grid


def stream(workload: str, feed: str, field: Sequence[Contender], options: Options) -> Samples:
    """One workload in feeds of one size."""
    build, count = STREAMS[workload]
    replies: dict[float, tuple[Reply, list[bytes]]] = {}
    for share in {one.share for one in field}:
        reply = build(max(20, int(share * (count // 100 if options.quick else count))))
        replies[share] = (reply, reply.feeds(workloads.FEEDS[feed]))
    measured = [
        decoding(one, *replies[one.share], len(replies[one.share][0].events)) for one in field
    ]
    return measure(measured, 2 if options.quick else 15)


def buffered(reply: Reply, field: Sequence[Contender], options: Options) -> Samples:
    """One body, whole; a turn is a hundred of them."""
    times = 2 if options.quick else 100
    bodies = [reply.body] * times
    measured = [decoding(one, reply, bodies, times) for one in field if one.buffered]
    return measure(measured, 2 if options.quick else 31)


def decoding(one: Contender, reply: Reply, feeds: Sequence[bytes], units: int) -> Measured:
    """One contender's turn."""
    text = reply.text * units if one.buffered else reply.text
    expected = text.lstrip() if one.strips else text
    return Measured(
        one.name, lambda: one.decode(reply, feeds), lambda texts: "".join(texts) == expected, units
    )


def small_feeds(options: Options) -> Samples:
    """One event that comes in drops: nanoseconds a byte must not grow with what is held already."""
    size = 2**16 if options.quick else 2**23
    small, large = workloads.one_event(2**12 if options.quick else 2**16), workloads.one_event(size)

    def work(reply: Reply, times: int) -> Callable[[], list[str]]:
        feeds = reply.feeds(64)

        def decode() -> list[str]:
            texts: list[str] = []
            for _ in range(times):
                decoder = DeltaDecoder(max_event_bytes=2 * size)
                for feed in feeds:
                    texts += decoder.feed(feed)
            return texts

        return decode

    times = size // len(small.body)
    measured = [
        Measured(
            SMALL,
            work(small, times),
            lambda texts: texts == [small.text] * times,
            len(small.body) * times,
        ),
        Measured(LARGE, work(large, 1), lambda texts: texts == [large.text], len(large.body)),
    ]
    return measure(measured, 2 if options.quick else 15)


# -- telling ---------------------------------------------------------------------------------------


def tables(
    grid: Grid, bodies: dict[str, Samples], feeds: Samples, field: Sequence[Contender]
) -> Iterator[Table]:
    """The grid from several sides."""
    everyone = [one for one in field if not one.buffered]
    yield table(
        "W1, ns an event, by feed", everyone, {feed: grid["W1", feed] for feed in workloads.FEEDS}
    )
    others = {workload: grid[workload, WIRE] for workload in STREAMS}
    whole = [one for one in everyone if one.share == 1]
    yield table(f"Every stream in feeds of {WIRE}, ns an event", whole, others)
    for mine in (OURS, TEXT):
        yield Table(
            f"{mine[0].upper()}{mine[1:]}, divided by the fastest other in Python",
            ("workload", *workloads.FEEDS),
            tuple(
                (
                    workload,
                    *(against_fastest(grid[workload, feed], mine) for feed in workloads.FEEDS),
                )
                for workload in STREAMS
            ),
        )
    yield table(
        "One buffered body of 8 KB, ns a body", [one for one in field if one.buffered], bodies
    )
    yield Table(
        "One event in small feeds, ns a byte",
        ("feeds", said(OURS)),
        tuple((name, with_spread(feeds, name)) for name in (SMALL, LARGE)),
    )


def table(title: str, field: Sequence[Contender], columns: dict[str, Samples]) -> Table:
    """Contenders down, `columns` across."""
    cells = (
        (label(one), *(with_spread(samples, one.name) for samples in columns.values()))
        for one in field
    )
    return Table(title, ("contender", *columns), tuple(cells))


def label(one: Contender) -> str:
    """Its name, and of how many events its time is the mean, where not of all."""
    return one.name if one.share == 1 else f"{one.name} ({events(one):,} events)"


def events(one: Contender) -> int:
    """How many events of W1 a contender gets."""
    return int(STREAMS["W1"][1] * one.share)


def against_fastest(samples: Samples, mine: str) -> str:
    """The ratio, and who the other is."""
    other = fastest_other(samples)
    return f"{samples.ratio(mine, other):.2f} ({other.removeprefix('hand loop + ')})"


def fastest_other(samples: Samples) -> str:
    """Of those one can call from Python and that are not ours."""
    return samples.fastest(
        [name for name in samples.rounds if not name.startswith(("tailrace", "node"))]
    )


def figures(grid: Grid, bodies: dict[str, Samples], feeds: Samples) -> Iterator[Figure]:
    """What was to be reached."""
    yield against_hand_loop(grid, "W1", WIRE, OURS, (0.14, 0.10))
    yield against_hand_loop(grid, "W1", WIRE, TEXT, (0.09, 0.07))
    yield against_hand_loop(grid, "W1", "1 event", OURS, (0.22, 0.16))
    yield against_hand_loop(grid, "W1i", WIRE, OURS, (0.35, 0.28))
    for workload, reach in (("W2", 0.30), ("W3", 0.35), ("W4", 0.28), ("W4p", 0.20)):
        samples = grid[workload, WIRE]
        other = fastest_other(samples)
        yield Figure(
            f"{workload}, {WIRE}, {said(OURS)}, to {other}", samples.ratio(OURS, other), reach
        )
    for workload, samples in bodies.items():
        for other in ("jiter", "pysimdjson"):
            if other in samples.rounds:
                yield Figure(
                    f"{workload}, whole body, to {other}", samples.ratio(BUFFERED, other), 1
                )
    yield Figure(f"one event, {LARGE}, to {SMALL}, ns a byte", feeds.ratio(LARGE, SMALL), 2)


def against_hand_loop(
    grid: Grid, workload: str, feed: str, mine: str, wanted: tuple[float, float]
) -> Figure:
    """A figure against the strongest peer."""
    what = f"{workload}, {feed}, {said(mine)}, to {STRONGEST}"
    return Figure(what, grid[workload, feed].ratio(mine, STRONGEST), *wanted)


def said(mine: str) -> str:
    """Which of our ways, where it is clear that it is ours."""
    return mine.removeprefix("tailrace, ")


def fewer(field: Sequence[Contender]) -> str:
    """How many events the slow ones got."""
    return (
        " and ".join(dict.fromkeys(f"{events(one):,}" for one in field if one.share < 1)) or "fewer"
    )


if __name__ == "__main__":
    main()
