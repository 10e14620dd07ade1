"""The reading of one reply: bytes in, deltas and one `Outcome` out. No clock, no task, no thread.

`tailrace._streams.aio` and `tailrace._streams.sync` drive a reading: they wait and close, and
report each event to the reading. A new rule about replies belongs here, a new way to wait there.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from tailrace._calls.exchange import D
from tailrace._streams.outcome import Outcome
from tailrace.errors import (
    FIRST_ERROR_STATUS,
    ReplyBrokenError,
    ResponseStatusError,
    StreamError,
    TailraceError,
    reply_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailrace._calls.exchange import OpeningOf

__all__ = ["Close", "Decoding", "ReplyReading", "State", "failure_of_cut"]

log: logging.Logger = logging.getLogger("tailrace")

T = TypeVar("T")

D_contra = TypeVar("D_contra", contravariant=True)

State: TypeAlias = Literal["unopened", "waiting", "delivering", "undecided", "ended", "left"]

_UNFRAMED = ("json", "text")  # replies without comments: every read brings a piece of the answer


class Close(Protocol[D_contra, T]):
    """A decoder's method for the end of a reply; `complete` is false where the transport broke."""

    def __call__(self, decoder: D_contra, /, *, complete: bool) -> list[T]:
        """Return the deltas that the decoder held back."""
        ...


class Conceals(Protocol):
    """A call that knows what it has sent as a secret."""

    def conceal(self, error: TailraceError) -> None:
        """Take that out of an error."""
        ...


class Decoding(NamedTuple, Generic[T, D]):
    """The two methods of a decoder that a reading calls."""

    feed: Callable[[D, bytes], list[T]]
    close: Close[D, T]


