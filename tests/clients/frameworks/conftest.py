"""The gateway that `with_gateway.py` runs beside the tests, and nobody else to be asked."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = os.environ["TAILRACE_GATEWAY"]
KEY = os.environ["TAILRACE_GATEWAY_KEY"]

# What they would send home, and what they would fetch before they begin.
os.environ.update(
    DO_NOT_TRACK="1",
    HAYSTACK_TELEMETRY_ENABLED="False",
    LANGSMITH_TRACING="false",
    LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    OPENAI_AGENTS_DISABLE_TRACING="1",
)

strangers: list[object] = []
"""Addresses beyond loopback that somebody wanted to reach."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[0]
    else:
        return
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, str) and host not in {"127.0.0.1", "::1", "localhost"} and "/" not in host:
        strangers.append(address)
        raise PermissionError(f"a test asks nobody but loopback, not {host}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def only_loopback() -> Iterator[None]:
    """Fail where anybody but this machine was to be reached."""
    strangers.clear()
    yield
    assert strangers == []


@pytest.fixture
def base_url() -> str:
    """The base URL of OpenAI's clients."""
    return f"{URL}/v1"


@pytest.fixture
def key() -> str:
    return KEY


MODELS = {
    "openai": "openai/gpt-4o",
    "responses": "answers/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-6",
    "gemini": "gemini/gemini-2.5-flash",
    "ollama": "ollama/llama3.2:latest",
}
"""A model of a site with each API."""


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return MODELS[request.param]
