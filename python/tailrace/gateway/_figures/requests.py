"""The figures of requests and connections: those open, answered and refused.

Their size does not grow with the number of requests: methods and routes are the gateway's own, and
so are the statuses.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from tailrace._histogram import Histogram, HistogramCounts, add_counts

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AnsweredRequests",
    "RequestFigures",
    "RequestSnapshot",
    "merge_request_snapshots",
]

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class AnsweredRequests(msgspec.Struct, frozen=True):
    """The requests of one method and route that got one status; `seconds`: their durations."""

    method: str
    route: str
    status: int
    seconds: HistogramCounts


class RequestSnapshot(msgspec.Struct, frozen=True):
    """The counts up to one moment.

    `connections` and `requests`: the number open at that moment; `refused`: the number refused, by
    reason; `dropped`: the number of requests of which a field was left out, by the field.
    """

    connections: int = 0
    requests: int = 0
    refused: dict[str, int] = {}
    answered: list[AnsweredRequests] = []
    dropped: dict[str, int] = {}

    def ended(self) -> RequestSnapshot:
        """Return the counts once the process has died: nothing is open."""
        return msgspec.structs.replace(self, connections=0, requests=0)


class RequestFigures:
    """The counts of one process. `begun_with`: those of a process that this one replaces."""

    def __init__(self, begun_with: RequestSnapshot | None = None) -> None:
        earlier = RequestSnapshot() if begun_with is None else begun_with
        self.connections: int = 0
        self.requests: int = 0
        self._refused = Counter(earlier.refused)
        self._dropped = Counter(earlier.dropped)
        self._answered = {
            (each.method, each.route, each.status): Histogram(each.seconds)
            for each in earlier.answered
        }

    def refused(self, reason: str) -> None:
        """Count a request or connection that was refused before a site was called."""
        self._refused[reason] += 1

    def dropped(self, field: str) -> None:
        """Count a request of which `field`, one of the gateway's own names, was left out."""
        self._dropped[field] += 1

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered; `route` is the gateway's own name for its path."""
        labels = (method if method in _METHODS else "_OTHER", route, status)
        histogram = self._answered.get(labels)
        if histogram is None:
            histogram = self._answered[labels] = Histogram()
        histogram.add(seconds)

    def snapshot(self) -> RequestSnapshot:
        """Copy the counts as they are now."""
        answered = [
            AnsweredRequests(*labels, histogram.counts())
            for labels, histogram in self._answered.items()
        ]
        return RequestSnapshot(
            self.connections, self.requests, dict(self._refused), answered, dict(self._dropped)
        )


def merge_request_snapshots(snapshots: Iterable[RequestSnapshot]) -> RequestSnapshot:
    """Add up the counts of several processes."""
    merged = RequestSnapshot()
    answered: dict[tuple[str, str, int], HistogramCounts] = {}
    for snapshot in snapshots:
        merged = RequestSnapshot(
            merged.connections + snapshot.connections,
            merged.requests + snapshot.requests,
            add_counts(merged.refused, snapshot.refused),
            dropped=add_counts(merged.dropped, snapshot.dropped),
        )
        for each in snapshot.answered:
            labels = (each.method, each.route, each.status)
            answered[labels] = answered.get(labels, HistogramCounts()).plus(each.seconds)
    rows = [AnsweredRequests(*labels, counts) for labels, counts in answered.items()]
    return msgspec.structs.replace(merged, answered=rows)
