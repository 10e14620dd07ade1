"""One request of a load, measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailrace.errors import (
    InvalidRequestError,
    MissingRequirementsError,
    StreamError,
    TailraceError,
)
from tailrace.transport._observed import ObservedTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace._messages import Messages
    from tailrace._streams.outcome import Outcome
    from tailrace.sites import Site
    from tailrace.transport import Transport

__all__ = ["MeasuredCall", "measure"]


@dataclass(slots=True)
class MeasuredCall:
    """A request as far as it is; moments are nanoseconds of the monotonic clock.

    `due`: when it was to begin, `begun`: when it did; `first`: when its first delta of any kind was
    read, `last` when the last one was; `gaps`: nanoseconds from one delta to the next. `end`: as
    `tailrace.Outcome.end`, ``open`` until then; `error`: its failure; `status`: the
    HTTP status of the last response, None where there was none; `told_tokens`: the usage that the
    site told. `is_begun`: whether `begun` is known already, or is told with the end.
    """

    due: int
    begun: int
    first: int | None = None
    last: int | None = None
    ended: int | None = None
    gaps: tuple[int, ...] = ()
    deltas: int = 0
    end: str = "open"
    error: TailraceError | None = None
    status: int | None = None
    told_tokens: int | None = None
    is_begun: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether the answer came whole."""
        return self.end in ("done", "stopped")

    @property
    def tokens(self) -> int:
        """The number of tokens, or that of the deltas where the site told none."""
        return self.deltas if self.told_tokens is None else self.told_tokens


async def measure(
    call: MeasuredCall,
    site: Site,
    prompt: str | Messages,
    options: Mapping[str, Any],
    transport: Transport,
) -> None:
    """Ask the site over the connections of `transport`, and fill in what is seen of the `call`.

    A failure is part of the call, but one of what was asked, in which no site has a part, is
    raised. Cancellation leaves the call ``open``.
    """
    observed = ObservedTransport(transport, time.monotonic)
    try:
        await _read(call, site, prompt, {**options, "transport": observed})
    except TailraceError as error:
        own = isinstance(error, InvalidRequestError | MissingRequirementsError)
        if own and not isinstance(error, StreamError):
            raise
        call.error = error
        if call.end == "open":
            call.end = "failed"
    finally:
        call.status = next((each.status for each in reversed(observed.sent)), None)
    if call.ended is None:
        call.ended = time.monotonic_ns()


async def _read(
    call: MeasuredCall, site: Site, prompt: str | Messages, options: Mapping[str, Any]
) -> None:
    async with site.stream(prompt, timings=True, **options) as stream:
        try:
            while await stream.read():
                pass
        finally:
            call.end = stream.end
            _note(call, stream.outcome)


def _note(call: MeasuredCall, outcome: Outcome) -> None:
    """Fill in what the stream took note of, as far as it came."""
    timings, usage = outcome.timings, outcome.usage
    if timings is not None and timings.first_delta is not None:
        call.first, call.last = timings.first_delta, timings.last
        call.gaps = timings.gaps
        call.deltas = 1 + len(timings.gaps) + timings.further_gaps
    if timings is not None:
        call.ended = timings.end
    if usage is not None and usage.completion_tokens:  # 0: it was left out
        call.told_tokens = usage.completion_tokens
