"""Operations of JavaScript on JSON values, as the captured errors show them.

This module depends on no site.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from tailrace._json import read_json as read_any_json

UNDEFINED = object()


class JavaScriptError(Exception):
    """An exception in the app's own code, which its framework turns into an empty 500."""


def read_json(text: str) -> Any:
    """Read JSON as ``JSON.parse`` does, or raise `JavaScriptError`.

    The last of equal keys wins, NaN is invalid, a lone surrogate is valid.
    """
    try:
        return read_any_json(text, parse_constant=_refuse_constant, parse_int=float)
    except ValueError:
        raise JavaScriptError from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def member(value: object, name: str) -> Any:
    """Return ``value.name``; null and undefined raise `JavaScriptError`."""
    if value is None or value is UNDEFINED:
        raise JavaScriptError
    if isinstance(value, dict):
        return value.get(name, UNDEFINED)
    if name == "length" and isinstance(value, (str, list)):
        return len(value)
    return UNDEFINED


def truthy(value: object) -> bool:
    """Tell whether JavaScript takes `value` for true, as it does empty objects and arrays."""
    return isinstance(value, (dict, list)) or (value is not UNDEFINED and bool(value))


def js_string(value: object) -> str:  # noqa: PLR0911 - one a type
    """Write a JSON value as JavaScript's ``String(value)`` does."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return _js_number(value)
        case list():
            return ",".join("" if item is None else js_string(item) for item in value)
        case dict():
            return "[object Object]"
        case None:
            return "null"
        case _:
            return "undefined"


def _js_number(value: float) -> str:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:  # noqa: PLR2004 - where ECMAScript's Number::toString changes its notation
        return re.sub(r"\.0$", "", format(Decimal(repr(value)), "f"))
    return re.sub(r"(?:\.0)?e([+-])0?", r"e\1", repr(value))
