"""Requests and connections counted, whatever they ask: the frame's own figures beside those of the
streams.

Nothing here grows with the number of requests: methods and routes are the gateway's own, statuses
those it gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tailrace.gateway._figures.histogram import Counts, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Answered", "Traffic", "TrafficSnapshot", "traffic_added_up"]

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Answered(msgspec.Struct, frozen=True):
    """The requests of one method and route that got one status, and how many seconds they took."""

    method: str
    route: str
    status: int
    seconds: Counts


class TrafficSnapshot(msgspec.Struct, frozen=True):
    """What was counted up to one moment; `connections` and `requests` are those there just now."""

    connections: int = 0
    requests: int = 0
    refused: dict[str, int] = {}
    answered: list[Answered] = []


class Traffic:
    """The counts of one process. `begun_with`: those of a process this one stands in for."""

    def __init__(self, begun_with: TrafficSnapshot | None = None) -> None:
        earlier = TrafficSnapshot() if begun_with is None else begun_with
        self.connections: int = 0
        self.requests: int = 0
        self._refused = dict(earlier.refused)
        self._answered = {
            (each.method, each.route, each.status): Histogram(each.seconds)
            for each in earlier.answered
        }

    def refused(self, reason: str) -> None:
        """A request or a connection was refused before anything was asked of a site."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is the gateway's own name for its path."""
        place = (method if method in _METHODS else "_OTHER", route, status)
        histogram = self._answered.get(place)
        if histogram is None:
            histogram = self._answered[place] = Histogram()
        histogram.add(seconds)

    def snapshot(self) -> TrafficSnapshot:
        """What was counted so far."""
        answered = [
            Answered(*place, histogram.counts()) for place, histogram in self._answered.items()
        ]
        return TrafficSnapshot(self.connections, self.requests, dict(self._refused), answered)


def traffic_added_up(snapshots: Iterable[TrafficSnapshot]) -> TrafficSnapshot:
    """The counts of several processes as one."""
    connections = requests = 0
    refused: dict[str, int] = {}
    answered: dict[tuple[str, str, int], Counts] = {}
    for snapshot in snapshots:
        connections += snapshot.connections
        requests += snapshot.requests
        for reason, count in snapshot.refused.items():
            refused[reason] = refused.get(reason, 0) + count
        for each in snapshot.answered:
            place = (each.method, each.route, each.status)
            answered[place] = answered.get(place, Counts()).plus(each.seconds)
    return TrafficSnapshot(
        connections, requests, refused, [Answered(*key, counts) for key, counts in answered.items()]
    )
