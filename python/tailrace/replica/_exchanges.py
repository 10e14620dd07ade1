"""A log of the requests that reached the replica, and of how each exchange ended."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEPT_EXCHANGES = 1000

ExchangeState = Literal["open", "finished", "aborted", "failed"]


@dataclass(slots=True)
class ServedExchange:
    """One request to a site of the replica, and how its response ended.

    `site`: the site's name; `method`, `path` and `headers`: of the request. `form` is set where a
    form arrived, `json` where JSON did, `markers` where words in the message made the site
    misbehave, `faults` where a fault was requested. `status` is None until a status line was sent;
    `bytes_sent` counts the response's body. `ended` is ``open``, ``finished`` (the response was
    written to its end, or to where a fault ends it), ``aborted`` (the client left, or the replica
    stopped) or ``failed`` (a defect of the replica).
    """

    site: str
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    form: dict[str, str] | None = field(default=None, repr=False)
    json: object = field(default=None, repr=False)
    markers: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    status: int | None = None
    bytes_sent: int = 0
    ended: ExchangeState = "open"


class ExchangeLog:
    """The newest exchanges (at most `KEPT_EXCHANGES`) in order of arrival, and counts of all."""

    def __init__(self) -> None:
        self._kept: deque[ServedExchange] = deque(maxlen=KEPT_EXCHANGES)
        self._changed = asyncio.Event()
        self.open: int = 0
        self.finished: int = 0
        self.aborted: int = 0
        self.failed: int = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[ServedExchange]:
        return iter(tuple(self._kept))

    def __getitem__(self, index: int) -> ServedExchange:
        return self._kept[index]

    def begin(self, exchange: ServedExchange) -> None:
        """Count `exchange` as open."""
        self._kept.append(exchange)
        self.open += 1
        self._announce()

    def end(self, exchange: ServedExchange, ended: ExchangeState) -> None:
        """Record how `exchange` ended."""
        exchange.ended = ended
        self.open -= 1
        self.finished += ended == "finished"
        self.aborted += ended == "aborted"
        self.failed += ended == "failed"
        self._announce()

    async def changed(self) -> None:
        """Wait until an exchange begins or ends."""
        await self._changed.wait()

    async def settled(self) -> None:
        """Wait until no exchange is open."""
        while self.open:
            await self.changed()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
