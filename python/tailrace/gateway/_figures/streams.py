"""The figures of streams: how many are open, how soon and evenly their deltas come, how they end.

Every delta is counted, so a read costs one look at the clock and a few additions, and the figures
do not grow with the number of streams or deltas: there is one `_ModelCounter` for each model of
each site and each operation, up to `MOST_MODELS`, and every distribution is a `Histogram`. Calls
that are no streams are counted too: of embeddings, and of tokens; they have no deltas. A
`StreamSnapshot` holds the figures of one process at one moment; it can be sent to another process,
and added to that one's.
"""

from __future__ import annotations

import time
from collections import Counter
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

from tailrace._error_kinds import error_kind
from tailrace._histogram import Histogram, HistogramCounts, Window, add_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tailrace.errors import TailraceError

__all__ = [
    "ANY",
    "MOST_MODELS",
    "REQUEST_STREAMS",
    "CallOutcome",
    "ModelFigures",
    "OpenStream",
    "Operation",
    "StreamFigures",
    "StreamListener",
    "StreamSnapshot",
    "merge_stream_snapshots",
]

ANY = "*"
"""The name by which all models are counted that neither a site's profile nor its server lists.

A client may make up as many names as it likes.
"""

MOST_MODELS = 600
"""The most models that are counted by name; those that come later count as `ANY` of their site."""

WORKER_DIED = "worker_died"
"""The kind of failure of a stream whose worker was killed or crashed."""

Operation = Literal["chat", "embeddings", "count_tokens"]
"""What a site is asked for, in OpenTelemetry's words where it has one."""

CallOutcome = Literal["done", "stopped", "truncated", "failed", "left"]
"""The end of a call to a site: its stream's `end`, or ``left`` where the client left."""

REQUEST_STREAMS: ContextVar[list[OpenStream] | None] = ContextVar(
    "tailrace_request_streams", default=None
)
"""The streams begun within the current request, where a list to collect them has been set."""


class StreamListener(Protocol):
    """An observer that is called with every stream."""

    def begun(self, stream: OpenStream) -> None:
        """Handle a stream that has just begun."""

    def ended(self, stream: OpenStream) -> None:
        """Handle a stream that has ended: its `outcome`, `error` and times are set."""


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one operation of one model of one site.

    Counts but `open` never go back; times are in seconds. `passed_over`: how much replies held that
    no delta is made of, by kind. `first_delta`: from the beginning to the
    first delta; `gap`: from one read with deltas to the next; `per_delta`: of whole answers, the
    mean time of a delta after the first; `duration`: from the beginning to the end.
    """

    site: str
    model: str
    operation: Operation = "chat"
    open: int = 0
    streams: int = 0
    deltas: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    outcomes: dict[str, int] = {}
    errors: dict[str, int] = {}
    passed_over: dict[str, int] = {}
    first_delta: HistogramCounts = HistogramCounts()
    gap: HistogramCounts = HistogramCounts()
    per_delta: HistogramCounts = HistogramCounts()
    duration: HistogramCounts = HistogramCounts()

    def plus(self, other: ModelFigures) -> ModelFigures:
        """Add another process's figures of the same model to these."""
        return ModelFigures(
            site=self.site,
            model=self.model,
            operation=self.operation,
            open=self.open + other.open,
            streams=self.streams + other.streams,
            deltas=self.deltas + other.deltas,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            outcomes=add_counts(self.outcomes, other.outcomes),
            errors=add_counts(self.errors, other.errors),
            passed_over=add_counts(self.passed_over, other.passed_over),
            first_delta=self.first_delta.plus(other.first_delta),
            gap=self.gap.plus(other.gap),
            per_delta=self.per_delta.plus(other.per_delta),
            duration=self.duration.plus(other.duration),
        )

    def ended(self) -> ModelFigures:
        """Return the figures once the process has died: what was open has failed."""
        if not self.open:
            return self
        return msgspec.structs.replace(
            self,
            open=0,
            outcomes=add_counts(self.outcomes, {"failed": self.open}),
            errors=add_counts(self.errors, {WORKER_DIED: self.open}),
        )


