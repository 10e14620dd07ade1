"""Posts of a fleet, each awaited by a task of its own: what a load and a batch ask through.

A fleet sends one request a post and knows neither pages nor cookies, so that only sites with an API
for programs are asked over it; what else it lacks is refused by name, before anything is sent.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from tailrace import fleet as wheel
from tailrace.errors import InvalidRequestError
from tailrace.sites._software import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack

    from tailrace.fleet import Batch, Ended, Fleet
    from tailrace.providers._base import CallRequest
    from tailrace.sites import Site

__all__ = ["Engine", "FleetPosts", "check_engine"]

Engine = Literal["process", "fleet"]
"""Who reads the replies: the event loop of the process, or threads of a fleet beside it."""

_MOST_WAIT = 0.01  # seconds in which rows gather; an end is told at once


def check_engine(engine: str, site: Site) -> None:
    """Raise InvalidRequestError for an engine that is none, or that `site` cannot be asked over.

    Raises MissingRequirementsError where the fleet is not installed.
    """
    if engine == "process":
        return
    if engine != "fleet":
        raise InvalidRequestError(f"the engine must be 'process' or 'fleet', not {engine!r}")
    problem = _lacking(site)
    if problem:
        raise InvalidRequestError(f"the engine fleet cannot ask {site.name}: {problem}")
    _ = wheel.Fleet


def _lacking(site: Site) -> str:
    """Return why a fleet cannot ask a site; empty where it can."""
    if SOFTWARE[site.software].has_page:
        return f"sites of the software {site.software} have a page that comes first, with cookies"
    if site.cookies:
        return "it sends no cookies, and the site has some"
    if site.transport != "aiohttp":
        return "it has connections of its own, and the site another transport"
    if site.comments_restart_idle:
        return "it takes no comment for progress, as comments_restart_idle asks"
    return ""


class FleetPosts:
    """The posts of one fleet in one event loop; each is awaited by the task that makes it."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._tags = count()
        self._waiting: dict[int, asyncio.Future[Ended]] = {}
        self._heard: dict[int, Callable[[int], None]] = {}
        self._has_begun = asyncio.Event()
        self._failure: Exception | None = None

    @classmethod
    async def of(
        cls,
        request: CallRequest,
        stack: AsyncExitStack,
        *,
        keep: Literal["counts", "body"],
        dialect: str = "openai",
    ) -> FleetPosts:
        """Open a fleet with the clocks, the cap and the proxy of `request`; it ends with `stack`.

        Raises InvalidProxyError for a kind of proxy that a fleet does not speak with.
        """
        timeouts = request.timeouts
        options: dict[str, Any] = {
            "keep": keep,
            "dialect": dialect,
            "connect_timeout": timeouts.connect,
            "first_byte_timeout": timeouts.first_byte,
            "idle_timeout": timeouts.idle,
            "total_timeout": timeouts.total,
            "max_reply_bytes": request.limits.max_reply_bytes,
            "proxy": request.proxy,
        }
        posts = cls(await stack.enter_async_context(wheel.Fleet(**options)))
        delivering = asyncio.create_task(posts._deliver())
        stack.push_async_callback(posts._stop, delivering)
        return posts

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        at: int | None = None,
        heard: Callable[[int], None] | None = None,
        cut: Callable[[Ended], None] | None = None,
    ) -> Ended:
        """Post `body` and return how that ended, which raises nothing that a peer has a part in.

        `at`: when it is to be sent, in nanoseconds of the monotonic clock; `heard` is called with
        the moment of each delta. Cancelled, it cuts the request and waits until that has ended;
        `cut` is called with that end. Raises InvalidRequestError for what cannot be sent.
        """
        if self._failure is not None:
            raise self._failure
        tag = next(self._tags)
        ended = self._waiting[tag] = asyncio.get_running_loop().create_future()
        if heard is not None:
            self._heard[tag] = heard
        try:
            ticket = self._fleet.submit(url, data=body, headers=dict(headers), tag=tag, at=at)
            self._has_begun.set()
            try:
                return await ended
            except asyncio.CancelledError:
                last = await self._cut(tag, ticket, ended)
                if cut is not None:
                    cut(last)
                raise
        finally:
            self._waiting.pop(tag, None)
            self._heard.pop(tag, None)

    async def _cut(self, tag: int, ticket: Any, ended: asyncio.Future[Ended]) -> Ended:
        if ended.done() and not ended.cancelled():
            return ended.result()
        last = self._waiting[tag] = asyncio.get_running_loop().create_future()
        ticket.cancel()
        return await last

    async def _deliver(self) -> None:
        """Hand on rows and ends, for as long as the fleet is open; a failure is every post's."""
        try:
            while True:
                await self._has_begun.wait()
                self._has_begun.clear()
                async for batch in self._fleet.batches(max_wait=_MOST_WAIT):
                    self._take(batch)
        except Exception as error:
            self._failure = error
            for each in self._waiting.values():
                if not each.done():
                    each.set_exception(error)
            raise

    def _take(self, batch: Batch) -> None:
        heard = self._heard
        if heard and len(batch):
            tags, moments = memoryview(batch.tag).tolist(), memoryview(batch.at_ns).tolist()
            for tag, moment in zip(tags, moments, strict=True):
                if tag in heard:
                    heard[tag](moment)
        for ended in batch.ended:
            waiting = self._waiting.get(ended.tag)
            if waiting is not None and not waiting.done():
                waiting.set_result(ended)

    async def _stop(self, delivering: asyncio.Task[None]) -> None:
        delivering.cancel()
        await asyncio.wait([delivering])
        if not delivering.cancelled() and delivering.exception() is not None:
            await delivering
