"""What is said of streams: counts, times and quantiles, by a clock the test holds."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import pytest

from tailrace import errors
from tailrace._error_kinds import error_kind
from tailrace._histogram import (
    BOUNDS,
    FIRST_TOKEN_BOUNDS,
    OUTPUT_TOKEN_BOUNDS,
    REQUEST_BOUNDS,
    Histogram,
    HistogramCounts,
    Window,
)
from tailrace.gateway._figures.streams import (
    REQUEST_STREAMS,
    CallOutcome,
    OpenStream,
    StreamFigures,
    StreamSnapshot,
    merge_stream_snapshots,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def begun(streams: StreamFigures, site: str = "shop", model: str = "gpt-4o") -> OpenStream:
    return streams.begin(site=site, model=model, caller=None, streams=True)


def test_a_stream_from_its_beginning_to_its_end() -> None:
    clock = Clock()
    streams = StreamFigures(clock)
    stream = begun(streams)
    clock.now += 0.5
    stream.deltas(1)
    clock.now += 0.25
    stream.deltas(3)
    (figures,) = streams.snapshot().figures
    assert (figures.site, figures.model, figures.open, figures.streams, figures.deltas) == (
        "shop",
        "gpt-4o",
        1,
        1,
        4,
    )
    assert (figures.first_delta.count, figures.first_delta.total) == (1, 0.5)
    assert (figures.gap.count, figures.gap.total) == (1, 0.25)
    assert figures.outcomes == {}
    clock.now += 1
    stream.end("done", input_tokens=7, output_tokens=4)
    (figures,) = streams.snapshot().figures
    assert (figures.open, figures.outcomes, figures.errors) == (0, {"done": 1}, {})
    assert (figures.input_tokens, figures.output_tokens) == (7, 4)
    assert (figures.duration.count, figures.duration.total) == (1, 1.75)
    assert figures.per_delta.total == pytest.approx(0.25 / 3)
    assert (stream.begun_at, stream.first_at, stream.ended_at) == (1000, 1000.5, 1001.75)


@pytest.mark.parametrize("outcome", ["truncated", "failed", "left"])
def test_the_mean_time_of_a_delta_is_of_whole_answers(outcome: CallOutcome) -> None:
    streams = StreamFigures(Clock())
    stream = begun(streams)
    stream.deltas(2)
    stream.end(outcome)
    (figures,) = streams.snapshot().figures
    assert (figures.per_delta.count, figures.outcomes) == (0, {outcome: 1})


def test_a_stream_ends_once() -> None:
    streams = StreamFigures(Clock())
    stream = begun(streams)
    stream.end("left")
    with pytest.raises(RuntimeError, match="ends once"):
        stream.end("done")
    assert streams.snapshot().open_streams == 0


def test_models_are_counted_apart_and_summed_up() -> None:
    streams = StreamFigures(Clock())
    for site, model in (("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")):
        stream = begun(streams, site, model)
        stream.deltas(2)
    snapshot = streams.snapshot()
    assert [(each.site, each.model, each.open) for each in snapshot.figures] == [
        ("a", "x", 2),
        ("a", "y", 1),
        ("b", "x", 1),
    ]
    assert (snapshot.open_streams, snapshot.streams, snapshot.deltas) == (4, 4, 8)


def test_a_request_knows_its_streams() -> None:
    streams = StreamFigures(Clock())
    mine: list[OpenStream] = []
    token = REQUEST_STREAMS.set(mine)
    stream = begun(streams)
    REQUEST_STREAMS.reset(token)
    begun(streams)
    assert mine == [stream]


def test_listeners_are_told() -> None:
    told: list[tuple[str, str | None]] = []

    class Heard:
        def begun(self, stream: OpenStream) -> None:
            told.append(("begun", stream.outcome))

        def ended(self, stream: OpenStream) -> None:
            told.append(("ended", stream.outcome))

    begun(StreamFigures(Clock(), listeners=[Heard()])).end("stopped")
    assert told == [("begun", None), ("ended", "stopped")]


def test_the_last_minute_forgets() -> None:
    clock = Clock()
    streams = StreamFigures(clock)
    stream = begun(streams)
    stream.deltas(1)
    clock.now += 2
    stream.deltas(1)
    assert (streams.snapshot().recent_first_delta.count, streams.snapshot().recent_gap.count) == (
        1,
        1,
    )
    clock.now += 50
    assert streams.snapshot().recent_gap.count == 1
    clock.now += 11
    snapshot = streams.snapshot()
    assert (snapshot.recent_first_delta.count, snapshot.recent_gap.count) == (0, 0)
    assert snapshot.figures[0].gap.count == 1


def test_a_window_holds_the_last_minute_and_no_more() -> None:
    window = Window()
    chance = random.Random(5)
    seen: list[float] = []
    now = 17.0
    for _ in range(500):
        now += chance.choice([0.0, 0.01, 1.0, 7.0])
        window.add(now, 7)
        seen.append(now)
        slot = now // Window.SECONDS
        kept = [each for each in seen if each // Window.SECONDS > slot - Window.SLOTS]
        assert window.counts(now).count == len(kept)


def test_another_process_goes_on_where_one_ended() -> None:
    clock = Clock()
    streams = StreamFigures(clock)
    begun(streams).deltas(3)
    other = begun(streams)
    other.end("failed", error=errors.StreamError("empty", "nothing"))
    sent = msgspec.json.decode(msgspec.json.encode(streams.snapshot()), type=StreamSnapshot)
    assert sent == streams.snapshot()
    next_one = StreamFigures(clock, begun_with=sent)
    snapshot = next_one.snapshot()
    assert (snapshot.open_streams, snapshot.streams, snapshot.deltas, snapshot.errors) == (
        0,
        2,
        3,
        {"empty": 1, "worker_died": 1},
    )
    assert snapshot.figures[0].outcomes == {"failed": 2}
    assert snapshot.figures[0].first_delta.count == 1
    assert snapshot.recent_first_delta.count == 0


def test_processes_are_added_up() -> None:
    processes = [StreamFigures(Clock()), StreamFigures(Clock())]
    begun(processes[0], "a").deltas(1)
    begun(processes[1], "a").deltas(2)
    begun(processes[1], "b").end("left")
    total = merge_stream_snapshots([streams.snapshot() for streams in processes])
    assert [(each.site, each.open, each.deltas) for each in total.figures] == [
        ("a", 2, 3),
        ("b", 0, 0),
    ]
    assert total.recent_first_delta.count == 2
    assert merge_stream_snapshots([]) == StreamSnapshot()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.StreamError("upstream", "x"), "upstream"),
        (errors.ChallengeError(), "challenge"),
        (errors.LimitExceeded("x"), "limit"),
        (errors.RateLimitError("upstream", "x", status=429), "rate_limit"),
        (errors.MissingAuthError("upstream", "x", status=401), "authentication"),
        (errors.ConversationLimitError("upstream", "x"), "quota"),
        (errors.NonceRefusedError("upstream", "x"), "nonce_refused"),
        (errors.TokenNotFoundError("missing_nonce"), "page"),
        (errors.WidgetNotFoundError("x"), "page"),
        (errors.EndpointError("x"), "page"),
        (errors.RedirectError("x", "y"), "redirect"),
        (errors.ConnectError("x"), "network"),
        (errors.ReplyBrokenError("x"), "network"),
        (errors.TimeoutError("idle", 1), "timeout"),
        (errors.InvalidRequestError("x"), "invalid_request"),
        (errors.ModelNotFoundError("x"), "model_not_found"),
        (errors.RetryProviderError([]), "every_provider"),
        (errors.ProviderNotWorkingError("x"), "other"),
    ],
)
def test_every_failure_has_a_kind(error: errors.TailraceError, kind: str) -> None:
    assert error_kind(error) == kind


def test_published_boundaries_are_boundaries() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert {*FIRST_TOKEN_BOUNDS, *OUTPUT_TOKEN_BOUNDS, *REQUEST_BOUNDS} <= {*BOUNDS}
    assert all(high <= low * 1.1 + 1e-12 for low, high in pairwise(BOUNDS))


@pytest.mark.parametrize("bounds", [FIRST_TOKEN_BOUNDS, OUTPUT_TOKEN_BOUNDS, REQUEST_BOUNDS])
def test_published_counts_are_exact(bounds: tuple[float, ...]) -> None:
    chance = random.Random(7)
    values = [*bounds, 0.0, 5000.0, *(10 ** chance.uniform(-5, 3.5) for _ in range(3000))]
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    expected = [sum(value <= bound for value in values) for bound in bounds]
    assert histogram.counts().cumulative(bounds) == [*expected, len(values)]


@pytest.mark.parametrize("part", [0.5, 0.95, 0.99])
def test_quantiles_are_close(part: float) -> None:
    chance = random.Random(3)
    values = sorted(10 ** chance.uniform(-3, 2) for _ in range(5000))
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    found = histogram.counts().quantile(part)
    assert found == pytest.approx(values[int(part * len(values))], rel=0.06)


def test_nothing_has_no_quantile() -> None:
    assert HistogramCounts().quantile(0.5) is None
    one = Histogram()
    one.add(1e6)
    assert one.counts().quantile(0.5) == BOUNDS[-1]


def test_models_beyond_the_most_count_as_one_of_their_site(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tailrace.gateway._figures.streams.MOST_MODELS", 2)
    streams = StreamFigures(Clock())
    for site, model in (("a", "x"), ("b", "y"), ("a", "z"), ("a", "x"), ("b", "w"), ("a", "v")):
        streams.begin(site=site, model=model, caller=None, streams=True)
    counts = {(each.site, each.model): each.streams for each in streams.snapshot().figures}
    assert counts == {("a", "x"): 2, ("b", "y"): 1, ("a", "*"): 2, ("b", "*"): 1}
