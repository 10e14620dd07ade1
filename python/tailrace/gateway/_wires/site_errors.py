"""The field that a site names in its error, where the client's request has one of that name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from tailrace import errors

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["SITES_REFUSALS", "named_field"]

SITES_REFUSALS = frozenset({400, 413, 422})
"""Statuses by which a site refuses what the client's request says."""


class _Told(msgspec.Struct):
    """Of an error object of OpenAI's, the field that it is about."""

    param: str | None = None


class _Body(msgspec.Struct):
    """The body of a reply that tells a failure."""

    error: _Told


_BODY = msgspec.json.Decoder(_Body)
_FIELD = re.compile(r"([a-z][a-z0-9_]{0,63})(?:\[[0-9]{1,9}\]|\.\[?[a-z0-9_]{1,64}\]?){0,16}")


def named_field(error: errors.TailraceError, known: Container[str]) -> tuple[str, str] | None:
    """Return the field that a site's error is about: its name, and the whole place within it.

    `known`: the names that the request has as the site got them; a site's word that is none of
    them, or no name, is not repeated. None where the site names no field.
    """
    if not isinstance(error, errors.StreamError) or not error.raw:
        return None
    try:
        param = _BODY.decode(error.raw).error.param
    except (msgspec.MsgspecError, RecursionError):  # another API's, or cut
        return None
    found = None if param is None else _FIELD.fullmatch(param)
    return None if found is None or found[1] not in known else (found[1], found[0])
