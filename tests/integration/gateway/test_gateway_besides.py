"""Embeddings and counts of tokens at sites that fail, and at several sites of one name."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from gateway_app import RunningGateway, serving

from tailrace import Site
from tailrace.sites import ModelGroup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPLIES = {
    "good": {"data": [{"embedding": [0.5], "index": 0}]},
    "error": {"error": {"message": "no such thing", "code": "odd"}},
    "list": [{"embedding": [0.5]}],
    "counts": {"input_tokens": 7},
    "other": {"data": []},
}


async def answer(request: web.Request) -> web.Response:
    """What the first segment of the path says, whatever is asked."""
    name = request.path.split("/")[1]
    body = json.dumps(REPLIES[name]) if name in REPLIES else "no JSON"
    return web.Response(text=body, content_type="application/json")


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        sites = [
            *(
                Site(f"{url}/{name}/v1", software="openai", name=name, models=["m"])
                for name in ("good", "error", "list", "text")
            ),
            *(
                Site(f"{url}/{name}", software="anthropic", name=name, models=["m"])
                for name in ("counts", "other")
            ),
        ]
        made = [
            ModelGroup("any", ("error/m", "counts/m", "good/m")),
            ModelGroup("none", ("error/m", "text/m")),
            ModelGroup("counted", ("good/m", "other/m", "counts/m")),
        ]
        async with serving(sites, groups=made) as running:
            yield running


async def asked(gateway: RunningGateway, path: str, model: str, **more: Any) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.base_url}/{path}", json={"model": model, **more}) as reply,
    ):
        return reply.status, await reply.json()


@pytest.mark.parametrize(
    ("name", "code"), [("error", "odd"), ("list", "not_a_stream"), ("text", "not_a_stream")]
)
async def test_what_is_no_embedding_is_a_failure_of_its_site(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, name: str, code: str
) -> None:
    caplog.set_level(logging.WARNING)
    status, told = await asked(gateway, "embeddings", f"{name}/m", input="x")
    assert (status, told["error"]["code"]) == (502, code)
    (line,) = [each for each in caplog.records if each.name == "tailrace.gateway.requests"]
    assert line.getMessage().startswith(f"{name}/m failed (")


async def test_the_next_site_of_a_group_has_the_embeddings(gateway: RunningGateway) -> None:
    status, told = await asked(gateway, "embeddings", "any", input="x")
    assert (status, told) == (200, REPLIES["good"])
    status, told = await asked(gateway, "embeddings", "none", input="x")
    assert (status, told["error"]["code"]) == (502, "not_a_stream")


async def test_the_next_site_of_a_group_counts(gateway: RunningGateway) -> None:
    messages = [{"role": "user", "content": "x"}]
    management: dict[str, Any] = {"edits": []}
    status, told = await asked(
        gateway,
        "messages/count_tokens",
        "counted",
        messages=messages,
        context_management=management,
    )
    assert (status, told) == (200, REPLIES["counts"])
    assert gateway.context.request_figures.snapshot().dropped["context_management"] == 1
