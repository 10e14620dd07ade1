"""The transport over aiohttp.

A session is a `ClientSession` of its own, and so a cookie jar of its own, over the transport's
connections. aiohttp's timers are off: one clock per request is restarted by aiohttp's trace
signals, so that a timeout names the exact phase, and reading costs no timer.

`transport` holds the transport, its sessions and its responses; `clock` times a request;
`connections` closes connections at once and wakes their readers; `failures` translates aiohttp's
errors into ours.
"""

from __future__ import annotations

from tailrace.transport._over_aiohttp.transport import AiohttpTransport

__all__ = ["AiohttpTransport"]
