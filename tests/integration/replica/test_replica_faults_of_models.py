"""Faults in front of the sites with the APIs of models, for one URL or for a whole site."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from replica_apis import ask

from tailrace.replica import Replica

USER = [{"role": "user", "content": "hi"}]
VERSION = {"anthropic_version": "2023-06-01"}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/responses", {"model": "gpt-4o", "input": "hi", "stream": True}),
    "anthropic": (
        "/v1/messages",
        {"model": "claude-sonnet-4-6", "max_tokens": 99, "messages": USER, "stream": True},
    ),
    "gemini": (
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": "hi"}]}]},
    ),
    "ollama": ("/api/chat", {"model": "qwen3-vl:8b", "messages": USER}),
}


@pytest.mark.parametrize("site", CALLS)
async def test_faults_of_a_url(site: str) -> None:
    path, body = CALLS[site]
    async with Replica(clock=lambda: 1_790_000_000.5) as replica:
        whole = await ask(replica, site, path, body, **VERSION)
        assert whole.status == 200
        for prefix in ("/~fault/gzip", "/~fault/split:7", "/~fault/http-1.0", "/blog"):
            same = await ask(replica, site, prefix + path, body, **VERSION)
            assert (prefix, same.body) == (prefix, whole.body)
        debris = await ask(replica, site, f"/~fault/notices{path}", body, **VERSION)
        assert debris.body.endswith(whole.body)
        busy = await ask(replica, site, f"/~fault/503:9{path}", body, **VERSION)
        assert (busy.status, busy.headers["Retry-After"]) == (503, "9")
        assert replica.exchanges[-1].faults == ("503:9",)
        for fault in ("cut:character", "reset:chunk"):
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
                await ask(replica, site, f"/~fault/{fault}{path}", body, **VERSION)
        assert replica.exchanges.failed == 0


@pytest.mark.parametrize("site", CALLS)
async def test_faults_of_a_site(site: str) -> None:
    path, body = CALLS[site]
    async with Replica() as replica:
        replica.fault(site, "guard@all")
        guarded = await ask(replica, site, path, body, **VERSION)
        listed = await ask(replica, site, replica.page(site, "models")[len(replica.url(site)) :])
        assert (guarded.status, listed.status) == (403, 403)
        replica.fault(site)
        assert (await ask(replica, site, path, body, **VERSION)).status == 200
