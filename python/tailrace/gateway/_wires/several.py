"""The driver of a request for several answers: a call to a site for each, one reply with all.

They are asked at once, as far as the site's own limits let them. Where one fails, so does the
request, and the others are given up: a client that asked for three is not given two.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from tailrace.errors import TailraceError
from tailrace.gateway._problems import problem_response
from tailrace.gateway._wires.fitting import dropped_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailrace.gateway._wires.answer import Answer
    from tailrace.gateway._wires.chunked import ChunkedAnswer
    from tailrace.gateway._wires.wire import WholeAnswer

__all__ = ["send_several"]


async def send_several(
    request: web.Request, answers: Sequence[Answer], encoder: ChunkedAnswer
) -> web.StreamResponse:
    """Answer the request with all `answers`, or with the failure of the first that failed."""
    try:
        whole = await _collected(answers)
    except TailraceError:
        problems = [each.problem for each in answers if each.problem is not None]
        return problem_response(problems[0], request.path)
    dropped = tuple(dict.fromkeys(name for each in answers for name in each.dropped))
    return web.Response(
        body=encoder.several(whole),
        content_type="application/json",
        headers=dropped_header(dropped),
    )


async def _collected(answers: Sequence[Answer]) -> list[WholeAnswer]:
    calls = [asyncio.create_task(each.collect()) for each in answers]
    try:
        return await asyncio.gather(*calls)
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for each in answers:  # a task that was cancelled before its first step has ended nothing
            each.abandon()
