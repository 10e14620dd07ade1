"""The models that servers tell of themselves: asked for in the background, kept, renewed."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from gateway_app import asking, events, posting, serving, until
from gateway_sockets import ask, gateway_of, get

from tailrace import Site
from tailrace.gateway import _model_lists
from tailrace.transport import AiohttpTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_app import RunningGateway


class ListingSite:
    """An OpenAI-compatible server with models, which may be silent or fail."""

    def __init__(self) -> None:
        self.url = ""
        self.models = ["small", "org/large"]
        self.status = 200
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def list(self, _request: web.Request) -> web.Response:
        self.asked += 1
        await self.answers.wait()
        data = [{"id": name, "object": "model"} for name in self.models]
        return web.json_response({"object": "list", "data": data}, status=self.status)

    async def answer(self, request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        chunk = json.dumps({"choices": [{"delta": {"content": f"I am {name}"}}]})
        text = f"data: {chunk}\n\ndata: [DONE]\n\n"
        return web.Response(text=text, content_type="text/event-stream")

    def site(self, name: str = "own", **options: Any) -> Site:
        return Site(self.url, software="openai", name=name, **options)


@asynccontextmanager
async def listing_site() -> AsyncIterator[ListingSite]:
    site = ListingSite()
    app = web.Application()
    app.router.add_get("/v1/models", site.list)
    app.router.add_post("/v1/chat/completions", site.answer)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.1)
    try:
        site.url = str(server.make_url("/v1"))
        yield site
    finally:
        await server.close()


@pytest.fixture
async def site() -> AsyncIterator[ListingSite]:
    async with listing_site() as running:
        yield running


async def ids(gateway: RunningGateway) -> list[str]:
    answer = await ask(int(gateway.url.rpartition(":")[2]), get("/v1/models"))
    return [card["id"] for card in json.loads(answer.body)["data"]]


async def test_a_servers_models_are_listed_and_asked_for_by_name(site: ListingSite) -> None:
    async with serving([site.site()]) as gateway:
        assert await ids(gateway) == ["own/small", "own/org/large"]
        for name in ("org/large", "of another name"):
            async with posting(gateway, asking("Hello", f"own/{name}", stream=True)) as reply:
                first, *_ = await events(reply)
            assert first["model"] == f"own/{name}"
        snapshot = gateway.context.stream_figures.snapshot()
        assert [each.model for each in snapshot.figures] == ["org/large", "*"]


async def test_neither_start_nor_a_request_waits_for_a_server(site: ListingSite) -> None:
    site.answers.clear()
    sites = [site.site(), site.site("set", models=["x"]), Site("http://shop.example", name="shop")]
    async with gateway_of(sites) as served:
        answer = await ask(served.port, get("/v1/models"))
        assert [card["id"] for card in json.loads(answer.body)["data"]] == ["set/x", "shop/default"]
        await until(lambda: site.asked == 1)  # and not for the models that a profile names
        site.answers.set()
        await until(lambda: served.gateway.lists.resting)
        answer = await ask(served.port, get("/v1/models"))
    assert json.loads(answer.body)["data"][0]["id"] == "own/small"
    assert site.asked == 1


async def test_a_look_renews_what_is_not_fresh(
    site: ListingSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving([site.site()]) as gateway:
        site.models = ["new"]
        assert await ids(gateway) == ["own/small", "own/org/large"]
        assert site.asked == 1
        monkeypatch.setattr(_model_lists, "FRESH_SECONDS", -1.0)
        await ids(gateway)
        await until(lambda: [model.id for model in gateway.context.registry.models] == ["own/new"])
    assert site.asked == 2


async def test_lists_are_renewed_by_themselves(
    site: ListingSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_model_lists, "REFRESH_SECONDS", 0.01)
    async with serving([site.site()]) as gateway:
        site.models = ["new"]
        await until(lambda: [model.id for model in gateway.context.registry.models] == ["own/new"])


async def test_a_server_that_is_down_keeps_its_models_and_is_named_once(
    site: ListingSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_model_lists, "REFRESH_SECONDS", 0.001)
    caplog.set_level(logging.WARNING)
    async with serving([site.site()]) as gateway:
        site.status = 500
        asked = site.asked
        await until(lambda: site.asked > asked + 5)
        assert await ids(gateway) == ["own/small", "own/org/large"]
        (said,) = caplog.messages
        assert said.startswith("own does not tell its models, those told last stay: ")
        site.status = 200
        await until(lambda: len(caplog.messages) == 2)
        assert caplog.messages[1] == "own tells its models again"


async def test_a_server_that_was_never_there_has_its_profiles_models(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    gone = Site(url, software="openai", name="gone", model="mine")
    async with serving([gone]) as gateway:
        assert await ids(gateway) == ["gone/mine"]
    (said,) = caplog.messages
    assert said.startswith("gone does not tell its models, its profile's are listed: ConnectError")


async def test_a_gateway_that_stops_does_not_wait_for_a_list(site: ListingSite) -> None:
    site.answers.clear()
    async with gateway_of([site.site()]) as served:
        await until(lambda: site.asked == 1)
        async with asyncio.timeout(10):
            assert await served.gateway.stop() == 0


class FailingTransport(AiohttpTransport):
    """A transport of somebody's own, with a fault."""

    def session(self, **options: Any) -> Any:
        raise KeyError(options)


async def test_a_fault_of_anothers_transport_stops_no_other_list(
    site: ListingSite, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = site.site("faulty", transport=FailingTransport())
    async with serving([faulty, site.site()]) as gateway:
        assert await ids(gateway) == ["own/small", "own/org/large"]
    (said,) = caplog.messages
    assert said.startswith("faulty does not tell its models")
    assert said.endswith("KeyError: an error of another package")
