"""The times of one reply, as a record."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Timings"]


@dataclass(frozen=True, slots=True)
class Timings:
    """The times of one reply, in nanoseconds of a clock that runs evenly; None where it never came.

    A time is taken when bytes have been read, before they are decoded: all that one read brings has
    one time. Only differences of times mean anything. Where a request was repeated, they are those
    of the last one.

    `sent`: the request with the messages began to be sent, connecting included; `first_byte`: the
    head of its response was in. Both are None where somebody else opened the response.
    `first_event`: the first event was whole, whatever was in it; `first_delta`: the first one that
    added to the reply, reasoning, a refusal or a tool call too; `first_text`: the first that added
    text. `last`: the last one that added to the reply; of `stream_events` the last event. `end`:
    the reply had ended, or failed; None until then, and of one that was left. `gaps`: the times
    from each delta (of `stream_events`: event) to the next, 0 where one read brought both; of so
    many that a million are not enough, `further_gaps` counts the others.
    """

    sent: int | None = None
    first_byte: int | None = None
    first_event: int | None = None
    first_delta: int | None = None
    first_text: int | None = None
    last: int | None = None
    end: int | None = None
    gaps: tuple[int, ...] = ()
    further_gaps: int = 0

    @property
    def time_to_first_token(self) -> int | None:
        """Nanoseconds from `sent` to `first_delta`, of whatever kind."""
        return _between(self.sent, self.first_delta)

    @property
    def time_to_first_text(self) -> int | None:
        """Nanoseconds from `sent` to `first_text`."""
        return _between(self.sent, self.first_text)

    @property
    def duration(self) -> int | None:
        """Nanoseconds from `sent` to `end`."""
        return _between(self.sent, self.end)

    def inter_token_latency(self, tokens: int, *, first: int = 1) -> float | None:
        """Return the nanoseconds a token that came after `first_delta`, up to `last`.

        `tokens`: of the answer, such as ``reply.usage.completion_tokens``; `first`: those that the
        first delta brought. None where no more than these came, and where there was no delta.
        """
        between = _between(self.first_delta, self.last)
        return None if between is None or tokens <= first else between / (tokens - first)


def _between(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else end - start