class StreamSnapshot(msgspec.Struct, frozen=True):
    """The figures at one moment; the two distributions of the last minute are of all sites."""

    figures: list[ModelFigures] = []
    recent_first_delta: HistogramCounts = HistogramCounts()
    recent_gap: HistogramCounts = HistogramCounts()

    def ended(self) -> StreamSnapshot:
        """Return the figures once the process has died: its open streams have failed."""
        return StreamSnapshot([each.ended() for each in self.figures])

    @property
    def open_streams(self) -> int:
        """The number of open streams."""
        return sum(each.open for each in self.figures)

    @property
    def streams(self) -> int:
        """The number of streams begun so far."""
        return sum(each.streams for each in self.figures)

    @property
    def deltas(self) -> int:
        """The number of deltas so far."""
        return sum(each.deltas for each in self.figures)

    @property
    def errors(self) -> dict[str, int]:
        """The number of failed streams, by kind of failure."""
        return add_counts(*(each.errors for each in self.figures))


_Labels: TypeAlias = "tuple[str, str, Operation]"
"""A site, its model, and what is asked of it."""


def merge_stream_snapshots(snapshots: Iterable[StreamSnapshot]) -> StreamSnapshot:
    """Add up the figures of several processes."""
    figures: dict[_Labels, ModelFigures] = {}
    first_delta = gap = HistogramCounts()
    for snapshot in snapshots:
        first_delta = first_delta.plus(snapshot.recent_first_delta)
        gap = gap.plus(snapshot.recent_gap)
        for each in snapshot.figures:
            labels = (each.site, each.model, each.operation)
            figures[labels] = figures[labels].plus(each) if labels in figures else each
    return StreamSnapshot(list(figures.values()), first_delta, gap)


class StreamFigures:
    """The figures of one process's streams; `clock` returns seconds that never go back.

    `begun_with`: the counts of a process that this one replaces, without its last minute; its open
    streams have failed.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        listeners: Iterable[StreamListener] = (),
        begun_with: StreamSnapshot | None = None,
    ) -> None:
        self.clock: Callable[[], float] = clock
        self.listeners: tuple[StreamListener, ...] = tuple(listeners)
        self.recent_first_delta: Window = Window()
        self.recent_gap: Window = Window()
        earlier = () if begun_with is None else begun_with.ended().figures
        self._counters: dict[_Labels, _ModelCounter] = {
            (each.site, each.model, each.operation): _ModelCounter(each) for each in earlier
        }

    def begin(
        self,
        *,
        site: str,
        model: str,
        caller: str | None,
        streams: bool,
        operation: Operation = "chat",
        answer: int = 0,
    ) -> OpenStream:
        """Count a call to `model` of `site` that begins now.

        `caller`: the name of the client's key; `streams`: the answer is sent on as it comes;
        `operation`: what the site is asked for; `answer`: the number of the request's answer that
        the call is for, from 0.
        """
        counter = self._counter(site, model, operation)
        stream = OpenStream(self, counter, caller, streams=streams, answer=answer)
        of_request = REQUEST_STREAMS.get()
        if of_request is not None:
            of_request.append(stream)
        for listener in self.listeners:
            listener.begun(stream)
        return stream

    def _counter(self, site: str, model: str, operation: Operation) -> _ModelCounter:
        counter = self._counters.get((site, model, operation))
        if counter is not None:
            return counter
        if len(self._counters) >= MOST_MODELS and model != ANY:
            return self._counter(site, ANY, operation)
        counter = _ModelCounter(ModelFigures(site=site, model=model, operation=operation))
        self._counters[site, model, operation] = counter
        return counter

    def snapshot(self) -> StreamSnapshot:
        """Copy the figures as they are now."""
        now = self.clock()
        return StreamSnapshot(
            [each.figures() for each in self._counters.values()],
            self.recent_first_delta.counts(now),
            self.recent_gap.counts(now),
        )


class OpenStream:
    """One call under way; call `deltas` for every read with deltas, and `end` exactly once."""

    __slots__ = (
        "_counter",
        "_figures",
        "_last",
        "answer",
        "begun_at",
        "caller",
        "delta_count",
        "ended_at",
        "error",
        "first_at",
        "input_tokens",
        "outcome",
        "output_tokens",
        "passed_over",
        "streams",
    )

    def __init__(
        self,
        figures: StreamFigures,
        counter: _ModelCounter,
        caller: str | None,
        *,
        streams: bool,
        answer: int = 0,
    ) -> None:
        self._figures = figures
        self._counter = counter
        self.answer: int = answer
        self._last: float | None = None
        self.caller: str | None = caller
        self.streams: bool = streams
        self.begun_at: float = figures.clock()
        self.first_at: float | None = None
        self.ended_at: float | None = None
        self.delta_count: int = 0
        self.input_tokens: int = 0
        self.output_tokens: int = 0
        self.outcome: CallOutcome | None = None
        self.error: TailraceError | None = None
        self.passed_over: Mapping[str, int] = {}
        counter.open += 1
        counter.streams += 1

    @property
    def site(self) -> str:
        """The site's name."""
        return self._counter.site

    @property
    def model(self) -> str:
        """The name by which the site's model is counted."""
        return self._counter.model

    @property
    def operation(self) -> Operation:
        """The operation that the site is asked for."""
        return self._counter.operation

    def deltas(self, count: int) -> None:
        """Count a read with `count` deltas, one or more."""
        figures, counter = self._figures, self._counter
        now = figures.clock()
        if self._last is None:
            self.first_at = now
            figures.recent_first_delta.add(now, counter.first_delta.add(now - self.begun_at))
        else:
            figures.recent_gap.add(now, counter.gap.add(now - self._last))
        self._last = now
        self.delta_count += count
        counter.deltas += count

    def end(
        self,
        outcome: CallOutcome,
        *,
        error: TailraceError | None = None,
        input_tokens: int = 0,
        output_tokens: int = 0,
        passed_over: Mapping[str, int] | None = None,
    ) -> None:
        """Count the end of the call; the numbers of tokens may be estimates.

        `passed_over`: how much the reply holds that no delta is made of, by kind.
        """
        if self.outcome is not None:
            raise RuntimeError("a stream ends once")
        counter = self._counter
        now = self.ended_at = self._figures.clock()
        self.outcome, self.error = outcome, error
        self.input_tokens, self.output_tokens = input_tokens, output_tokens
        counter.open -= 1
        counter.input_tokens += input_tokens
        counter.output_tokens += output_tokens
        counter.outcomes[outcome] += 1
        if passed_over:
            self.passed_over = passed_over
            counter.passed_over.update(passed_over)
        counter.duration.add(now - self.begun_at)
        if error is not None:
            counter.errors[error_kind(error)] += 1
        if (
            outcome in _WHOLE
            and self.first_at is not None
            and self.delta_count > 1
            and self._last is not None
        ):
            counter.per_delta.add((self._last - self.first_at) / (self.delta_count - 1))
        for listener in self._figures.listeners:
            listener.ended(self)


