"""What the gateway logs: a line a record, that no terminal obeys and that repeats no prompt."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tailrace.gateway._logs import JsonFormatter, TextFormatter

HOSTILE = "gem failed: \x1b[2J\x9b31m \u202e \ud800 end"


def record(message: str, error: Exception | None = None) -> logging.LogRecord:
    exc_info = None if error is None else taken_down(error)
    return logging.LogRecord("tailrace", logging.WARNING, __file__, 1, message, (), exc_info)


def taken_down(error: Exception) -> Any:
    with pytest.raises(type(error)) as raised:
        raise error
    return raised._excinfo


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter(3)])
def test_a_sites_words_are_shown_and_not_obeyed(formatter: logging.Formatter) -> None:
    line = formatter.format(record(HOSTILE))
    assert line.isascii()
    assert line.isprintable()
    assert r"\u001b[2J\u009b31m \u202e " in line


def test_a_json_line_is_json_and_says_what_was_said() -> None:
    line = json.loads(JsonFormatter(3).format(record(HOSTILE)))
    assert (line["event"], line["worker"]) == (HOSTILE.replace("\ud800", "?"), 3)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_an_exceptions_words_are_left_out(formatter: logging.Formatter) -> None:
    error = ValueError("a prompt that is nobody's business")
    error.__cause__ = KeyError("sk-secret")
    line = formatter.format(record("it failed", error))
    assert "ValueError" in line
    assert "test_gateway_logs.py" in line
    assert "business" not in line
    assert "sk-secret" not in line
