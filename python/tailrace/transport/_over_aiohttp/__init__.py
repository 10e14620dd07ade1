"""The transport over aiohttp.

A session is a `ClientSession` of its own, and so a cookie jar of its own, over the transport's
connections. aiohttp's timers are off: one clock per request is moved on by aiohttp's trace signals,
so that each phase is told exactly, and reading costs no timer.

`transport` holds the transport, its sessions and its responses; `clock` times a request;
`connections` closes them at once and tells their readers; `failures` says aiohttp's errors in ours.
"""

from __future__ import annotations

from tailrace.transport._over_aiohttp.transport import AiohttpTransport

__all__ = ["AiohttpTransport"]
