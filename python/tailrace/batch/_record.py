"""What a run notes about itself in its output folder, so that it goes on as it began."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace import __version__
from tailrace._messages import browser_text
from tailrace._secrecy import without_secret_fields
from tailrace.batch._appending import replacing
from tailrace.batch._checking import Checked  # noqa: TC001 - msgspec reads the annotation
from tailrace.batch._fingerprint import Fingerprint, change_of, fingerprint_of
from tailrace.batch._inputs.files import reading
from tailrace.errors import BatchFolderError

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace.batch._inputs import Source

__all__ = ["SHARD_RECORD", "RecordFile", "RunRecord", "Shard", "file_name", "records_in"]

Shard = tuple[int, int]
"""A shard's index, from 0, and how many shards there are."""

_VERSION = 1


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


def file_name(kind: str, shard: Shard, suffix: str = "") -> str:
    """Return the name of a shard's file, such as ``part-00003-of-00064.jsonl``."""
    return f"{kind}-{shard[0]:05}-of-{shard[1]:05}{suffix}"


def records_in(folder: Path) -> dict[Shard, RunRecord]:
    """Return the records of all shards that have one in `folder`.

    Raises BatchFolderError for one that makes no sense, or was written by another version.
    """
    with reading(str(folder)):
        names = {each: SHARD_RECORD.fullmatch(each.name) for each in sorted(folder.iterdir())}
    return {(int(match[1]), int(match[2])): _read(path) for path, match in names.items() if match}


SHARD_RECORD = re.compile(r"run-(\d{5})-of-(\d{5})\.json")
"""The name of a record: the index of its shard, and the number of shards."""


class RecordFile:
    """The record of the run of `shard` in `folder`, and its neighbours' there."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        self._folder = folder
        self._shard = shard
        self._path = folder / file_name("run", shard, ".json")
        self._kept: RunRecord | None = None

    def agree(
        self, source: Source, options: Mapping[str, Any], *, is_blank: bool
    ) -> tuple[RunRecord, Checked | None]:
        """Return the shard's record, a new one where it has none, and what is known of the input.

        `is_blank`: whether no row of the run has its line: then it may become another one. Raises
        BatchFolderError where a record of the folder is of another input, of other options, of
        another number of shards, or makes no sense; BatchInputError.
        """
        wanted = RunRecord(
            version=_VERSION,
            tailrace=__version__,
            input=browser_text(source.name),  # a file's name may be no text
            fingerprint=fingerprint_of(source.path, source.name),
            settings=_as_kept(source.settings),
            options=without_secret_fields(_as_kept(options)),
        )
        own, checked = wanted, None
        for shard, record in records_in(self._folder).items():
            if is_blank and _is_other(record, wanted):
                self._write(wanted)
                return wanted, None
            self._compare(record, wanted, shard, source)
            if shard == self._shard:
                self._kept = record
                own = msgspec.structs.replace(record, options=wanted.options)
            # What another shard found is found again where rows are bad: each has its own to write.
            if record.checked is not None and (shard == self._shard or not record.checked.bad):
                checked = record.checked
        return own, checked

    def begin(self, record: RunRecord) -> None:
        """Write a new run's record, where the shard has none yet.

        Raises BatchFolderError where a run of another number of shards has begun at the same time;
        BatchWriteError.
        """
        if self._path.exists():
            return
        self._write(record)
        # Two that begin at once both write their record before they look for the other's.
        counts = sorted({count for _, count in records_in(self._folder)})
        if len(counts) > 1:
            self._path.unlink()
            raise BatchFolderError(
                f"runs in {' and '.join(map(str, counts))} shards began in {self._folder}"
            )

    def finish_check(self, record: RunRecord, checked: Checked) -> None:
        """Write what the check found, once its bad rows are among the failures."""
        record = msgspec.structs.replace(record, checked=checked)
        if record != self._kept:
            self._write(record)

    def exists(self) -> bool:
        """Return whether the shard has a record."""
        return self._path.exists()

    def _write(self, record: RunRecord) -> None:
        encoded = msgspec.json.format(msgspec.json.encode(record), indent=2)
        with replacing(self._path) as file:
            file.write(encoded + b"\n")

    def _compare(self, record: RunRecord, wanted: RunRecord, shard: Shard, source: Source) -> None:
        if shard[1] != self._shard[1]:
            raise BatchFolderError(
                f"{self._folder} holds a run in {shard[1]} shards, and this one is of "
                f"{self._shard[1]}: another number of shards needs another output folder"
            )
        change = change_of(source.path, source.name, record.fingerprint, wanted.fingerprint)
        if change:
            raise BatchFolderError(
                f"the input has changed since the run in {self._folder} began: {change}; "
                "another input needs another output folder"
            )
        before = {**record.settings, **without_secret_fields(record.options)}
        now = {**wanted.settings, **wanted.options}
        if _had_no_model(record):
            before["model"] = now.get("model")
        changed = _difference(before, now)
        if changed:
            raise BatchFolderError(
                f"the run in {self._folder} began otherwise: {changed}; "
                "other options need another output folder"
            )


def _is_other(record: RunRecord, wanted: RunRecord) -> bool:
    """Tell whether a record is of another input, or of other options."""
    return (record.fingerprint, record.settings, record.options) != (
        wanted.fingerprint,
        wanted.settings,
        wanted.options,
    )


def _had_no_model(record: RunRecord) -> bool:
    """Tell whether rows that name no model failed for that, so that the run may get one.

    A page, of whose run the URL is kept, has a model of its own.
    """
    return record.options.get("model") == "" and "url" not in record.options


def _read(path: Path) -> RunRecord:
    problem = ""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=RunRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem = f"{path} is no record of a run: {error}"
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}"
    if problem:
        raise BatchFolderError(problem)
    if record.version != _VERSION:
        raise BatchFolderError(
            f"{path} is of version {record.version}, and this tailrace writes {_VERSION}"
        )
    return record


def _as_kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they are read from a record again, in which a tuple is a list."""
    encoded = msgspec.json.encode(dict(values), enc_hook=_as_builtin)
    return msgspec.json.decode(encoded, type=dict[str, Any])


def _as_builtin(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in which values two mappings differ, in words; empty where in none."""
    return "; ".join(
        f"{name} was {_shown(before.get(name))} and is {_shown(now.get(name))}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    )


def _shown(value: Any) -> str:
    return "not given" if value is None else msgspec.json.encode(value).decode()
