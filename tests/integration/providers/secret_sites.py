"""Sites that are sent secrets, each kind of them, for servers that say them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from calls_site import engine, page

from tailrace import Site
from tailrace._calls.token_cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loopback import Server

__all__ = ["APIS", "KEY", "SERVERS", "site_at"]

KIT = Path(__file__).parents[2] / "vectors/captures/ai-power/2.4.0/page_json.body"
KEY = "sk-proj-Ab3/xyz+0123456789_QwErTy="
MORE: Mapping[str, Any] = {
    "headers": {"X-Gate-Token": 'gate-"0123"-456789'},
    "cookies": {"session": "crumb-0123456789abc", "seen": "0a9z8y7x"},
}
_APIS = ("openai", "anthropic", "gemini", "ollama")
SERVERS: Mapping[str, dict[str, Any]] = {
    "openai": {"software": "openai", "api_key": KEY},
    "openai-responses": {"software": "openai", "api": "responses", "api_key": KEY},
    "openai, a key in the query": {"software": "openai", "query": "?key=AIza-0123456789-abc"},
    "openai, a key in extra": {"software": "openai", "extra": {"api_key": "sk-extra-0123456789"}},
    "openai, a user": {"software": "openai", "user": "me:pass%2Fword9@"},
    "openai, a short key": {"software": "openai", "api_key": "hunter22"},
    "anthropic": {"software": "anthropic", "api_key": KEY},
    "gemini": {"software": "gemini", "api_key": KEY},
    "ollama": {"software": "ollama", "api_key": KEY},
    "ai-power": {"software": "wordpress", "page": page()},
    "aipkit": {"software": "wordpress", "page": KIT.read_bytes()},
    "ai-engine": {"software": "ai-engine", "page": page(rest=engine())},
    "geminiprochat": {"software": "geminiprochat", "password": KEY, "secret_key": "signs-012345"},
    "chatgpt-demo": {"software": "chatgpt-demo", "password": KEY},
}


APIS = [name for name, row in SERVERS.items() if row["software"] in _APIS]
"""The rows that are servers with an API for programs."""


def site_at(server: Server, row: dict[str, Any], **options: Any) -> Site:
    """The site of a row of the table at a server."""
    row = {**MORE, **row, **options}
    row.pop("page", None)
    url = f"http://{row.pop('user', '')}127.0.0.1:{server.port}/v1{row.pop('query', '')}"
    if row["software"] in ("wordpress", "ai-engine"):
        row["token_cache"] = TokenCache()
    elif row["software"] in _APIS:
        row["model"] = "m"
    return Site(url, **row)
