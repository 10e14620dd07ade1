"""Streams are watched as they run: how many are open, how soon and how evenly their deltas come,
how they end.

It sits on the path of every delta, so a read costs one look at the clock and a few additions, and
nothing here grows with the number of streams or deltas: there is one `_Figures` for each model of
each site, which come from the catalogue, and every distribution is a `Histogram`. What it knows at
one moment is a `Snapshot`, which can be sent from one process to another, and added to those of
others.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from tailrace import errors
from tailrace.gateway._figures.histogram import Counts, Histogram, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailrace.errors import TailraceError

__all__ = [
    "BEGUN",
    "Figures",
    "Listener",
    "OpenStream",
    "Outcome",
    "Snapshot",
    "Watch",
    "added_up",
    "kind_of",
]

Outcome = Literal["done", "stopped", "truncated", "failed", "left"]

BEGUN: ContextVar[list[OpenStream] | None] = ContextVar("tailrace_streams_begun", default=None)
"""The streams begun within one request, where somebody wants to know them."""


class Listener(Protocol):
    """Who is told of every stream."""

    def begun(self, stream: OpenStream) -> None:
        """A stream began."""

    def ended(self, stream: OpenStream) -> None:
        """It ended; `outcome`, `error` and the times are set."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one model of one site. Counts never go back, but for `open`; times are in
    seconds.

    `first_delta`: from the beginning to the first delta; `gap`: from one read with deltas to the
    next; `per_delta`: of whole answers, the mean time of a delta after the first; `duration`: from
    the beginning to the end.
    """

    site: str
    model: str
    open: int = 0
    streams: int = 0
    deltas: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    outcomes: dict[str, int] = {}
    errors: dict[str, int] = {}
    first_delta: Counts = Counts()
    gap: Counts = Counts()
    per_delta: Counts = Counts()
    duration: Counts = Counts()

    def plus(self, other: Figures) -> Figures:
        """Both together."""
        return Figures(
            site=self.site,
            model=self.model,
            open=self.open + other.open,
            streams=self.streams + other.streams,
            deltas=self.deltas + other.deltas,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            outcomes=_sums(self.outcomes, other.outcomes),
            errors=_sums(self.errors, other.errors),
            first_delta=self.first_delta.plus(other.first_delta),
            gap=self.gap.plus(other.gap),
            per_delta=self.per_delta.plus(other.per_delta),
            duration=self.duration.plus(other.duration),
        )


class Snapshot(msgspec.Struct, frozen=True):
    """What a watch knows at one moment; the last minute's two distributions are of all sites
    together.
    """

    figures: list[Figures] = []
    recent_first_delta: Counts = Counts()
    recent_gap: Counts = Counts()

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return sum(each.open for each in self.figures)

    @property
    def streams(self) -> int:
        """How many streams have begun."""
        return sum(each.streams for each in self.figures)

    @property
    def deltas(self) -> int:
        """How many deltas have come."""
        return sum(each.deltas for each in self.figures)

    @property
    def errors(self) -> dict[str, int]:
        """How many streams failed, by kind."""
        return _sums(*(each.errors for each in self.figures))


def added_up(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Those of several processes as one."""
    figures: dict[tuple[str, str], Figures] = {}
    first_delta = gap = Counts()
    for snapshot in snapshots:
        first_delta = first_delta.plus(snapshot.recent_first_delta)
        gap = gap.plus(snapshot.recent_gap)
        for each in snapshot.figures:
            place = (each.site, each.model)
            figures[place] = figures[place].plus(each) if place in figures else each
    return Snapshot(list(figures.values()), first_delta, gap)


