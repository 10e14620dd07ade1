"""The server of `load.py`: paced replies whose every event holds the time at which it was sent.

A message's first word is the pace, in seconds between two events. Times are nanoseconds of the
machine's monotonic clock; `GET /sent` returns them by the request's message and forgets them. The
process ends when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
from aiohttp import web

EVENTS = 10
SENT = web.AppKey("sent", dict[str, list[int]])
EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"%d "}}]}\n\n'
ENDING = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":%d,"total_tokens":%d}}\n\ndata: [DONE]\n\n'
) % (EVENTS, EVENTS + 1)


async def stream(request: web.Request) -> web.StreamResponse:
    """One reply: events at the pace of the message, and at last the usage."""
    message = msgspec.json.decode(await request.read())["messages"][-1]["content"]
    sent = request.app[SENT][message] = []
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    loop, interval = asyncio.get_running_loop(), float(message.split()[0])
    due = loop.time()
    for _ in range(EVENTS):
        due += interval
        await asyncio.sleep(max(0.0, due - loop.time()))
        now = time.monotonic_ns()
        sent.append(now)
        await response.write((EVENT % now).encode())
    await response.write(ENDING)
    return response


async def all_sent(request: web.Request) -> web.Response:
    """The times of what was sent since the last question."""
    sent = request.app[SENT]
    body = msgspec.json.encode(sent)
    sent.clear()
    return web.Response(body=body, content_type="application/json")


async def main() -> None:
    """Serve until standard input is closed; the port is printed."""
    application = web.Application()
    application[SENT] = {}
    application.add_routes(
        [web.post("/v1/chat/completions", stream), web.get("/sent", all_sent)],
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
