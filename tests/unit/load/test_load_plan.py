"""What a load is to be, when its requests are due, and what it asks."""

from __future__ import annotations

from itertools import islice, pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tailrace.errors import InvalidRequestError
from tailrace.load import Plan
from tailrace.load._arrivals import due_times, user_starts
from tailrace.load._prompts import read_prompts

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plan_ends_by_itself() -> None:
    assert (Plan().users, Plan().seconds, Plan().warm_up) == (1, 30, 3)
    assert Plan(requests=20).seconds is None
    assert Plan(rate=5).users is None


@pytest.mark.parametrize(
    ("given", "warm_up"),
    [
        ({"seconds": 20.0}, 2),
        ({"seconds": 3600.0}, 10),
        ({"requests": 5}, 0),
        ({"requests": 5, "ramp": True}, 5),
        ({"seconds": 20.0, "warm_up": 0.0}, 0),
    ],
)
def test_what_is_left_out_unless_told(given: dict[str, Any], warm_up: float) -> None:
    assert Plan(**given).warm_up == warm_up


@pytest.mark.parametrize(
    "given",
    [
        {"users": 2, "rate": 1.0},
        {"users": 0},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"seconds": 0.0},
        {"requests": 0},
        {"warm_up": -1.0},
        {"most_open": 0},
        {"grace": -1.0},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        Plan(**given)


def test_constant_arrivals_keep_one_distance() -> None:
    dues = list(islice(due_times(Plan(rate=4.0, arrivals="constant"), Random()), 5))
    assert dues == [0, 0.25, 0.5, 0.75, 1]


def test_poisson_arrivals_are_exponential() -> None:
    dues = list(islice(due_times(Plan(rate=50.0), Random(1)), 20_000))
    gaps = [later - earlier for earlier, later in pairwise(dues)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(1 / 50, rel=0.03)
    assert variance == pytest.approx(mean**2, rel=0.06)
    assert list(islice(due_times(Plan(rate=50.0), Random(1)), 9)) == dues[:9]


def test_a_ramp_grows_evenly_to_the_rate() -> None:
    plan = Plan(rate=10.0, arrivals="constant", ramp=True, warm_up=4.0)
    dues = list(islice(due_times(plan, Random()), 60))
    assert sum(due < 2 for due in dues) == 5  # 10 * 2 * 2 / (2 * 4)
    assert sum(due < 4 for due in dues) == 20  # half of what the rate would give
    assert [later - earlier for earlier, later in pairwise(dues[20:])] == pytest.approx([0.1] * 39)


def test_users_of_a_ramp_come_one_after_the_other() -> None:
    assert user_starts(Plan(users=4, ramp=True, warm_up=2.0)) == [0, 0.5, 1, 1.5]
    assert user_starts(Plan(users=3)) == [0, 0, 0]


def test_prompts_of_a_text_and_of_json_lines(tmp_path: Path) -> None:
    text, lines = tmp_path / "prompts.txt", tmp_path / "prompts.jsonl"
    text.write_text("one\n\n  zwei ä  \n", "utf-8")
    messages = [{"role": "user", "content": "three"}]
    lines.write_text(
        '"one"\n{"prompt": "two"}\n{"messages": [{"role": "user", "content": "three"}]}\n', "utf-8"
    )
    assert read_prompts(text) == ["one", "zwei ä"]
    assert read_prompts(lines) == ["one", "two", messages]
    for file in (text, lines):  # as some editors write them
        read = read_prompts(file)
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        assert read_prompts(file) == read


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\n \n", "holds no prompt"),
        (b'"ok"\n{"prompts": "x"}\n', "line 2 "),
        (b"{}\n", "needs either prompt or messages"),
        (b'{"prompt": "a", "messages": []}\n', "needs either prompt or messages"),
        (b"not json\n", "line 1 "),
        (b'"\xff"\n', "line 1 "),
    ],
)
def test_prompts_that_are_none_are_named(tmp_path: Path, data: bytes, says: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(data)
    with pytest.raises(InvalidRequestError, match=says):
        read_prompts(file)


def test_a_text_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"ok\n\xff\n")
    with pytest.raises(InvalidRequestError, match=r"line 2 of .* is no UTF-8"):
        read_prompts(file)