class Watch:
    """The streams of one process. `clock` gives seconds that never go back.

    `begun_with`: the counts of a process this one stands in for; its open streams and last minute
    are gone.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        listeners: Iterable[Listener] = (),
        begun_with: Snapshot | None = None,
    ) -> None:
        self._clock = clock
        self._listeners = tuple(listeners)
        self._recent_first_delta = Window()
        self._recent_gap = Window()
        earlier = () if begun_with is None else begun_with.figures
        self._figures = {(each.site, each.model): _Figures(each) for each in earlier}

    def begin(self, *, site: str, model: str, caller: str | None, streams: bool) -> OpenStream:
        """A call to `model` of `site` begins, for the key `caller`; `streams`: its answer is sent
        as it comes.
        """
        place = (site, model)
        figures = self._figures.get(place)
        if figures is None:
            figures = self._figures[place] = _Figures(Figures(site=site, model=model))
        stream = OpenStream(self, figures, caller, streams=streams)
        begun = BEGUN.get()
        if begun is not None:
            begun.append(stream)
        for listener in self._listeners:
            listener.begun(stream)
        return stream

    def snapshot(self) -> Snapshot:
        """What is known now."""
        now = self._clock()
        return Snapshot(
            [each.figures() for each in self._figures.values()],
            self._recent_first_delta.counts(now),
            self._recent_gap.counts(now),
        )


class OpenStream:
    """One call under way. `deltas` once for every read that brought some, `end` exactly once."""

    __slots__ = (
        "_figures",
        "_last",
        "_watch",
        "begun_at",
        "caller",
        "delta_count",
        "ended_at",
        "error",
        "first_at",
        "input_tokens",
        "outcome",
        "output_tokens",
        "streams",
    )

    def __init__(
        self, watch: Watch, figures: _Figures, caller: str | None, *, streams: bool
    ) -> None:
        self._watch = watch
        self._figures = figures
        self._last: float | None = None
        self.caller: str | None = caller
        self.streams: bool = streams
        self.begun_at: float = watch._clock()  # noqa: SLF001 - one thing in two classes
        self.first_at: float | None = None
        self.ended_at: float | None = None
        self.delta_count: int = 0
        self.input_tokens: int = 0
        self.output_tokens: int = 0
        self.outcome: Outcome | None = None
        self.error: TailraceError | None = None
        figures.open += 1
        figures.streams += 1

    @property
    def site(self) -> str:
        """The site asked."""
        return self._figures.site

    @property
    def model(self) -> str:
        """The site's model."""
        return self._figures.model

    def deltas(self, count: int) -> None:
        """A read brought `count` deltas, one or more."""
        watch, figures = self._watch, self._figures
        now = watch._clock()  # noqa: SLF001
        if self._last is None:
            self.first_at = now
            watch._recent_first_delta.add(now, figures.first_delta.add(now - self.begun_at))  # noqa: SLF001
        else:
            watch._recent_gap.add(now, figures.gap.add(now - self._last))  # noqa: SLF001
        self._last = now
        self.delta_count += count
        figures.deltas += count

    def end(
        self,
        outcome: Outcome,
        *,
        error: TailraceError | None = None,
        input_tokens: int = 0,
        output_tokens: int = 0,
    ) -> None:
        """The call ended: as the stream's `end` says, or because the client `left`.

        Tokens may be estimates.
        """
        if self.outcome is not None:
            raise RuntimeError("a stream ends once")
        watch, figures = self._watch, self._figures
        now = self.ended_at = watch._clock()  # noqa: SLF001
        self.outcome, self.error = outcome, error
        self.input_tokens, self.output_tokens = input_tokens, output_tokens
        figures.open -= 1
        figures.input_tokens += input_tokens
        figures.output_tokens += output_tokens
        figures.outcomes[outcome] = figures.outcomes.get(outcome, 0) + 1
        figures.duration.add(now - self.begun_at)
        if error is not None:
            kind = kind_of(error)
            figures.errors[kind] = figures.errors.get(kind, 0) + 1
        if (
            outcome in _WHOLE
            and self.first_at is not None
            and self.delta_count > 1
            and self._last is not None
        ):
            figures.per_delta.add((self._last - self.first_at) / (self.delta_count - 1))
        for listener in watch._listeners:  # noqa: SLF001
            listener.ended(self)


_WHOLE = ("done", "stopped")


class _Figures:
    """`Figures` while they are counted."""

    __slots__ = (
        "deltas",
        "duration",
        "errors",
        "first_delta",
        "gap",
        "input_tokens",
        "model",
        "open",
        "outcomes",
        "output_tokens",
        "per_delta",
        "site",
        "streams",
    )

    def __init__(self, earlier: Figures) -> None:
        self.site: str = earlier.site
        self.model: str = earlier.model
        self.open: int = 0
        self.streams: int = earlier.streams
        self.deltas: int = earlier.deltas
        self.input_tokens: int = earlier.input_tokens
        self.output_tokens: int = earlier.output_tokens
        self.outcomes: dict[str, int] = dict(earlier.outcomes)
        self.errors: dict[str, int] = dict(earlier.errors)
        self.first_delta: Histogram = Histogram(earlier.first_delta)
        self.gap: Histogram = Histogram(earlier.gap)
        self.per_delta: Histogram = Histogram(earlier.per_delta)
        self.duration: Histogram = Histogram(earlier.duration)

    def figures(self) -> Figures:
        return Figures(
            site=self.site,
            model=self.model,
            open=self.open,
            streams=self.streams,
            deltas=self.deltas,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            outcomes=dict(self.outcomes),
            errors=dict(self.errors),
            first_delta=self.first_delta.counts(),
            gap=self.gap.counts(),
            per_delta=self.per_delta.counts(),
            duration=self.duration.counts(),
        )


def kind_of(error: TailraceError) -> str:
    """One word for what went wrong: few, whatever a site says, so that each can be counted."""
    for family, kind in _KINDS:
        if isinstance(error, family):
            return kind
    return error.kind if isinstance(error, errors.StreamError) else "other"


_KINDS: tuple[tuple[type[TailraceError], str], ...] = (
    (errors.InvalidRequestError, "invalid_request"),
    (errors.TimeoutError, "timeout"),
    (errors.NetworkError, "network"),
    (errors.ConversationLimitError, "quota"),
    (errors.RateLimitError, "rate_limit"),
    (errors.MissingAuthError, "authentication"),
    (errors.NonceRefusedError, "nonce_refused"),
    (errors.TokenNotFoundError, "page"),
    (errors.WidgetNotFoundError, "page"),
    (errors.EndpointError, "page"),
    (errors.RedirectError, "redirect"),
    (errors.RetryProviderError, "every_provider"),
)


def _sums(*counts: dict[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            found[name] = found.get(name, 0) + count
    return found
