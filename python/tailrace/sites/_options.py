"""The options of sites and calls, as type checkers see them, and a check of their names."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tailrace._calls.retry_policy import RetryPolicy
    from tailrace._calls.throttling import Throttle
    from tailrace._calls.token_cache import TokenCache
    from tailrace._environment import Environment
    from tailrace._messages import Turn
    from tailrace.providers._geminiprochat import ClockOffsets
    from tailrace.sites._secrets import Secret
    from tailrace.sites._software import SoftwareName
    from tailrace.transport import Limits, Transport, TransportKind

__all__ = [
    "CALL_OPTIONS",
    "SITE_OPTIONS",
    "CallOptions",
    "SiteOptions",
    "check_names",
    "closest_name",
    "did_you_mean",
]


class CallOptions(TypedDict, total=False):
    """Options of one call to a site; `tailrace.Site` explains each."""

    model: str | None
    headers: Mapping[str, str | Secret] | None
    cookies: Mapping[str, str] | Secret | None
    proxy: str | Secret | None
    timeout: float | None
    connect_timeout: float | None
    total_timeout: float | None
    comments_restart_idle: bool
    limits: Limits | None
    retry: RetryPolicy | None
    throttle: Throttle | None
    transport: Transport | TransportKind | None
    environment: Environment | None
    timings: bool
    keep_raw: bool
    # wordpress and ai-engine
    bot: str | None
    bot_name: str | None
    make_prompt: Callable[[list[Turn]], str] | None
    token_cache: TokenCache[Any] | None
    client_id: str | None
    # wordpress
    native_history: bool | None
    nonce: str | None
    post_id: str | None
    session_id: str | None
    conversation_uuid: str | None
    thread_id: str | None
    previous_openai_response_id: str | None
    # geminiprochat and chatgpt-demo
    secret_key: str | Secret | None
    password: str | Secret | None
    clock_offsets: ClockOffsets | None
    make_signature: Callable[[int, str], str] | None
    # chatgpt-demo and the APIs
    temperature: float | None
    # openai, anthropic, gemini and ollama
    api_key: str | Secret | None
    extra: Mapping[str, Any] | None
    max_completion_tokens: int | None
    max_tokens: int | None
    reasoning_effort: str | None
    response_format: Mapping[str, Any] | None
    stop: str | list[str] | None
    tool_choice: str | Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]] | None
    top_k: int | None
    top_p: float | None
    # some of these
    api: Literal["chat", "responses"] | None
    frequency_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    parallel_tool_calls: bool | None
    presence_penalty: float | None
    seed: int | None
    stream_options: Mapping[str, Any] | None
    top_logprobs: int | None
    user: str | None


class SiteOptions(CallOptions, total=False):
    """Options of a site: those of its calls, and those that describe the site."""

    software: SoftwareName
    name: str | None
    endpoint: str | None
    models: Sequence[str]
    aliases: Mapping[str, str]
    unsupported: Literal["refuse", "drop"] | None


CALL_OPTIONS = frozenset(CallOptions.__annotations__)
SITE_OPTIONS = frozenset(SiteOptions.__annotations__)


def check_names(where: str, options: Iterable[str], known: frozenset[str]) -> None:
    """Raise TypeError for the first option that is not known, with the name that was meant.

    `where`: the function that was called.
    """
    for name in options:
        if name in known:
            continue
        hint = did_you_mean(name, known | {"url"}) or "."
        raise TypeError(
            f"{where} has no option {name!r}{hint} The options are {', '.join(sorted(known))}"
        )


def did_you_mean(name: str, known: frozenset[str]) -> str:
    """Return the end of a message about an unknown `name`; empty where no known one is like it."""
    close = closest_name(name, known)
    return "" if close is None else f": did you mean {close!r}?"


def closest_name(name: str, known: frozenset[str]) -> str | None:
    """Return the known name that `name` stands for or looks most like; None without one."""
    if _ELSEWHERE.get(name) in known:
        return _ELSEWHERE[name]
    written = name.lower()
    close = get_close_matches(written, sorted(known), n=1, cutoff=0.7)
    # In a name as short as "url" two letters that changed places are a third of it.
    swapped = [each for each in sorted(known) if sorted(each) == sorted(written)]
    return next(iter([*close, *swapped]), None)


_ELSEWHERE = {
    "api_base": "url",
    "api_endpoint": "endpoint",
    "base_url": "url",
    "bot_id": "bot",
    "default_model": "model",
    "dialect": "software",
    "extra": "extra",
    "model_aliases": "aliases",
    "transport_kind": "transport",
}
"""Names that provider classes, profiles and other libraries have for options."""
