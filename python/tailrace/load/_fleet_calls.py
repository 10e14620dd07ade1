"""The requests of a load over a fleet, whose threads take the times beside Python's lock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tailrace._over_fleet import FleetPosts, check_engine
from tailrace.sites._site import begin_call, for_call
from tailrace.transport._rules import merged_headers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AsyncExitStack

    from tailrace._messages import Messages
    from tailrace.fleet import Ended
    from tailrace.load._calls import MeasuredCall
    from tailrace.providers._api import ApiCall
    from tailrace.sites import Site

__all__ = ["FleetCalls"]


class FleetCalls:
    """The requests of a load to one site, over one fleet."""

    def __init__(self, call: ApiCall[Any], posts: FleetPosts) -> None:
        """Ask as `call` would, whose messages are those of each request in turn."""
        self._call = call
        self._posts = posts
        self._headers = call.request.headers or {}

    @classmethod
    async def of(cls, site: Site, options: Mapping[str, Any], stack: AsyncExitStack) -> FleetCalls:
        """Begin to ask `site`; `options`: those of every call. What it opens ends with `stack`.

        Raises what `check_engine` and `FleetPosts.of` do, and ProfileError or InvalidRequestError
        where the variable of a secret is not set.
        """
        called = for_call(site, options)
        check_engine("fleet", called)
        begun = begin_call(site, [], options, model=called.model)
        call: Any = await stack.enter_async_context(begun)
        posts = await FleetPosts.of(call.request, stack, keep="counts", dialect=call.dialect)
        return cls(call, posts)

    async def measure(self, call: MeasuredCall, prompt: str | Messages) -> None:
        """Ask the site, and fill in what is seen of the `call`.

        It is sent when it is due, by a thread of the fleet. Raises the InvalidRequestError of what
        cannot be asked. Cancellation leaves the call ``open``.
        """
        asked = self._call
        user = [{"role": "user", "content": prompt}]
        asked.request.messages = user if isinstance(prompt, str) else prompt
        posted = asked.posted(asked.check())
        heard = _Heard(call)
        ended = await self._posts.post(
            posted.url,
            posted.body,
            merged_headers(self._headers, posted.headers),
            at=call.due if call.due > time.monotonic_ns() else None,
            heard=heard,
            cut=heard.note,
        )
        heard.note(ended)
        if ended.error is not None:
            asked.conceal(ended.error)
        call.end, call.error, call.ended = ended.end, ended.error, ended.ended_ns


class _Heard:
    """The deltas of one call: called with the moment of each."""

    __slots__ = ("_call", "_gaps")

    def __init__(self, call: MeasuredCall) -> None:
        self._call = call
        self._gaps: list[int] = []

    def __call__(self, moment: int) -> None:
        call = self._call
        if call.last is None:
            call.first = moment
        else:
            self._gaps.append(moment - call.last)
        call.last = moment
        call.deltas += 1

    def note(self, ended: Ended) -> None:
        """Fill in what a request that has ended, or was cut, tells besides its deltas."""
        call, usage = self._call, ended.usage
        call.gaps = tuple(self._gaps)
        call.status = ended.status
        if ended.sent_ns is not None:
            call.begun = ended.sent_ns
        if usage is not None and usage.completion_tokens:  # 0: it was left out
            call.told_tokens = usage.completion_tokens
