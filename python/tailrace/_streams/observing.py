"""What is kept of a reply beside its items, for who asks for it: times, and each event's JSON."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from tailrace._streams.reading import Decoding
from tailrace._streams.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tailrace._native import Delta, DeltaDecoder, ServerSentEvent
    from tailrace._streams.events import EventDecoder

__all__ = ["Observer", "observer"]

_MOST_GAPS = 1_000_000  # of which a reply without end would have ever more


class Observer:
    """The decoding of a reply with times and with each event's JSON.

    The driver of a reading tells with `take_time` that bytes have been read. `clock`: nanoseconds,
    None for no times. `keeps_raw`: deltas have their event's JSON. `sent`: tells when the request
    was sent and when it was answered, None for what is not known.
    """

    def __init__(
        self,
        clock: Callable[[], int] | None,
        *,
        keeps_raw: bool,
        sent: Callable[[], tuple[int | None, int | None]] = lambda: (None, None),
    ) -> None:
        self._clock = clock
        self._keeps_raw = keeps_raw
        self._sent = sent
        self._at: int | None = None
        self._decoder: object = None
        self._begin(None)

    def _begin(self, decoder: object) -> None:
        """Begin to observe the reply of `decoder`, which replaces one that failed."""
        self._decoder = decoder
        self._first_event: int | None = None
        self._first_delta: int | None = None
        self._first_text: int | None = None
        self._last: int | None = None
        self._end: int | None = None
        self._gaps = array("q")
        self._further_gaps = 0
        self._texts: list[Delta] = []

    def take_time(self) -> None:
        """Take the time of a read, or of what ends the reading."""
        if self._clock is not None:
            self._at = self._clock()

    @property
    def timings(self) -> Timings | None:
        """The times as far as they are known; None where none are taken."""
        if self._clock is None:
            return None
        return Timings(
            *self._sent(),
            self._first_event,
            self._first_delta,
            self._first_text,
            self._last,
            self._end,
            tuple(self._gaps),
            self._further_gaps,
        )

    # -- decodings ---------------------------------------------------------------------------------

    def deltas(self) -> Decoding[Delta, DeltaDecoder]:
        """Return the decoding to deltas of every kind."""
        return Decoding(self._feed_deltas, self._close_deltas)

    def texts(self) -> Decoding[str, DeltaDecoder]:
        """Return the decoding to text."""
        return Decoding(self._feed_texts, self._close_texts)

    def events(self) -> Decoding[ServerSentEvent, EventDecoder]:
        """Return the decoding to events."""
        return Decoding(self._feed_events, self._close_events)

    def deltas_of(self, texts: Iterable[str]) -> list[Delta]:
        """Return the deltas of texts that wait: they are the last ones that were decoded."""
        waiting = sum(1 for _ in texts)
        return self._texts[len(self._texts) - waiting :]

    def _feed_deltas(self, decoder: DeltaDecoder, data: bytes) -> list[Delta]:
        if decoder is not self._decoder:
            self._begin(decoder)
            if self._keeps_raw:
                decoder.keep_raw()
        return self._noted(decoder, decoder.feed_events(data, self._at))

    def _close_deltas(self, decoder: DeltaDecoder, *, complete: bool) -> list[Delta]:
        if decoder is not self._decoder:
            self._begin(decoder)
            if self._keeps_raw:
                decoder.keep_raw()
        deltas = self._noted(decoder, decoder.close_events(complete=complete, at=self._at))
        self._end = self._at
        return deltas

    def _feed_texts(self, decoder: DeltaDecoder, data: bytes) -> list[str]:
        return self._texts_of(self._feed_deltas(decoder, data))

    def _close_texts(self, decoder: DeltaDecoder, *, complete: bool) -> list[str]:
        # The last read and the end can come together: what waits may be of both.
        texts = self._texts
        rest = self._texts_of(self._close_deltas(decoder, complete=complete))
        self._texts = texts + self._texts
        return rest

    def _texts_of(self, deltas: list[Delta]) -> list[str]:
        self._texts = [each for each in deltas if each.kind == "text" and each.text]
        return [each.text for each in self._texts]

    def _feed_events(self, decoder: EventDecoder, data: bytes) -> list[ServerSentEvent]:
        if decoder is not self._decoder:
            self._begin(decoder)
        return self._noted_events(decoder.feed(data, self._at))

    def _close_events(self, decoder: EventDecoder, *, complete: bool) -> list[ServerSentEvent]:
        events = self._noted_events(decoder.close(complete=complete))
        self._end = self._at
        return events

    # -- times -------------------------------------------------------------------------------------

    def _noted(self, decoder: DeltaDecoder, deltas: list[Delta]) -> list[Delta]:
        if self._at is None:
            return deltas
        if self._first_event is None and decoder.events:
            self._first_event = self._at
        # Without text: log probabilities alone, or kept JSON, which add nothing to the reply.
        adding = [each for each in deltas if each.text or each.kind == "tool_call"]
        if self._first_delta is None and adding:
            self._first_delta = self._at
        if self._first_text is None and any(each.kind == "text" for each in adding):
            self._first_text = self._at
        self._note_gaps(adding)
        return deltas

    def _noted_events(self, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        if self._at is not None:
            if self._first_event is None and events:
                self._first_event = self._at
            self._note_gaps(events)
        return events

    def _note_gaps(self, items: Sequence[Any]) -> None:
        at, count = self._at, len(items)
        if at is None or not count:
            return
        gaps = [0] * (count - 1) if self._last is None else [at - self._last] + [0] * (count - 1)
        room = _MOST_GAPS - len(self._gaps)
        self._gaps.extend(gaps[:room])
        self._further_gaps += max(0, len(gaps) - room)
        self._last = at


def observer(
    clock: Callable[[], int],
    *,
    timings: bool,
    keep_raw: bool,
    sent: Callable[[], tuple[int | None, int | None]] = lambda: (None, None),
) -> Observer | None:
    """Return the observer of a reply of which `timings` or the raw JSON are wanted, else None.

    `clock`, `sent`: those of `Observer`.
    """
    if not (timings or keep_raw):
        return None
    return Observer(clock if timings else None, keeps_raw=keep_raw, sent=sent)
