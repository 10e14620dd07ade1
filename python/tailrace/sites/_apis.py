"""Signs of an API where a page was expected: which software a reply looks like.

The reply is what a server gives to a GET of any path: its root, its base URL, its list of models.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tailrace._json import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace.sites._software import SoftwareName

__all__ = ["api_behind"]

_MOST_BYTES = 64 * 2**10
_API_PATH = re.compile(r"/v1(?:/(?:chat/completions|completions|models|responses))?/?\Z")


def api_behind(url: str, headers: Mapping[str, str], body: bytes) -> SoftwareName | None:
    """Return the software whose API a reply to a GET of `url` looks like; None for a page.

    `headers`: those of the reply, looked up in lower case; `body`: its bytes, of which no more than
    64 KiB are read as JSON.
    """
    if body[: len(_OLLAMA)] == _OLLAMA:
        return "ollama"
    is_html = "html" in headers.get("content-type", "")
    told = {} if is_html else _object(body)
    for software, fits in _SIGNS:
        if fits(told):
            return software
    if headers.get("server", "").lower().startswith(_OPENAI_SERVERS):
        return "openai"
    return "openai" if not is_html and _API_PATH.search(urlsplit(url).path) else None


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is; an empty one for any other body."""
    if len(body) > _MOST_BYTES:
        return {}
    try:
        told = read_json(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _is_anthropic(told: dict[str, Any]) -> bool:
    return told.get("type") == "error" and isinstance(told.get("error"), dict)


def _is_gemini(told: dict[str, Any]) -> bool:
    error, models = told.get("error"), told.get("models")
    if isinstance(models, list) and models and isinstance(models[0], dict):
        return str(models[0].get("name", "")).startswith("models/")
    return isinstance(error, dict) and isinstance(error.get("code"), int) and "status" in error


def _is_ollama(told: dict[str, Any]) -> bool:
    models = told.get("models")
    return isinstance(models, list) and "object" not in told


def _is_openai(told: dict[str, Any]) -> bool:
    error = told.get("error")
    if told.get("object") == "list" and isinstance(told.get("data"), list):
        return True
    return isinstance(error, dict) and {"message", "type"} <= error.keys()


_SIGNS: tuple[tuple[SoftwareName, Callable[[dict[str, Any]], bool]], ...] = (
    ("anthropic", _is_anthropic),
    ("gemini", _is_gemini),
    ("openai", _is_openai),
    ("ollama", _is_ollama),
)
_OLLAMA = b"Ollama is running"
_OPENAI_SERVERS = ("llama.cpp",)
