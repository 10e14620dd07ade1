"""Posts of a fleet, each awaited by a task of its own: what a load and a batch ask through.

A fleet sends one request a post and knows neither pages nor cookies, so that only sites with an API
for programs are asked over it; what else it lacks is refused by name, before anything is sent.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from tailrace import fleet as wheel  # which is looked for when it is first used
from tailrace.errors import InvalidRequestError, NetworkError, TailraceError
from tailrace.sites._software import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack

    from tailrace.fleet import Batch, Ended, Fleet, Request, Ticket
    from tailrace.providers._base import CallRequest
    from tailrace.sites import Site

__all__ = ["Engine", "FleetPosts", "check_engine"]

Engine = Literal["process", "fleet"]
"""Who reads the replies: the event loop of the process, or threads of a fleet beside it."""

_STOPPED = "the fleet was stopped before the request had ended"
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
    wheel.Fleet  # noqa: B018 - which says so where its wheel is missing


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
        self._under_way: dict[int, _Post] = {}
        self._unsent: list[_Post] = []
        self._heard: dict[int, Callable[[int], None]] = {}
        self._has_begun = asyncio.Event()
        self._failure: TailraceError | None = None

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
        post = self._under_way[tag] = _Post(
            wheel.Request(url, data=body, headers=headers, tag=tag, at=at)
        )
        if heard is not None:
            self._heard[tag] = heard
        try:
            self._begin(post)
            try:
                return await post.until_ended()
            except asyncio.CancelledError:
                last = await self._cancelled(post)
                if cut is not None and last is not None:
                    cut(last)
                raise
        finally:
            del self._under_way[tag]
            self._heard.pop(tag, None)

    async def _cancelled(self, post: _Post) -> Ended | None:
        """Cut a post and return how it ended; None where that is not told."""
        if post.ticket is not None:
            post.ticket.cancel()
            with suppress(TailraceError):  # what would tell its end was cancelled, too
                return await post.until_ended()
        return None

    def _begin(self, post: _Post) -> None:
        """Send a post with those of the same turn of the loop: the fleet is woken once for all."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(post)

    def _send(self) -> None:
        posts, self._unsent = self._unsent, []
        try:
            self._submit(posts)
        except InvalidRequestError:  # of one of them, and none was sent
            for post in posts:
                try:
                    self._submit([post])
                except InvalidRequestError as error:
                    post.end(error)

    def _submit(self, posts: list[_Post]) -> None:
        tickets = self._fleet.submit_many(post.request for post in posts)
        for post, ticket in zip(posts, tickets, strict=True):
            post.ticket = ticket
        self._has_begun.set()

    async def _deliver(self) -> None:
        """Hand on rows and ends, until that is cancelled; what ends it ends every post."""
        try:
            while True:
                await self._has_begun.wait()
                self._has_begun.clear()
                async for batch in self._fleet.batches(max_wait=_MOST_WAIT):
                    self._take(batch)
        except BaseException as error:
            self._failure = error if isinstance(error, TailraceError) else NetworkError(_STOPPED)
            for post in self._under_way.values():
                post.end(self._failure)
            raise

    def _take(self, batch: Batch) -> None:
        heard = self._heard
        if heard and len(batch):
            tags, moments = memoryview(batch.tag).tolist(), memoryview(batch.at_ns).tolist()
            for tag, moment in zip(tags, moments, strict=True):
                if tag in heard:
                    heard[tag](moment)
        for ended in batch.ended:
            if ended.tag in self._under_way:
                self._under_way[ended.tag].end(ended)

    async def _stop(self, delivering: asyncio.Task[None]) -> None:
        delivering.cancel()
        await asyncio.wait([delivering])
        if not delivering.cancelled() and delivering.exception() is not None:
            await delivering


class _Post:
    """One post, whose end is kept for the task that awaits it, whenever that is cancelled."""

    __slots__ = ("_end", "_waiter", "request", "ticket")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.ticket: Ticket | None = None  # once it was sent
        self._end: Ended | Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def end(self, end: Ended | Exception) -> None:
        """Note how it has ended, or why that will never be told."""
        self._end = end
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def until_ended(self) -> Ended:
        """Wait for the end, and return it."""
        if self._end is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if isinstance(self._end, Exception):
            raise self._end
        if self._end is None:
            raise RuntimeError("a post was told of no end")
        return self._end
