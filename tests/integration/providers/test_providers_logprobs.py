"""Log probabilities of every API that has them, as a caller finds them on the deltas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import Site
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.sites import SiteOptions

SITES: Mapping[str, tuple[str, SiteOptions]] = {
    "chat": ("openai/v1", {"software": "openai", "model": "gpt-4o"}),
    "responses": ("openai/v1", {"software": "openai", "model": "gpt-4o", "api": "responses"}),
    "gemini": ("gemini", {"software": "gemini", "model": "gemini-2.5-flash"}),
    "ollama": ("ollama", {"software": "ollama", "model": "llama3.2:latest"}),
}


@pytest.mark.parametrize("name", SITES)
async def test_every_token_of_the_text_has_its_own(name: str) -> None:
    path, options = SITES[name]
    told = ""
    tokens: list[dict[str, Any]] = []
    async with Replica() as replica:
        server, _, version = path.partition("/")
        site = Site(f"{replica.url(server)}/{version}", **options)
        async with site.stream("hi", logprobs=True, top_logprobs=2) as stream:
            async for delta in stream.deltas():
                told += delta.text
                logprobs = json.loads(delta.logprobs or "{}")
                tokens += logprobs.get("content") or []
    assert "hi" in told
    assert "".join(token["token"] for token in tokens) == told
    for token in tokens:
        assert token["bytes"] == list(token["token"].encode())
        assert token["logprob"] == token["top_logprobs"][0]["logprob"] < 0
        assert [sorted(each) for each in token["top_logprobs"]] == [
            ["bytes", "logprob", "token"]
        ] * 2


@pytest.mark.parametrize("name", SITES)
async def test_without_being_asked_for_there_are_none(name: str) -> None:
    path, options = SITES[name]
    async with Replica() as replica:
        server, _, version = path.partition("/")
        site = Site(f"{replica.url(server)}/{version}", **options)
        async with site.stream("hi") as stream:
            assert [delta.logprobs async for delta in stream.deltas() if delta.logprobs] == []
