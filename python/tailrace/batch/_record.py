"""What a run notes about itself in its output folder, so that it goes on as it began."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace.batch._appending import replace_file
from tailrace.batch._checking import Checked  # noqa: TC001 - msgspec reads the annotation
from tailrace.batch._fingerprint import Fingerprint  # noqa: TC001 - as above
from tailrace.errors import BatchFolderError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["RunRecord", "Shard", "difference", "read_record", "shards_in", "write_record"]

VERSION = 1
"""The version of the folder's form."""

Shard = tuple[int, int]
"""A shard's index, from 0, and how many shards there are."""


class RunRecord(msgspec.Struct, frozen=True):
    """The record of one shard's run.

    `version`: of the folder's form; `tailrace`: the package's; `input`: the name it was given as;
    `fingerprint`: the input's; `settings`: how the input is read; `options`: the run's, as far as
    they decide what its rows mean; `checked`: what the check found, None before its bad rows are
    among the failures.
    """

    version: int
    tailrace: str
    input: str
    fingerprint: Fingerprint
    settings: dict[str, Any]
    options: dict[str, Any]
    checked: Checked | None = None


def shards_in(folder: Path) -> dict[Shard, Path]:
    """Return the shards that have a record in `folder`, and the records' paths."""
    found = {each: _NAME.fullmatch(each.name) for each in folder.iterdir()}
    return {(int(match[1]), int(match[2])): path for path, match in found.items() if match}


_NAME = re.compile(r"run-(\d{5,9})-of-(\d{5,9})\.json")


def read_record(path: Path) -> RunRecord:
    """Read the record at `path`. Raises BatchFolderError for one that makes no sense."""
    problem = ""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=RunRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem = f"{path} is no record of a run: {error}"
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
    if problem:
        raise BatchFolderError(problem)
    if record.version != VERSION:
        raise BatchFolderError(
            f"{path} is of version {record.version}, and this tailrace writes {VERSION}"
        )
    return record


def write_record(path: Path, record: RunRecord) -> None:
    """Write the record to `path`, in one step. Raises BatchWriteError."""
    encoded = msgspec.json.format(msgspec.json.encode(record), indent=2)
    replace_file(path, [encoded, b"\n"])


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in which values two mappings differ, in words; empty where in none."""
    return "; ".join(
        f"{name} was {_shown(before.get(name))} and is {_shown(now.get(name))}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    )


def _shown(value: Any) -> str:
    return "not given" if value is None else msgspec.json.encode(value).decode()
