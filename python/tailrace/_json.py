"""JSON that others wrote, read: whatever is wrong with it is one error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["objects_in", "read_json"]

_MOST_FAILURES = 64


def read_json(text: bytes | str, **hooks: Callable[[str], Any] | None) -> Any:
    """Read one JSON text; `hooks` are those of `json.loads`.

    Raises ValueError for any other text, one that is nested too deep for the interpreter among
    them, and for bytes that are no UTF-8.
    """
    try:
        return json.loads(text, **hooks)  # type: ignore[arg-type]  # of the hooks, those for text
    except RecursionError:
        pass
    raise ValueError("the JSON is nested too deep")


def objects_in(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in `body`, whatever stands in front of them, between and behind.

    Control characters in strings, and bytes that are no UTF-8, are forgiven.
    """
    text, failures = body.decode("utf-8", "replace"), 0
    at = text.find("{")
    while at >= 0 and failures < _MOST_FAILURES:
        try:
            value, end = _FORGIVING.raw_decode(text, at)
        except (ValueError, RecursionError):
            failures, end = failures + 1, at + 1
        else:
            yield value
        at = text.find("{", end)


_FORGIVING = json.JSONDecoder(strict=False)
