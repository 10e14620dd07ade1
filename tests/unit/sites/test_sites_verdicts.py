"""What the doctor last found: kept, read back, and no failure where that cannot be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tailrace.errors import ProfileError, StreamError, TailraceError
from tailrace.sites._advice import advice_for
from tailrace.sites._diagnosis import STEPS
from tailrace.sites._verdicts import Verdict, last_verdict, store_verdict

if TYPE_CHECKING:
    from pathlib import Path

FAILED = Verdict(site="Shop", url="https://shop.example", failed="page", at=1_800_000_000.5)


def test_the_last_one_is_read_back(tmp_path: Path) -> None:
    assert last_verdict("Shop", FAILED.url, tmp_path) is None
    assert store_verdict(FAILED, tmp_path)
    assert last_verdict("shop", FAILED.url, tmp_path) == FAILED
    assert last_verdict("Shop", "https://other.example", tmp_path) is None
    fine = Verdict(site="Shop", url=FAILED.url, failed=None, at=1_800_000_001)
    assert store_verdict(fine, tmp_path)
    assert last_verdict("Shop", FAILED.url, tmp_path) == fine
    assert len(list((tmp_path / "verdicts").iterdir())) == 1


def test_the_time_is_utcs() -> None:
    assert FAILED.when == "2027-01-15T08:00:00Z"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}",
        b'{"site":1,"url":"","failed":null,"at":0}',
        b'{"site":"Shop","url":"","failed":null,"at":1e300}',
        b"\xff",
    ],
)
def test_a_file_that_is_none_is_no_verdict(tmp_path: Path, content: bytes) -> None:
    store_verdict(FAILED, tmp_path)
    (file,) = (tmp_path / "verdicts").iterdir()
    file.write_bytes(content)
    assert last_verdict("Shop", FAILED.url, tmp_path) is None


def test_a_folder_that_cannot_be_written_is_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a-file").touch()
    with caplog.at_level(logging.WARNING, "tailrace"):
        assert not store_verdict(FAILED, tmp_path / "a-file")
    assert "cannot be kept" in caplog.text


def test_every_step_has_its_advice() -> None:
    assert len({advice_for(step, TailraceError("x")) for step in STEPS}) == len(STEPS)
    assert advice_for("post", ProfileError("f", "k", "p")) != advice_for(
        "post", StreamError("upstream", "x")
    )
