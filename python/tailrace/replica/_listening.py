"""A server on one port, as the sites of a replica and a replay are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from tailrace.replica._sending import hide_framework

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

HIGHEST_PORT = 65535
MAX_REQUEST_BYTES = 8 * 2**20


async def listen(
    app: web.Application, host: str, port: int, stack: AsyncExitStack, shutdown_timeout: float = 1.0
) -> str:
    """Serve `app` until `stack` closes, and return its origin, without a slash at its end.

    `port`: 0 for a free one; raises OSError for one that is taken. When `stack` closes, exchanges
    that are still open have `shutdown_timeout` seconds to end.
    """
    app.on_response_prepare.append(hide_framework)
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log=None, shutdown_timeout=shutdown_timeout
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port).start()
    bound_host, bound_port = runner.addresses[0][:2]
    return f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
