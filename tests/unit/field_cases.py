"""The cases of `tests/vectors/field`, and what must come of them, whoever reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vector_files import Case

    from tailrace import Delta, Usage
    from tailrace.errors import StreamError

__all__ = ["expected_of", "joined", "outcome_of", "says_as_expected"]


def joined(records: Iterable[Delta]) -> list[dict[str, Any]]:
    """The deltas as `expect` has them: neighbours of one kind, or of one tool call, joined."""
    found: list[dict[str, Any]] = []
    for record in records:
        names = ("index", "id", "name") if record.kind == "tool_call" else ()
        shown = {"kind": record.kind, "text": record.text}
        shown |= {name: getattr(record, name) for name in names}
        last = found[-1] if found else {}
        if all(last.get(name) == shown.get(name) for name in ("kind", "index", "id")):
            last["text"] += record.text
        else:
            found.append(shown)
    return found


def outcome_of(
    text: str,
    end: str,
    finish_reason: str | None,
    usage: Usage | None,
    error: StreamError | None,
) -> dict[str, Any]:
    """What came of a reply, as `expect` has it, but for its events and its error's words."""
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {
        "text": text,
        "end": end,
        "finish_reason": finish_reason,
        "usage": usage and [getattr(usage, name) for name in counts],
        "error": error and error.kind,
    }


def expected_of(case: Case) -> dict[str, Any]:
    """What `outcome_of` is to be."""
    expect = case["expect"]
    kind = expect["error"] and expect["error"]["kind"]
    return {key: expect[key] for key in ("text", "end", "finish_reason", "usage")} | {"error": kind}


def says_as_expected(case: Case, error: StreamError | None) -> bool:
    """Whether an error has the code and the words that the case fixes."""
    expected = case["expect"]["error"] or {}
    if error is None:
        return not expected
    return error.code == expected.get("code", error.code) and (
        error.kind == "challenge" or expected.get("message", "") in error.message
    )
