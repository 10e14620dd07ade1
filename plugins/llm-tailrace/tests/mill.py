"""What the tests know of the sites: the file that describes them, their key, their answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import llm

from tailrace.replica import Question, builtin_answer

if TYPE_CHECKING:
    from tailrace.replica import Replica

KEY = "sk-tailrace-0123456789abcdef"
SITES = """\
[sites.shop]
url = "{shop}"

[sites.kit]
url = "{kit}"

[sites.gem]
url = "{gem}"
software = "geminiprochat"

[sites.chat]
url = "{openai}/v1"
software = "openai"
models = ["gpt-4o", "gpt-4o-mini"]
api_key_env = "MILL_KEY"

[sites.answers]
url = "{openai}/v1"
software = "openai"
api = "responses"
default_model = "gpt-4o"
api_key_env = "MILL_KEY"

[sites.claude]
url = "{anthropic}"
software = "anthropic"
default_model = "claude-sonnet-4-6"
api_key_env = "MILL_KEY"

[sites.google]
url = "{gemini}"
software = "gemini"
default_model = "gemini-3-pro-preview"
api_key_env = "MILL_KEY"

[sites.llama]
url = "{ollama}"
software = "ollama"
default_model = "qwen3-vl:8b"
api_key_env = "MILL_KEY"
"""


def answer(text: str = "Hello") -> str:
    """What the replica's model says to a first question."""
    return asyncio.run(builtin_answer(Question("any", text)))


def model(name: str) -> llm.Model:
    """The model of a site, for blocking code."""
    return llm.get_model(f"tailrace/{name}")


def async_model(name: str) -> llm.AsyncModel:
    """The model of a site, for asyncio."""
    return llm.get_async_model(f"tailrace/{name}")


def sent(replica: Replica, site: str) -> Any:
    """The newest request's body at a site of the replica."""
    return [each.json for each in replica.exchanges if each.site == site and each.json][-1]
