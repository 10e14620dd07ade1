"""The softwares with an API over the replica's models: text, tools, formats, images and errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import Site
from tailrace.errors import RateLimitError, StreamError
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tailrace.sites import SiteOptions

APIS: Mapping[str, tuple[str, str, SiteOptions]] = {
    "openai": ("openai", "/v1", {"software": "openai", "model": "gpt-4o"}),
    "openai-responses": (
        "openai",
        "/v1",
        {"software": "openai", "model": "gpt-4o", "api": "responses"},
    ),
    "anthropic": ("anthropic", "", {"software": "anthropic", "model": "claude-haiku-4-5"}),
    "gemini": ("gemini", "", {"software": "gemini", "model": "gemini-2.5-flash"}),
    "ollama": ("ollama", "", {"software": "ollama", "model": "qwen3-vl:8b"}),
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PLACE: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1, api_key="right") as running:
        yield running


def site_of(replica: Replica, api: str, **options: Any) -> Site:
    name, path, given = APIS[api]
    return Site(replica.url(name) + path, **{"api_key": "right", **given, **options})


@pytest.mark.parametrize("api", APIS)
async def test_text_and_usage(replica: Replica, api: str) -> None:
    site = site_of(replica, api)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "Say hello"},
    ]
    async with site.stream(messages) as stream:
        text = await stream.text()
    assert text.startswith("You asked: “Say hello” (2 earlier turns).")
    end = "stopped" if api == "gemini" else "done"  # Gemini's API has no end marker
    assert (stream.end, stream.error, stream.tool_calls) == (end, None, ())
    assert stream.usage is not None
    assert stream.usage.prompt_tokens > 0 < stream.usage.completion_tokens
    assert site.model in await site.models()


@pytest.mark.parametrize("api", APIS)
async def test_an_agents_loop(replica: Replica, api: str) -> None:
    """Ask, call a tool, answer with its result: the message goes back in OpenAI's form."""
    site = site_of(replica, api, tools=[WEATHER])
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Weather? [[tool]]"}]
    async with site.stream(messages) as stream:
        kinds = [delta.kind async for delta in stream.deltas()]
    assert set(kinds) >= {"tool_call"}
    (call,) = stream.tool_calls
    assert (call.name, list(call.parsed())) == ("weather", ["city"])
    call_id = call.id or "call_0"
    function = {"name": call.name, "arguments": call.arguments}
    messages += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": "3 degrees"},
    ]
    assert "3 degrees" in await site.ask(messages)


@pytest.mark.parametrize("api", APIS)
async def test_two_calls_at_once_are_two(replica: Replica, api: str) -> None:
    async with site_of(replica, api, tools=[WEATHER]).stream("Weather? [[tools]]") as stream:
        assert await stream.text() == ""
    first, second = stream.tool_calls
    assert (first.name, second.name) == ("weather", "weather")
    assert first.parsed().keys() == second.parsed().keys() == {"city"}


@pytest.mark.parametrize("api", [each for each in APIS if each != "ollama"])
async def test_a_tool_that_must_be_called(replica: Replica, api: str) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        site = site_of(replica, api, tools=[WEATHER], tool_choice=choice)
        async with site.stream("hello") as stream:
            await stream.text()
        assert [call.name for call in stream.tool_calls] == ["weather"]


@pytest.mark.parametrize("api", APIS)
async def test_a_tool_that_must_not_be_called(replica: Replica, api: str) -> None:
    site = site_of(replica, api, tools=[WEATHER], tool_choice="none")
    async with site.stream("hello [[tool]]") as stream:
        assert await stream.text()
    assert stream.tool_calls == ()


@pytest.mark.parametrize("api", APIS)
async def test_an_answer_by_a_schema(replica: Replica, api: str) -> None:
    answer = await site_of(replica, api).ask("Where?", response_format=PLACE)
    assert json.loads(answer).keys() == {"city"}


@pytest.mark.parametrize("api", APIS)
async def test_reasoning_is_kept(replica: Replica, api: str) -> None:
    thinking: dict[str, Any] = {
        "anthropic": {"extra": {"thinking": {"type": "enabled", "budget_tokens": 1024}}},
        "gemini": {"extra": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}},
        "ollama": {"extra": {"think": True}},
    }
    async with site_of(replica, api, **thinking.get(api, {})).stream("Think. [[think]]") as stream:
        assert await stream.text()
    assert stream.reasoning


@pytest.mark.parametrize("api", APIS)
async def test_an_image_arrives(replica: Replica, api: str) -> None:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PNG}},
    ]
    assert "1 image" in await site_of(replica, api).ask([{"role": "user", "content": parts}])


@pytest.mark.parametrize("api", APIS)
async def test_failures_have_their_class(replica: Replica, api: str) -> None:
    site = site_of(replica, api)
    with pytest.raises(RateLimitError) as busy:
        await site.ask("[[err429]]")
    assert busy.value.retry_after == 7
    async with site.stream("[[midfail]]") as stream:
        with pytest.raises(StreamError) as failed:
            await stream.text()
    assert failed.value.kind == "upstream"
    with pytest.raises(StreamError) as refused:
        await site.replace(api_key="wrong").ask("hello")
    assert refused.value.status in (400, 401)
