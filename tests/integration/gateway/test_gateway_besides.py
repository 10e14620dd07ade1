"""Embeddings and counts of tokens at sites that fail, and at several sites of one name."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from gateway_app import RunningGateway, serving, until

from tailrace import Site
from tailrace.sites import ModelGroup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPLIES = {
    "good": {
        "data": [{"embedding": [0.5], "index": 0}],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    },
    "error": {"error": {"message": "no such thing", "code": "odd"}},
    "list": [{"embedding": [0.5]}],
    "counts": {"input_tokens": 7},
    "other": {"data": []},
}


async def answer(request: web.Request) -> web.Response:
    """What the first segment of the path says, whatever is asked."""
    name = request.path.split("/")[1]
    if name == "slow":
        await asyncio.Event().wait()
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
                for name in ("good", "error", "list", "text", "slow")
            ),
            *(
                Site(f"{url}/{name}", software="anthropic", name=name, models=["m"])
                for name in ("counts", "other")
            ),
        ]
        made = [
            ModelGroup("any", ("error/m", "counts/m", "good/m")),
            ModelGroup("none", ("error/m", "text/m")),
            ModelGroup("counted", ("good/m", "counts/m")),
            ModelGroup("counted-next", ("good/m", "other/m", "counts/m")),
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
        "counted-next",
        messages=messages,
        context_management=management,
    )
    assert (status, told) == (200, REPLIES["counts"])
    assert gateway.context.request_figures.snapshot().dropped["context_management"] == 1


@pytest.mark.parametrize(
    ("path", "model", "asked_of", "tokens"),
    [
        ("embeddings", "any", ["error/m", "good/m"], 7),
        ("messages/count_tokens", "counted", ["counts/m"], 0),
    ],
)
async def test_they_are_in_the_figures_and_in_the_log(  # noqa: PLR0917 - a row of the table
    gateway: RunningGateway,
    caplog: pytest.LogCaptureFixture,
    path: str,
    model: str,
    asked_of: list[str],
    tokens: int,
) -> None:
    caplog.set_level(logging.INFO)
    operation = path.rpartition("/")[2]
    question = {"messages": [{"role": "user", "content": "x"}]} if "/" in path else {"input": "x"}
    status, _ = await asked(gateway, path, model, **question)
    assert status == 200
    snapshot = gateway.context.stream_figures.snapshot()
    told = {f"{each.site}/{each.model}": each for each in snapshot.figures}
    *failed, answered = asked_of
    assert told[answered].outcomes == {"done": 1}
    assert (told[answered].operation, told[answered].input_tokens) == (operation, tokens)
    assert [told[each].outcomes for each in failed] == [{"failed": 1}] * len(failed)
    assert (snapshot.open_streams, snapshot.deltas) == (0, 0)
    (line,) = [each for each in caplog.records if each.name == "tailrace.gateway.requests"]
    fields: Any = line.__dict__["tailrace"]
    assert (fields["model"], fields["outcome"], fields["input_tokens"]) == (
        answered,
        "done",
        tokens,
    )
    assert [each["model"] for each in fields.get("tried_before", [])] == failed
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.url}/metrics") as reply,
    ):
        text = await reply.text()
    assert f'gen_ai_operation_name="{operation}"' in text


async def test_a_client_that_leaves_is_counted(gateway: RunningGateway) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{gateway.base_url}/embeddings"
        asking = asyncio.create_task(session.post(url, json={"model": "slow/m", "input": "x"}))
        await until(lambda: gateway.context.stream_figures.snapshot().open_streams == 1)
        asking.cancel()
        await until(lambda: gateway.context.stream_figures.snapshot().open_streams == 0)
    (told,) = gateway.context.stream_figures.snapshot().figures
    assert (told.outcomes, told.operation) == ({"left": 1}, "embeddings")