class ReplyReading(Generic[T, D]):
    """One reply as it is read, or several in turn until one of them has a delta.

    The states are ``unopened`` (no reply yet), ``waiting`` (for the first delta), ``delivering``
    (a delta came, so no request is repeated), ``undecided`` (a reply failed before its first delta,
    and another may replace it), ``ended`` and ``left``. A delta is one that is delivered: while the
    text alone is read, a reply that has brought reasoning or a piece of a tool call is waiting
    still, and one that fails then can be replaced without a loss. An event has these consequences:

    ==========  ================================  ==========  =============
    state       event                             next state  delivered
    ==========  ================================  ==========  =============
    unopened    begin                             waiting     nothing
    unopened    any expire, fail                  ended       error
    unopened    stop                              ended       nothing
    unopened    any feed, any break off, settle   unopened    nothing
    waiting     feed, begin, settle               waiting     nothing
    waiting     feed deltas                       delivering  deltas
    waiting     feed end, break off whole         ended       nothing
    waiting     feed rest                         ended       rest
    waiting     feed early end, break off         undecided   nothing
    waiting     break off rest                    ended       rest, verdict
    waiting     expire, fail                      ended       error
    waiting     expire whole, stop                ended       nothing
    delivering  feed, begin, settle               delivering  nothing
    delivering  feed deltas                       delivering  deltas
    delivering  feed end, break off whole         ended       nothing
    delivering  feed rest                         ended       rest
    delivering  feed early end, break off         ended       verdict
    delivering  break off rest                    ended       rest, verdict
    delivering  expire, fail                      ended       error
    delivering  expire whole, stop                ended       nothing
    undecided   begin                             waiting     nothing
    undecided   settle                            ended       verdict
    undecided   any expire, fail                  ended       error
    undecided   stop                              ended       nothing
    undecided   any feed, any break off           undecided   nothing
    ended       any expire, fail                  ended       error
    ended       begin, any feed, any break off    ended       nothing
    ended       settle, stop                      ended       nothing
    left        anything                          left        nothing
    anywhere    leave                             left        nothing
    ==========  ================================  ==========  =============

    An event is a method and the bytes or the error it is called with. ``feed`` completes no delta
    unless the row says ``deltas``; its bytes may hold the ``end`` of a whole reply, or be an
    ``early end``. ``break off`` and ``expire`` come in the middle of a reply unless the bytes that
    the decoder holds make it ``whole``. The ``rest`` is deltas that the decoder held back until the
    end. The ``verdict`` is the decoder's own error, the ``error`` the one given with the event. An
    error is raised once, when everything before it has been delivered.
    """

    __slots__ = (
        "_any_read_is_progress",
        "_close",
        "_concealed",
        "_decoder",
        "_error",
        "_events",
        "_exchange",
        "_failure",
        "_feed",
        "_has_begun",
        "ended",
        "hand_on",
        "heard",
        "is_being_read",
        "left",
        "opening",
        "ready",
        "released",
        "undecided",
    )

    def __init__(
        self,
        decoding: Decoding[T, D],
        *,
        exchange: Conceals | None = None,
        any_read_is_progress: bool = False,
    ) -> None:
        """Read replies by the methods `decoding` of their decoders.

        `exchange`: the call that opens the replies; its `attempts`, if it has any, are part of the
        outcome, it conceals its secrets in every failure, and nothing else of it is used.
        `any_read_is_progress`: a keep-alive comment restarts the idle clock, too.
        """
        self._feed, self._close = decoding
        self._exchange = exchange
        self._any_read_is_progress = any_read_is_progress
        self.opening: OpeningOf[D] | None = None
        self.ready: deque[T] = deque()
        self.undecided: TailraceError | None = None
        self.ended = False
        # Decodes what comes and takes its deltas, in place of `ready`, while it returns True. It is
        # set by a driver that delivers to who reads deltas, of a reply that has delivered one.
        self.hand_on: Callable[[D, bytes], bool] | None = None
        self.heard: Callable[[], None] | None = None  # called with events that complete no delta
        # A flag of its own: another thread may set it in the middle of any event.
        self.left = False
        self.is_being_read = False  # set by the driver at work, for the other one
        self.released = False  # set by the driver that begins to close the source, once
        self._decoder: D | None = None  # while its reply is open
        self._has_begun = False
        self._events = 0
        self._failure: TailraceError | None = None
        self._concealed: TailraceError | None = None
        self._error: TailraceError | None = None

    @property
    def state(self) -> State:
        """Name of the state in the table of the class."""
        if self.left:
            return "left"
        if self.ended:
            return "ended"
        if self.undecided is not None:
            return "undecided"
        if self.opening is None:
            return "unopened"
        return "delivering" if self._has_begun else "waiting"

    @property
    def _attempts(self) -> tuple[TailraceError, ...]:
        attempts: tuple[TailraceError, ...] = getattr(self._exchange, "attempts", ())
        return attempts

    @property
    def outcome(self) -> Outcome:
        """The record of how the reply ended, or of how far it is."""
        attempts = self._attempts
        if self.opening is None or self.undecided is not None:
            return Outcome(
                "open" if self._error is None else "failed", self._error, attempts=attempts
            )
        decoder = self.opening.decoder
        return Outcome(
            "failed" if decoder.end == "open" and self._error is not None else decoder.end,
            self._error,
            decoder.finish_reason,
            decoder.usage,
            decoder.ids,
            decoder.bad_events,
            attempts,
            decoder.tool_calls,
            decoder.reasoning,
            decoder.refusal,
            decoder.thinking_blocks,
            decoder.text_signature,
            decoder.passed_over,
        )

    # -- events ------------------------------------------------------------------------------------

    def begin(self, opening: OpeningOf[D]) -> None:
        """Read the reply `opening`: the first, or one that replaces a failed one."""
        if self._decoder is None and not self.ended:
            self.opening = opening
            self.undecided = None
            self._decoder = opening.decoder
            self._decoder.collect()
            self._events = 0

    def feed(self, data: bytes) -> bool:
        """Take the source's next bytes, ``b""`` at its end; return whether to read on."""
        decoder = self._decoder
        if decoder is None:
            return False
        if data:
            if self.hand_on is None:
                self.ready.extend(self._feed(decoder, data))
                if self.ready:
                    self._has_begun = True
            elif not self.hand_on(decoder, data):
                self.hand_on = None
            if decoder.end == "open":
                if self.heard is not None and not self.ready:
                    self._tell_heard(decoder, self.heard)
                return True
        self._take_rest(decoder, complete=True)
        self._conclude(self._verdict())
        return False

    @staticmethod
    def _tell_heard(decoder: D, heard: Callable[[], None]) -> None:
        if decoder.events > decoder.bad_events:
            heard()

    @property
    def is_answering(self) -> bool:
        """Whether a reply is being read whose status is no error's."""
        if self.opening is None or self.undecided is not None or self.ended:
            return False
        return getattr(self.opening.source, "status", 0) < FIRST_ERROR_STATUS

    def progressed(self) -> bool:
        """Tell whether the bytes just fed restart the idle clock."""
        decoder = self._decoder
        if decoder is None:
            return False
        events = decoder.events
        if (
            events == self._events
            and not self._any_read_is_progress
            and decoder.framing not in _UNFRAMED
        ):
            return False
        self._events = events
        return True

    def break_off(self, error: TailraceError) -> None:
        """Note that the source broke off, or that the idle clock ran out."""
        if self._decoder is not None:
            self._conclude(self._cut(self._decoder, error))

    def settle(self) -> None:
        """Note that no other reply replaces the one that failed."""
        if self.undecided is not None:
            self._settle(self.undecided)

    def expire(self, error: TailraceError) -> None:
        """Note that the total clock ran out: as `break_off`, but the failure is final."""
        failure = error if self._decoder is None else self._cut(self._decoder, error)
        self.stop()
        if failure is not None:
            self.fail(failure)

    def fail(self, error: TailraceError) -> None:
        """Note that the call failed, for a reason outside of the reply."""
        if self.left:
            return
        self.stop()
        self._conceal(error)
        attempts = self._attempts
        if attempts:
            error.attempts = attempts
        self._failure = self._error = error

    def stop(self) -> None:
        """End the reading: no more bytes are taken."""
        self._decoder = None
        self.ended = True
        self.undecided = None

    def leave(self) -> None:
        """Note that the consumer has left: nothing more is delivered or raised."""
        self.left = True
        self.stop()
        self._failure = None
        self.ready.clear()

    # -- delivery ----------------------------------------------------------------------------------

    def turn_to(
        self,
        decoding: Decoding[Any, D],
        ready: deque[Any],
        items_of: Callable[[Iterable[Any]], Iterable[Any]],
    ) -> None:
        """Deliver items of another `decoding` from now on, into `ready`.

        `items_of` makes such items of those that wait. While a driver is reading nothing is
        changed: it goes on with its own.
        """
        if ready is not self.ready and (not self.is_being_read or self.ended):
            ready.extend(items_of(self.ready))
            self.ready.clear()
            self._feed, self._close = decoding
            self.ready = ready

    def deliver(self) -> bool:
        """Tell whether anything is `ready`; raise the failure, once, when nothing is."""
        if self.left:
            self.ready.clear()
            return False
        if self.ready:
            return True
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return False

    # -- verdicts ----------------------------------------------------------------------------------

    def _take_rest(self, decoder: D, *, complete: bool) -> None:
        self.ready.extend(self._close(decoder, complete=complete))
        if self.ready:
            self._has_begun = True

    def _verdict(self) -> TailraceError | None:
        """Return the decoder's error of a reply that has been read, None where it is whole."""
        if self.opening is None:
            return None
        failure = self.opening.decoder.error
        if isinstance(failure, ResponseStatusError):
            # A source that is no response, such as a list of bytes, has no header.
            failure.retry_after = getattr(self.opening.source, "retry_after", None)
        return failure

    def _cut(self, decoder: D, error: TailraceError) -> TailraceError | None:
        """Return the failure of a reply cut by `error`; None where the reply proves to be whole."""
        self._take_rest(decoder, complete=False)
        return failure_of_cut(decoder.end, self._verdict(), error)

    def _conclude(self, failure: TailraceError | None) -> None:
        """Decide what follows the end of a reply."""
        self._decoder = None
        if failure is not None:
            self._conceal(failure)
        if failure is not None and not self._has_begun and not self.left:
            self.undecided = failure
        else:
            self._settle(failure)

    def _conceal(self, failure: TailraceError) -> None:
        if self._exchange is not None and failure is not self._concealed:
            self._concealed = failure
            self._exchange.conceal(failure)

    def _settle(self, failure: TailraceError | None) -> None:
        self.stop()
        decoder = None if self.opening is None else self.opening.decoder
        if decoder is not None and decoder.bad_events:
            log.warning("%d of %d events skipped: bad data", decoder.bad_events, decoder.events)
        if failure is not None:
            self.fail(failure)


def failure_of_cut(
    end: str, verdict: TailraceError | None, error: TailraceError
) -> TailraceError | None:
    """Return the failure of a reply cut by `error`; None where the reply proved to be whole.

    `end` and `verdict`: the decoder's end and error, once the reply was closed.
    """
    if end == "truncated" and (verdict is None or not isinstance(error, ReplyBrokenError)):
        return error
    if isinstance(error, ReplyBrokenError) and error.bad_coding:
        verdict = _of_bad_coding(verdict, error)
    if verdict is not None and error.__cause__ is not None:
        verdict.__cause__ = error.__cause__
    return verdict


def _of_bad_coding(verdict: TailraceError | None, error: ReplyBrokenError) -> TailraceError | None:
    """Return the verdict on a reply that could not be unpacked: no connection was lost."""
    if not isinstance(verdict, StreamError) or verdict.kind != "truncated":
        return verdict
    return reply_error("truncated", str(error), verdict.status, verdict.code, verdict.raw)
