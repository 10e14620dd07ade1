"""The doctor on guard: a site looked at again and again, and told of when its state changes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec

from tailrace._cli import exits
from tailrace._cli.besides import failure_fields
from tailrace._printable import visible_line
from tailrace.errors import FIRST_ERROR_STATUS, TailraceError, reply_error
from tailrace.transport import Timeouts, make_transport
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tailrace.sites import Diagnosis

__all__ = ["Figures", "Guard", "webhook"]

_WEBHOOK_SECONDS = 10.0
_MOST_UNSENT = 1000
"""How many changes wait for a webhook; beyond that, the oldest are dropped, and counted."""


class Figures(Protocol):
    """Counter of a guard's looks at a site."""

    def add(self, diagnosis: Diagnosis) -> None:
        """Count one more look."""
        ...


@dataclass(slots=True)
class Guard:
    """One site's guard.

    `look`: examines the site; `every`: seconds from one look's begin to the next one's; `count`:
    the looks in all, None for no end. `tell`: shows a change; `send`: sends it on, or raises a
    TailraceError; `figures`: count the looks.
    """

    look: Callable[[], Awaitable[Diagnosis]]
    every: float
    count: int | None
    tell: Callable[[dict[str, Any]], None]
    send: Callable[[dict[str, Any]], Awaitable[None]] | None = None
    figures: Figures | None = None
    _state: str = ""
    _since: float = 0.0
    _unsent: deque[dict[str, Any]] = field(default_factory=deque, repr=False)
    _dropped: int = 0

    async def run(self) -> int:
        """Look until all looks are done; returns 0, or the exit code of the last that failed.

        Says at the end, however it comes, which changes were not sent on.
        """
        try:
            with _told_once():
                return await self._looks()
        finally:
            if left := len(self._unsent) + self._dropped:
                changes = "1 change was" if left == 1 else f"{left} changes were"
                click.echo(f"tailrace: {changes} not sent to the webhook", err=True)

    async def _looks(self) -> int:
        clock = asyncio.get_running_loop().time
        begun, looks, code = clock(), 0, exits.OK
        while True:
            diagnosis = await self.look()
            looks += 1
            if diagnosis.error is not None:
                code = exits.code_of(diagnosis.error)
            await self._note(diagnosis)
            if looks == self.count:
                return code
            # A look that took longer than the time between two leaves out those it has missed.
            late = (clock() - begun) % self.every
            await asyncio.sleep(self.every - late)

    async def _note(self, diagnosis: Diagnosis) -> None:
        if self.figures is not None:
            self.figures.add(diagnosis)
        state = _state(diagnosis)
        if state != self._state:
            change = _change(diagnosis, self._state, self._since)
            self._state, self._since = state, diagnosis.at
            self.tell(change)
            # That a site answers, as it should, is no news at the first look.
            if self.send is not None and (change["was"] or state != _FINE):
                self._unsent.append(change)
        if self.send is not None:
            await self._send_all(self.send)

    async def _send_all(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Send what is not sent yet, in order, until one fails."""
        while len(self._unsent) > _MOST_UNSENT:
            self._unsent.popleft()
            self._dropped += 1
        while self._unsent:
            try:
                await send(self._unsent[0])
            except TailraceError as error:
                status = getattr(error, "status", None)  # of the webhook, and not of the site
                why = str(error) if status is None else f"it answered with HTTP {status}"
                click.echo(
                    "tailrace: the webhook did not take a change, and is tried again with the next "
                    f"look: {why}",
                    err=True,
                )
                return
            self._unsent.popleft()


class _Once(logging.Filter):
    """Filter that lets each text pass once, such as that a folder cannot be written to."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the text is a new one."""
        text = record.getMessage()
        is_new = text not in self._told
        if len(self._told) < _MOST_UNSENT:
            self._told.add(text)
        return is_new


@contextmanager
def _told_once() -> Iterator[None]:
    """Have the looks log what does not change only once."""
    log, once = logging.getLogger("tailrace"), _Once()
    log.addFilter(once)
    try:
        yield
    finally:
        log.removeFilter(once)


_FINE = "ok"


def _state(diagnosis: Diagnosis) -> str:
    """Return the state of a site: ``ok``, or the step that failed."""
    return _FINE if diagnosis.failed is None else diagnosis.failed.name


def _change(diagnosis: Diagnosis, was: str, since: float) -> dict[str, Any]:
    """Return a change as fields of JSON; `was`: the state before, since the time `since`."""
    failed, error = diagnosis.failed, diagnosis.error
    at = datetime.fromtimestamp(diagnosis.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    change = {
        "at": at,
        "site": diagnosis.site,
        "url": diagnosis.url,
        "was": was or None,
        "is": _state(diagnosis),
        "seconds": round(diagnosis.at - since, 3) if was else None,
        "error": error and failure_fields(error),
        "advice": failed and failed.advice,
    }
    return {**change, "text": _text(change)}


def _text(change: dict[str, Any]) -> str:
    """Return a change as a sentence, which chat programs show of a webhook."""
    site = visible_line(change["site"])
    after = "" if change["seconds"] is None else f" after {_span(change['seconds'])}"
    if change["is"] == _FINE:
        return f"{site} answers" + (f" again{after}" if change["was"] else "")
    what = f"{site} fails at the step {change['is']}"
    was = f", {change['was']} before" if change["was"] not in (None, _FINE) else ""
    return f"{what}{was}: {visible_line(change['error']['message'])}"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@asynccontextmanager
async def webhook(
    url: str, proxy: str | None
) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[None]]]:
    """Open the way to a webhook, which gets a change as JSON by POST.

    Raises InvalidRequestError for a malformed URL.
    """
    checked_url(url)
    timeouts = Timeouts(
        connect=_WEBHOOK_SECONDS, first_byte=_WEBHOOK_SECONDS, idle=_WEBHOOK_SECONDS
    )
    async with make_transport() as transport:

        async def send(change: dict[str, Any]) -> None:
            session = transport.session(proxy=proxy, timeouts=timeouts)
            async with session:
                body = msgspec.json.encode(change)
                headers = {"Content-Type": "application/json"}
                async with await session.post(url, body=body, headers=headers) as reply:
                    if reply.status >= FIRST_ERROR_STATUS:
                        raise reply_error("upstream", f"it answered {reply.reason}", reply.status)

        yield send
