"""Reports of loads: as JSON, as a page, and two of them compared."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest

from tailrace.errors import InvalidRequestError
from tailrace.load import (
    Client,
    Plan,
    Report,
    Series,
    Slot,
    Tokens,
    compare,
    comparison_page,
    read_report,
    report_page,
)
from tailrace.load._distribution import Times

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace.load import Distribution

HOSTILE = "</style><script>alert(1)</script>"


def spread(middle: float, count: int = 500) -> Distribution:
    """Times around `middle` seconds."""
    random = Random(5)
    times = Times()
    for _ in range(count):
        times.add(int(random.lognormvariate(0, 0.3) * middle * 1e9))
    return times.distribution()


def report(ttft: float = 0.2, *, lag: float = 0.001, **fields: object) -> Report:
    made = Report(
        site="own",
        url="http://127.0.0.1:8000/v1",
        software="openai",
        model="m",
        at="2026-01-01T00:00:00+00:00",
        plan=Plan(users=8, seconds=60.0),
        seconds=60.0,
        requests=500,
        ends={"done": 500},
        statuses={"200": 500},
        ttft=spread(ttft),
        gap=spread(0.02, 2000),
        whole=spread(2.0),
        tokens=Tokens(from_usage=100),
        client=Client(lag=spread(lag)),
        series=Series(width=0.5, slots=[Slot(begun=4, ttft_p50=0.2), Slot(), Slot(whole=2)]),
    )
    return msgspec.structs.replace(made, **fields)


def test_a_report_is_read_back_from_its_json(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(report().to_json())
    assert read_report(file) == report()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"form": 2}'])
def test_a_file_that_is_no_report_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "b.json"
    file.write_bytes(data)
    with pytest.raises(InvalidRequestError, match=r"b\.json is no report"):
        read_report(file)


def test_a_difference_is_told_where_it_is_more_than_chance() -> None:
    changes = {(each.time, each.part): each for each in compare(report(), report(0.3)).changes}
    assert len(changes) == 12
    assert changes["ttft", 0.5].verdict == "slower"
    assert changes["ttft", 0.5].ratio == pytest.approx(1.5, rel=0.01)
    assert changes["gap", 0.5].verdict == changes["whole", 0.99].verdict == "no difference shown"
    assert {each.verdict for each in compare(report(0.3), report()).changes} == {
        "faster",
        "no difference shown",
    }


def test_a_difference_within_the_clients_lag_is_none() -> None:
    changes = compare(report(lag=0.2), report(0.3)).changes
    assert {each.verdict for each in changes} == {"no difference shown"}


def test_runs_that_should_not_be_compared_are_warned_of() -> None:
    other = report(
        plan=Plan(rate=3.0),
        model="n",
        ends={"done": 480, "failed": 20},
        interrupted=True,
        client=Client(limited_by=("it took 99% of a core",)),
    )
    assert compare(report(), report()).warnings == ()
    told = "\n".join(compare(report(), other).warnings)
    for words in ("their plan", "their model", "99% of a core", "20 of 500", "interrupted"):
        assert words in told


class Looked(HTMLParser):
    """What a page would fetch or run, and the tags it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [f"{name}={value}" for name, value in attrs if name in ("src", "href")]


@pytest.mark.parametrize("compared", [False, True])
def test_a_page_fetches_nothing_and_runs_nothing_of_a_strangers(compared: bool) -> None:
    hostile = report(site=HOSTILE, model=HOSTILE, errors={HOSTILE: 1}, examples={HOSTILE: HOSTILE})
    page = comparison_page(compare(hostile, hostile)) if compared else report_page(hostile)
    looked = Looked()
    looked.feed(page)
    assert not {"script", "link", "img", "iframe"} & set(looked.tags)
    assert looked.addresses == []
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page
    assert "&lt;script&gt;" in page
    assert looked.tags.count("svg") == 7


def test_what_is_drawn_stays_within_its_picture() -> None:
    page = report_page(report())
    for path in re.findall(r'class="line l\d" d="([^"]*)"', page):
        places = re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)
        assert places
        for x, y in places:
            assert 63 <= float(x) <= 629
            assert 11 <= float(y) <= 221


def test_a_page_of_nothing_says_so() -> None:
    empty = Report(
        site="own",
        url="http://a.invalid",
        software="openai",
        model="",
        at="",
        plan=Plan(),
        seconds=0,
    )
    page = report_page(empty)
    assert "Nothing was counted." in page
    assert "nan" not in page.lower()