_WHOLE = ("done", "stopped")


class _ModelCounter:
    """`ModelFigures` while they are counted."""

    __slots__ = (
        "deltas",
        "duration",
        "errors",
        "first_delta",
        "gap",
        "input_tokens",
        "model",
        "open",
        "operation",
        "outcomes",
        "output_tokens",
        "passed_over",
        "per_delta",
        "site",
        "streams",
    )

    def __init__(self, earlier: ModelFigures) -> None:
        self.site: str = earlier.site
        self.model: str = earlier.model
        self.operation: Operation = earlier.operation
        self.open: int = 0
        self.streams: int = earlier.streams
        self.deltas: int = earlier.deltas
        self.input_tokens: int = earlier.input_tokens
        self.output_tokens: int = earlier.output_tokens
        self.outcomes: Counter[str] = Counter(earlier.outcomes)
        self.errors: Counter[str] = Counter(earlier.errors)
        self.passed_over: Counter[str] = Counter(earlier.passed_over)
        self.first_delta: Histogram = Histogram(earlier.first_delta)
        self.gap: Histogram = Histogram(earlier.gap)
        self.per_delta: Histogram = Histogram(earlier.per_delta)
        self.duration: Histogram = Histogram(earlier.duration)

    def figures(self) -> ModelFigures:
        return ModelFigures(
            site=self.site,
            model=self.model,
            operation=self.operation,
            open=self.open,
            streams=self.streams,
            deltas=self.deltas,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            outcomes=dict(self.outcomes),
            errors=dict(self.errors),
            passed_over=dict(self.passed_over),
            first_delta=self.first_delta.counts(),
            gap=self.gap.counts(),
            per_delta=self.per_delta.counts(),
            duration=self.duration.counts(),
        )
