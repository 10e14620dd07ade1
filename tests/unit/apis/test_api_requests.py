"""Vectors of ``tests/vectors/requests``: a chat's messages and options, as each API wants them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import Site
from tailrace._environment import Environment
from tailrace.errors import InvalidRequestError
from tailrace.providers._api import ApiCall
from tailrace.providers._base import CallRequest
from tailrace.sites._software import SOFTWARE

if TYPE_CHECKING:
    from tailrace.sites import SiteOptions

VECTORS = Path(__file__).parents[2] / "vectors" / "requests"
OPTIONS: dict[str, SiteOptions] = {
    "openai": {"software": "openai"},
    "openai-responses": {"software": "openai", "api": "responses"},
    "anthropic": {"software": "anthropic"},
    "gemini": {"software": "gemini"},
    "ollama": {"software": "ollama"},
}


def cases() -> list[Any]:
    return [
        pytest.param(case["messages"], case["options"], api, expected, id=f"{file.stem}-{api}")
        for file in sorted(VECTORS.glob("*.json"))
        for case in [json.loads(file.read_text("utf-8"))]
        for api, expected in case["requests"].items()
    ]


@pytest.mark.parametrize(("messages", "options", "api", "expected"), cases())
def test_a_chat_is_translated_or_refused(
    messages: list[Any], options: dict[str, Any], api: str, expected: dict[str, Any]
) -> None:
    """As the vector says; of OpenAI's chat completions nothing is changed but a null content."""
    if "refused" in expected:
        with pytest.raises(InvalidRequestError) as refused:
            sent(messages, {**OPTIONS[api], **options})
        assert str(refused.value) == expected["refused"]
    else:
        assert json.loads(sent(messages, {**OPTIONS[api], **options})) == expected


def sent(messages: list[Any], options: dict[str, Any]) -> bytes:
    """Return the body that a site with these options would post."""
    site = Site("http://host.example", **options)
    software = SOFTWARE[site.software]
    request = CallRequest(url=site.url, messages=messages, environment=Environment())
    call = software.call(request, software.read_options(options))
    assert isinstance(call, ApiCall)
    return call.encoded_body("m")
