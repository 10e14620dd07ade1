"""The server of `endtoend.py`.

Prepared chunks over aiohttp, paced or back to back, in a process of its own.

One run at a time. `POST /run` says how many streams there are and how they are paced; each stream
then gets its opening and waits. `GET /opened` answers when all have theirs, `POST /go` lets them go
on, `POST /finish` lets them end: so the client knows where to begin and to stop counting. The
process ends when its standard input is closed. What it prints are its origins, plain and over TLS,
and the file with the certificate authority of the latter.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import tempfile
from dataclasses import dataclass, field

import msgspec
import trustme
from aiohttp import web

from endtoend_wire import Wire

LEAD = 0.05  # seconds from `POST /go` to the first write
PAGE = b"""<!doctype html><title>bench</title><div class="wpaicg-chat-shortcode" \
data-nonce="0123456789"
data-post-id="1" data-bot-id="0" data-openai_stream_nav="1"></div>"""


class Settings(msgspec.Struct):
    """A run: `interval` in seconds between two writes of one stream, 0 for back to back."""

    streams: int
    opening: int
    events: int
    per_write: int
    interval: float


@dataclass
class Run:
    """One run; `begin` is the loop's time of the first write."""

    settings: Settings
    wire: Wire
    opened: int = 0
    all_opened: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    begin: float = 0.0


RUN = web.AppKey("run", list[Run])


async def start_run(request: web.Request) -> web.Response:
    """Begin a run."""
    settings = msgspec.json.decode(await request.read(), type=Settings)
    wire = Wire(settings.opening, settings.events, settings.per_write)
    request.app[RUN][:] = [Run(settings, wire)]
    return web.Response()


async def opened(request: web.Request) -> web.Response:
    """Answer when every stream has its opening."""
    await request.app[RUN][0].all_opened.wait()
    return web.Response()


async def go(request: web.Request) -> web.Response:
    """Let the streams go on."""
    run = request.app[RUN][0]
    run.begin = asyncio.get_running_loop().time() + LEAD
    run.go.set()
    return web.Response()


async def finish(request: web.Request) -> web.Response:
    """Let the streams end."""
    request.app[RUN][0].finish.set()
    return web.Response()


async def page(_request: web.Request) -> web.Response:
    """The page of a WordPress site with a bot."""
    return web.Response(body=PAGE, content_type="text/html")


async def stream(request: web.Request) -> web.StreamResponse:
    """One reply."""
    run = request.app[RUN][0]
    await request.read()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(run.wire.opening)
    turn, run.opened = run.opened, run.opened + 1
    if run.opened == run.settings.streams:
        run.all_opened.set()
    await run.go.wait()
    await write_all(run, turn, response)
    await run.finish.wait()
    await response.write(run.wire.ending)
    return response


async def write_all(run: Run, turn: int, response: web.StreamResponse) -> None:
    """The writes of one stream.

    Paced ones are spread evenly over the interval; the others take turns.
    """
    loop = asyncio.get_running_loop()
    interval = run.settings.interval
    due = run.begin + turn * interval / run.settings.streams
    for data in run.wire.writes:
        await asyncio.sleep(max(0.0, due - loop.time()))
        await response.write(data)
        due += interval


async def main() -> None:
    """Serve until standard input is closed; what a client needs to know is printed."""
    application = web.Application()
    application[RUN] = []
    application.add_routes(
        [
            web.post("/run", start_run),
            web.get("/opened", opened),
            web.post("/go", go),
            web.post("/finish", finish),
            web.get("/chat/", page),
            web.post("/wp-admin/admin-ajax.php", stream),
            web.post("/v1/chat/completions", stream),
        ],
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    for context in (None, tls):
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context, backlog=1024).start()
    (_, plain), (_, safe) = runner.addresses
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority.cert_pem.write_to_path(file.name)
        print(f"http://127.0.0.1:{plain} https://127.0.0.1:{safe} {file.name}", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
