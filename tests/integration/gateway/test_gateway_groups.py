"""Groups of models: each site is asked in turn, until one has begun to answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from calls_site import SSE, Asked, Line
from calls_site import Site as SiteByHand
from gateway_app import CREATED, asked, asking, content, events, outcomes, posting, serving
from gateway_sockets import SECRET, ask, get

from tailrace import Site
from tailrace.gateway import Key
from tailrace.replica import Replica
from tailrace.sites import ModelGroup, Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_app import RunningGateway

AUTHORIZED = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


def the_sites(replica: Replica, gone: int) -> list[Site]:
    """One that is not there, one that is not set up, a chat page, and a server."""
    server = f"{replica.url('openai')}/v1"
    return [
        Site(f"http://127.0.0.1:{gone}/v1", software="openai", name="gone", models=["x"]),
        Site(
            server,
            software="openai",
            name="unset",
            models=["x"],
            api_key=Secret(variable="NO_SUCH_KEY", environ={}, file="f", key="k"),
        ),
        Site(replica.page("ai-power", "stream"), name="shop"),
        Site(server, software="openai", name="open", models=["gpt-4o-mini"]),
    ]


def groups(*names: str, **others: list[str]) -> list[ModelGroup]:
    tables = {"any": list(names), **others}
    return [ModelGroup(name, tuple(members)) for name, members in tables.items() if members]


def counted(gateway: RunningGateway) -> dict[str, dict[str, int]]:
    figures = gateway.context.stream_figures.snapshot().figures
    return {each.site: {**each.outcomes, **each.errors} for each in figures}


@pytest.mark.parametrize("stream", [True, False])
async def test_the_next_site_answers_where_one_fails_before_it_began(
    replica: Replica, unused_tcp_port: int, *, stream: bool
) -> None:
    made = groups("gone", "unset", "shop")
    async with serving(the_sites(replica, unused_tcp_port), groups=made) as gateway:
        async with posting(gateway, asking("Hello", "any", stream=stream)) as reply:
            assert reply.status == 200
            if stream:
                *chunks, done = await events(reply)
                assert (done, chunks[0]["model"]) == ("[DONE]", "any")
                assert content(chunks).startswith("You asked: “Hello”")
            else:
                body = await reply.json()
                assert body["model"] == "any"
        assert counted(gateway) == {
            "gone": {"failed": 1, "network": 1},
            "unset": {"failed": 1, "not_set_up": 1},
            "shop": {"done": 1},
        }
        assert gateway.context.stream_figures.snapshot().open_streams == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_after_its_first_delta_a_site_is_not_left(replica: Replica, *, stream: bool) -> None:
    async with serving(the_sites(replica, 1), groups=groups("open/gpt-4o-mini", "shop")) as gateway:
        async with posting(gateway, asking("[[midfail]]", "any", stream=stream)) as reply:
            assert reply.status == (200 if stream else 502)
            last = (await events(reply))[-1] if stream else await reply.json()
        assert last["error"]["type"] == "upstream_error"
        assert outcomes(gateway) == {"failed": 1}


async def test_where_all_fail_the_last_ones_failure_is_told(
    replica: Replica, unused_tcp_port: int
) -> None:
    made = groups("unset", "gone", "open")
    async with serving(the_sites(replica, unused_tcp_port), groups=made) as gateway:
        async with posting(gateway, asking("[[err429]]", "any")) as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
            assert (await reply.json())["error"]["code"] == "rate_limit_exceeded"
        assert counted(gateway)["open"] == {"failed": 1, "rate_limit": 1}


async def test_a_site_that_cannot_take_a_request_is_passed_over(replica: Replica) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body: dict[str, Any] = {"tools": [tool], "tool_choice": "required"}
    made = groups("shop", "open", pages=["shop"])
    async with serving(the_sites(replica, 1), groups=made) as gateway:
        async with posting(gateway, asking("Hello", "any", **body)) as reply:
            choice = (await reply.json())["choices"][0]
            assert choice["finish_reason"] == "tool_calls"
        async with posting(gateway, asking("Hello", "pages", **body)) as reply:
            assert reply.status == 400
            assert (await reply.json())["error"]["param"] == "tools"
        assert counted(gateway) == {"open": {"done": 1}}


async def test_what_one_api_has_not_another_is_asked(replica: Replica) -> None:
    claude = Site(
        replica.url("anthropic"), software="anthropic", name="claude", models=["x"], api_key="k"
    )
    form = {"type": "json_object"}  # which Anthropic's API has not
    async with serving(
        [*the_sites(replica, 1), claude], groups=groups("claude", "open")
    ) as gateway:
        async with posting(gateway, asking("Hello in JSON", "any", response_format=form)) as reply:
            assert reply.status == 200
            await reply.read()
        assert counted(gateway) == {
            "claude": {"failed": 1, "invalid_request": 1},
            "open": {"done": 1},
        }
        async with posting(gateway, asking("Hello", "claude/x", response_format=form)) as reply:
            assert reply.status == 400


async def test_messages_without_text_are_the_clients_fault_at_every_site(replica: Replica) -> None:
    async with serving(the_sites(replica, 1), groups=groups("shop", "open")) as gateway:
        async with posting(gateway, asking(" ", "any")) as reply:
            assert reply.status == 400
        assert asked(replica) == 0


async def test_what_was_dropped_is_told_of_the_site_that_answers(
    replica: Replica, unused_tcp_port: int
) -> None:
    made = groups("gone", "shop", other=["shop", "open"])
    async with serving(the_sites(replica, unused_tcp_port), groups=made) as gateway:
        for model, dropped in (("any", "temperature"), ("open/gpt-4o-mini", None)):
            for stream in (True, False):
                body = asking("Hello", model, temperature=0.5, stream=stream)
                async with posting(gateway, body) as reply:
                    assert reply.headers.get("X-Tailrace-Dropped") == dropped
                    await reply.read()


class Failing(SiteByHand):
    """A site that has begun, and fails before its first delta, once its `head_is_out`."""

    def __init__(self, begun: object) -> None:
        self.head_is_out = asyncio.Event()
        self._begun = begun
        super().__init__(self._fail)

    async def _fail(self, _: Asked, line: Line) -> None:
        await line.begin(SSE)
        await line.chunks([f"data: {json.dumps(self._begun)}\n\n".encode()])
        await self.head_is_out.wait()
        await line.chunks([b'data: {"error": {"message": "out of memory"}}\n\n'])
        await line.end()

    async def streamed(
        self, gateway: RunningGateway, wire: str, body: Any
    ) -> tuple[str | None, str]:
        """The header of what was dropped, and the whole stream."""
        url = f"{gateway.base_url}/{wire}"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
            self.head_is_out.set()
            assert reply.status == 200
            return reply.headers.get("X-Tailrace-Dropped"), await reply.text()


@pytest.mark.parametrize("wire", ["chat/completions", "messages", "responses", "completions"])
async def test_what_the_next_site_drops_is_told_behind_a_head_that_is_out(
    replica: Replica, wire: str
) -> None:
    async with Failing({"choices": [], "usage": {"prompt_tokens": 1}}) as site:
        first = Site(f"{site.url}/v1", software="openai", name="first", models=["x"])
        page = Site(replica.page("ai-power", "stream"), name="shop", unsupported="drop")
        async with serving([first, page], groups=groups("first", "shop")) as gateway:
            head, told = await site.streamed(gateway, wire, BODIES[wire])
            assert counted(gateway)["shop"] == {"done": 1}
    assert head is None
    dropped = "max_tokens, temperature" if wire == "messages" else "temperature"
    assert told.count(f"\n\n: X-Tailrace-Dropped: {dropped}\n\n") == 1


async def test_what_the_next_site_does_not_drop_is_taken_back(replica: Replica) -> None:
    begun = {"type": "response.created", "response": {"id": "r"}}
    async with Failing(begun) as site:
        url, openai = f"{site.url}/v1", f"{replica.url('openai')}/v1"
        drops: Any = {"unsupported": "drop", "models": ["gpt-4o-mini"]}
        first = Site(url, software="openai", name="first", api="responses", **drops)
        second = Site(openai, software="openai", name="second", models=["gpt-4o-mini"])
        async with serving([first, second], groups=groups("first", "second")) as gateway:
            body = asking("Hello", "any", seed=1, stream=True)
            head, told = await site.streamed(gateway, "chat/completions", body)
    assert (head, told.count(": X-Tailrace-Dropped: \n\n")) == ("seed", 1)


BODIES: dict[str, Any] = {
    "chat/completions": asking("Hello", "any", temperature=0.5, stream=True),
    "completions": {"model": "any", "prompt": "Hello", "temperature": 0.5, "stream": True},
    "messages": {
        "model": "any",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "stream": True,
    },
    "responses": {"model": "any", "input": "Hello", "temperature": 0.5, "stream": True},
}


async def test_groups_are_listed_and_a_key_may_have_one_alone(replica: Replica) -> None:
    key = Key.of("own", SECRET, models=["any"])
    sites, made = the_sites(replica, 1), groups("shop", "open")
    async with serving(sites, groups=made, keys=(key,)) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        line = f"Authorization: Bearer {SECRET}"
        card = {"id": "any", "created": CREATED, "owned_by": "shop, open", "object": "model"}
        answer = await ask(port, get("/v1/models", line))
        assert json.loads(answer.body)["data"] == [card]
        assert json.loads((await ask(port, get("/v1/models/any", line))).body) == card
        answer = await ask(port, get("/v1/models/shop/default", line))
        assert (answer.status, answer.error["code"]) == (403, "model_not_allowed")
        async with posting(gateway, asking("Hello", "any"), headers=AUTHORIZED) as reply:
            assert reply.status == 200
        async with posting(gateway, asking("Hello", "shop/default"), headers=AUTHORIZED) as reply:
            assert reply.status == 403
            assert (await reply.json())["error"]["param"] == "model"
