"""The options of ``tailrace chat`` that become options of a site, read from text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tailrace import RetryPolicy
from tailrace.sites._options import CALL_OPTIONS, CallOptions, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailrace.sites import Site

__all__ = ["SETTABLE", "with_options"]

_OBJECTS = frozenset(
    {
        "clock_offsets",
        "environment",
        "headers",
        "keep_raw",
        "limits",
        "make_prompt",
        "make_signature",
        "retry",
        "throttle",
        "timings",
        "token_cache",
    }
)
"""Options that no text stands for, that change nothing here, or that have a word of their own."""

SETTABLE = CALL_OPTIONS - _OBJECTS
"""The options that ``--option`` gives."""


def with_options(
    site: Site,
    *,
    bot: str | None,
    retry: int | None,
    headers: Iterable[str],
    options: Iterable[str],
    proxy: str | None,
    timeout: float | None,
) -> Site:
    """Return a site with what the command line says of it; None and nothing leave it as it is.

    `retry`: how often a request is sent again; `headers`: each as ``Name: value``; `options`: each
    as ``name=value``, the value as JSON where the option takes other than text. Raises
    click.UsageError for what cannot be read, InvalidRequestError for what the site does not have.
    """
    named = {"bot": bot, "proxy": proxy, "timeout": timeout}
    given = _each_once("option", map(_option, options))
    given |= {name: value for name, value in named.items() if value is not None}
    if retry is not None:
        given["retry"] = RetryPolicy(attempts=retry + 1)
    if added := _each_once("header", map(_header, headers)):
        given["headers"] = {**site.headers, **added}
    return site.replace(**given) if given else site


def _each_once(what: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a mapping; of two of one name, one would be lost."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name.lower() in map(str.lower, found):
            raise click.UsageError(f"the {what} {name} is given twice")
        found[name] = value
    return found


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError('a header is written as "Name: value"')
    return name.strip(), value.strip()


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign:
        raise click.UsageError("an option is written as name=value, such as temperature=0.2")
    if name in _OBJECTS:
        raise click.UsageError(f"--option cannot give {name}: use {_ELSEWHERE.get(name, 'Python')}")
    if name not in SETTABLE:
        hint = did_you_mean(name, SETTABLE) or f"; there are {', '.join(sorted(SETTABLE))}"
        raise click.UsageError(f"there is no option {name!r}{hint}")
    return name, _read_value(name, value)


_ELSEWHERE = {"headers": "--header", "retry": "--retry"}


def _read_value(name: str, value: str) -> Any:
    """Return an option's value: text where it takes text, else what the JSON says."""
    annotation = CallOptions.__annotations__[name]
    kinds = set(annotation.__forward_arg__.split(" | ")) - {"None", "Secret"}
    takes_text = "str" in kinds or any(kind.startswith("Literal") for kind in kinds)
    if takes_text and len(kinds) == 1:
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value if takes_text and not isinstance(read, dict | list) else read
