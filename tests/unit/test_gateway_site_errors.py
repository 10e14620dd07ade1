"""The field that a site's error names, as far as the client knows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.errors import InvalidRequestError, StreamError, TailraceError
from tailrace.gateway._wires.site_errors import named_field

KNOWN = {"messages", "max_tokens", "min_p"}


def told(param: object, **more: object) -> TailraceError:
    raw = json.dumps({"error": {"message": "no", "param": param, "code": None, **more}})
    return StreamError("upstream", "no", status=400, raw=raw)


@pytest.mark.parametrize(
    ("param", "named"),
    [
        ("max_tokens", ("max_tokens", "max_tokens")),
        ("min_p", ("min_p", "min_p")),
        ("messages[0].content[12].type", ("messages", "messages[0].content[12].type")),
        ("messages.[0].role", ("messages", "messages.[0].role")),
        ("input[0]", None),
        ("max_tokens sk-secret", None),
        ("sk-secret", None),
        ("messages.sk-secret", None),
        ("", None),
        (None, None),
        (7, None),
        ("messages" + "[0]" * 17, None),
    ],
)
def test_a_field_of_the_request_is_named(param: object, named: Any) -> None:
    assert named_field(told(param), KNOWN) == named


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "no",
        "[]",
        "{}",
        '{"error": "no"}',
        '{"error": null}',
        '{"error": {"param": "max_tok',
        "[" * 9999,
    ],
)
def test_what_names_none_is_no_failure(raw: str) -> None:
    assert named_field(StreamError("upstream", "no", status=400, raw=raw), KNOWN) is None


def test_an_error_of_our_own_has_none() -> None:
    assert named_field(InvalidRequestError("max_tokens"), KNOWN) is None
