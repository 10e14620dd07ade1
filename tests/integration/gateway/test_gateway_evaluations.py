"""What tools for evaluations send, as they were seen to: promptfoo, lm-eval, garak, deepeval,
ragas. Each request is answered at a page and at a site of every API, or refused by the name of what
the site has no place for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from gateway_app import RunningGateway, serving

from tailrace import Site
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUESTION = "Are you open on Sunday?"
ASKED = [{"role": "user", "content": QUESTION}]
PAGES = ("shop", "engine", "gem")
APIS = ("openai", "answers", "claude", "gemini", "ollama")
CLAUDE = "claude-sonnet-4-6"  # which takes no top_p beside a temperature
SITES = (*PAGES, *APIS)

CHAT: dict[str, dict[str, Any]] = {
    "promptfoo": {"max_tokens": 1024, "temperature": 0},
    "lm-eval": {"max_tokens": 256, "temperature": 0, "stop": ["</s>"], "seed": 1234},
    "garak": {
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "n": 1,
        "stop": ["#", ";"],
        "max_tokens": 150,
        "temperature": 0.7,
        "top_p": 1.0,
    },
    "deepeval": {"temperature": 0.0, "n": 2, "logprobs": None, "response_format": None},
    "ragas": {"temperature": 0.3, "n": 3, "stream": False},
}


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture(params=[None, "drop"])
async def gateway(
    replica: Replica, request: pytest.FixtureRequest
) -> AsyncIterator[RunningGateway]:
    openai = f"{replica.url('openai')}/v1"
    sites = [
        Site(replica.page("ai-power", "stream"), name="shop"),
        Site(replica.page("ai-engine", "inline"), name="engine"),
        Site(replica.url("geminiprochat"), software="geminiprochat", name="gem"),
        Site(openai, software="openai", name="openai", models=["gpt-4o"]),
        Site(openai, software="openai", api="responses", name="answers", models=["gpt-4o"]),
        Site(
            replica.url("anthropic"),
            software="anthropic",
            name="claude",
            models=["claude-sonnet-4-6"],
        ),
        Site(replica.url("gemini"), software="gemini", name="gemini", models=["gemini-2.5-flash"]),
        Site(replica.url("ollama"), software="ollama", name="ollama", models=["llama3.2:latest"]),
    ]
    drops = {} if request.param is None else {"unsupported": request.param}
    async with serving(sites, **drops) as running:
        yield running


async def said(
    gateway: RunningGateway, path: str, site: str, **fields: Any
) -> tuple[int, str, dict[str, Any]]:
    """The status, what was dropped, and the body."""
    target = next(
        each for each in gateway.context.registry.listed() if each.id.startswith(f"{site}/")
    )
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.base_url}{path}", json={"model": target.id, **fields}) as reply,
    ):
        return reply.status, reply.headers.get("X-Tailrace-Dropped", ""), await reply.json()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("tool", CHAT)
async def test_a_chat(gateway: RunningGateway, tool: str, site: str) -> None:
    fields = CHAT[tool]
    drops = gateway.context.settings.unsupported == "drop"
    lacks_seed = "seed" in fields and site in ("claude", "answers")
    status, dropped, body = await said(gateway, "/chat/completions", site, messages=ASKED, **fields)
    if lacks_seed and not drops:
        assert (status, body["error"]["param"]) == (400, "seed")
        return
    assert status == 200, body
    choices = body["choices"]
    assert [each["index"] for each in choices] == list(range(fields.get("n") or 1))
    for each in choices:
        text = each["message"]["content"]
        assert text.startswith(f"You asked: “{QUESTION}”")
        assert each["finish_reason"] in ("stop", "length")
        assert not any(stop in text for stop in fields.get("stop", ()))
    assert body["usage"]["total_tokens"] > 0
    assert ("seed" in dropped) == ("seed" in fields and (lacks_seed or site in PAGES))
    assert ("temperature" in dropped) == (site in PAGES)


@pytest.mark.parametrize("site", SITES)
async def test_promptfoos_other_wires(gateway: RunningGateway, site: str) -> None:
    status, _, body = await said(
        gateway,
        "/responses",
        site,
        input=QUESTION,
        max_output_tokens=1024,
        temperature=0,
        text={"format": {"type": "text"}},
    )
    assert (status, body.get("status")) == (200, "completed"), body
    status, _, body = await said(
        gateway, "/messages", site, messages=ASKED, max_tokens=1024, temperature=0, stream=False
    )
    assert (status, body.get("stop_reason")) == (200, "end_turn"), body


@pytest.mark.parametrize("site", ["shop", "openai", "gemini", "ollama"])
async def test_prompts_of_legacy_completions(gateway: RunningGateway, site: str) -> None:
    """Of promptfoo, whose `best_of` is one, and of lm-eval, whose batch is one request."""
    promptfoo = {"top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "best_of": 1}
    stop = ["<|im_end|>", "<|endoftext|>"]
    status, _, body = await said(
        gateway, "/completions", site, prompt=QUESTION, temperature=0, stop=stop, **promptfoo
    )
    assert (status, len(body["choices"])) == (200, 1)
    prompts = [QUESTION, "Where do I park?", "What does a ticket cost?"]
    status, _, body = await said(
        gateway, "/completions", site, prompt=prompts, temperature=0, stop=["</s>"], seed=1234
    )
    assert (status, len(body["choices"])) == (200, 3)
    for prompt, choice in zip(prompts, body["choices"], strict=True):
        assert f"“{prompt}”" in choice["text"]
