"""A run's output folder: each row in one of two files, once, whatever dies.

A shard has these files, ``00003-of-00064`` being the fourth of 64, in any order of rows:

- ``part-….jsonl``: the answers, in the form of OpenAI's batch output;
- ``errors-….jsonl``: the failures, in a form that can be an input again;
- ``run-….json``: what the run is about: its input's fingerprint, and its options.

A row is done, or failed, when its line is whole and the system has it, so that no end of the
process, ``kill -9`` included, loses it. The disk has it after the next `OutputFolder.sync`, and
after `OutputFolder.close`: a power loss may take what came after, whose rows are then asked again.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tailrace.batch._appending import LineFile, writing
from tailrace.batch._checking import bad_rows, check
from tailrace.batch._fingerprint import change_of, fingerprint_of
from tailrace.batch._hidden import remove_dead_files
from tailrace.batch._inputs.files import reading
from tailrace.batch._lines import answer_line, bad_line, failure_line, head_of
from tailrace.batch._lock import FileLock
from tailrace.batch._record import SHARD_RECORD, RecordFile, file_name
from tailrace.batch._rows import BadRow, Row
from tailrace.batch._states import DONE, FAILED, read_answers, read_failures
from tailrace.errors import (
    BatchFolderError,
    BatchInputError,
    BatchWriteError,
    InvalidRequestError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from tailrace.batch._checking import Checked
    from tailrace.batch._fingerprint import Fingerprint
    from tailrace.batch._inputs import Source
    from tailrace.batch._record import Shard

__all__ = ["OutputFolder"]

_LARGEST_SHARD_COUNT = 99_999
_READY_ROWS = 32  # that are read before it is looked whether the input has changed
_READY_BYTES = 2**20


class OutputFolder:
    """The output of one shard of a run, which nobody else writes while it is open.

    `OutputFolder.open` makes it; it is a context manager, too, which closes it. `path`: the folder;
    `shard`: the shard's index and the number of shards; `part` and `errors`: its files' paths;
    `input_rows`: how many rows the input has, and `rows`: how many of them are the shard's; `done`
    and `failed`: how many of these have their line, now; `mended`: how many bytes of torn lines
    were taken out when it was opened; `sent` and `carried`: the names of the input's fields that
    are sent with the prompts, and of those that are not.
    """

    _is_locked: ClassVar[bool] = True

    def __init__(self, path: Path, source: Source, shard: Shard) -> None:
        self.path = path
        self.shard = shard
        self.part: Path = path / file_name("part", shard, ".jsonl")
        self.errors: Path = path / file_name("errors", shard, ".jsonl")
        self.input_rows = self.rows = self.done = self.failed = self.mended = 0
        self.sent: tuple[str, ...] = ()
        self.carried: tuple[str, ...] = ()
        self._source = source
        self._closing = ExitStack()
        self._head = b""
        self._states = bytearray()
        # What opening sets.
        self._answers: LineFile
        self._failures: LineFile
        self._status: tuple[int, int, int]
        self._fingerprint: Fingerprint

    @classmethod
    def open(
        cls,
        path: str | Path,
        source: Source,
        *,
        shard: Shard = (0, 1),
        skip_bad: bool = False,
        retry_failed: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a run's output in the folder at `path`, or go on with it.

        A new run's `source` is read through first: every row that cannot be sent is found before
        any is. What an earlier start of the run left is mended, and its rows are known.

        `shard`: the shard's index, from 0, and how many shards there are: of n shards each has
        every nth row. `skip_bad`: rows that cannot be sent become failures. `retry_failed`: rows
        that failed, but for those, are taken out of the errors file, and are pending again;
        otherwise they stay failed. `options`: what decides what the rows mean (site, model), as
        JSON has it: a run goes on with the same alone.

        Raises BatchFolderError for a folder that another run is writing, or in which another input,
        other options or another number of shards were begun; BatchInputError for an input that
        cannot be read, or has bad rows; BatchWriteError; InvalidRequestError for a wrong shard.
        """
        index, count = shard
        if not 0 <= index < count <= _LARGEST_SHARD_COUNT:
            raise InvalidRequestError(
                f"there is no shard {index}/{count}: of {count} they are 0 to {count - 1}"
            )
        folder = cls(Path(path), source, shard)
        try:
            folder._open(skip_bad=skip_bad, retry_failed=retry_failed, options=options or {})
        except BaseException:
            folder.close()
            raise
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def place(self) -> str:
        """The place of the output, as its user calls it."""
        return str(self.path)

    def pending(self, after: int = 0) -> Iterator[Row]:
        """Yield the shard's rows that are neither done nor failed, in the input's order.

        `after`: the number of a row up to which they are left out. Raises BatchInputError where the
        input has become another one since it was checked.
        """
        ready: list[Row] = []
        size = 0
        for row in self._read_pending(after):
            ready.append(row)
            size += len(row.body)
            if len(ready) >= _READY_ROWS or size >= _READY_BYTES:
                self._check_unchanged()  # or they may be other ones of these numbers
                yield from ready
                size = 0
                ready.clear()
        self._check_unchanged()
        yield from ready

    def _read_pending(self, after: int) -> Iterator[Row]:
        index, count = self.shard
        states, end = self._states, len(self._states)
        for position, (number, record) in enumerate(self._source.records()):
            if number < end and (position % count != index or states[number] or number <= after):
                continue
            row = self._source.read(number, record)
            if number >= end or isinstance(row, BadRow):
                self._check_unchanged()
                raise BatchInputError(f"{self._source.name} is not what it was when it was checked")
            yield row

    def write_done(
        self,
        row: Row,
        *,
        body: bytes | Mapping[str, Any],
        status_code: int = 200,
        request_id: str = "",
    ) -> None:
        """Write a row's answer; after this it is done.

        `body`: the response's JSON, which is spliced in as it is, or what makes it. `status_code`
        and `request_id`: the response's. Raises BatchWriteError; and InvalidRequestError for a body
        that is no JSON, and for a row that is done or has failed already.
        """
        line = answer_line(self._head, row, body, status_code, request_id)
        self._write(self._answers, row.number, line, DONE)
        self.done += 1

    def write_failed(
        self,
        row: Row,
        *,
        code: str,
        message: str,
        attempts: int = 1,
        status_code: int | None = None,
        request_id: str = "",
        body: bytes | Mapping[str, Any] | None = None,
        partial_text: str = "",
        **details: Any,
    ) -> None:
        """Write a row's failure; after this it has failed.

        `code`: for programs; `message`: for people; `attempts`: how often it was asked;
        `status_code`, `request_id` and `body`: the response's, where one came, a body that is no
        JSON being kept as a text; `partial_text`: what came of an answer that broke off; `details`:
        further members of the line's ``error``. Raises BatchWriteError; and InvalidRequestError for
        a row that is done or has failed already.
        """
        error = {"code": code, "message": message, "attempts": attempts}
        if partial_text:
            error["partial_text"] = partial_text
        response = None if status_code is None else (status_code, request_id, body)
        line = failure_line(self._head, row, {**error, **details}, response)
        self._write(self._failures, row.number, line, FAILED)
        self.failed += 1

    def sync(self) -> None:
        """Wait until the disk has every row written before; may be called in a thread.

        Raises BatchWriteError.
        """
        self._answers.sync()
        self._failures.sync()

    def close(self) -> None:
        """Wait until the disk has every row, close the files and give the folder free.

        Raises BatchWriteError.
        """
        self._closing.close()

    def _write(self, file: LineFile, number: int, line: bytes, state: int) -> None:
        if self._states[number]:
            raise InvalidRequestError(f"row {number} has its line already")
        # Before the line: wherever a signal comes, no row gets two.
        self._states[number] = state
        try:
            file.append(line)
        except BatchWriteError:
            self._states[number] = 0
            raise

    # -- opening -----------------------------------------------------------------------------------

    def _open(self, *, skip_bad: bool, retry_failed: bool, options: Mapping[str, Any]) -> None:
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock_path = self.path / file_name(".lock", self.shard)
        with writing(lock_path):
            lock = FileLock(lock_path, self._called())
        self._closing.callback(lock.close)
        remove_dead_files(self.path)
        records = RecordFile(self.path, self.shard)
        self._status = _status_of(self._source)
        record, known = records.agree(self._source, options, is_blank=self._is_blank())
        self._fingerprint = record.fingerprint
        checked, repeated = known, frozenset[int]()
        if checked is None:
            checked, repeated = check(self._source, skip_bad=skip_bad)
        if not records.exists():
            self._refuse_strangers()
            records.begin(record)
        index, count = self.shard
        self.input_rows = checked.rows
        self.rows = len(range(index, checked.rows, count))
        self.sent, self.carried = checked.sent, checked.carried
        self._head = head_of(record.fingerprint.sha256)
        self._states = bytearray(checked.last + 1)
        self._recover(retry_failed=retry_failed)
        if known is None:
            self._write_bad(checked, repeated)
        records.finish_check(record, checked)

    def _is_blank(self) -> bool:
        """Return whether no row has its line, in a run that is this process's alone."""
        if not self._is_locked or self.shard[1] > 1:
            return False
        with writing(self.path):
            names = {each.name for each in self.path.iterdir() if SHARD_RECORD.fullmatch(each.name)}
            files = [each for each in (self.part, self.errors) if each.exists()]
            is_alone = names <= {file_name("run", self.shard, ".json")}
            return is_alone and not any(each.stat().st_size for each in files)

    def _refuse_strangers(self) -> None:
        """Refuse a folder whose files, without a record, are not a run's."""
        with writing(self.path):
            files = (each for each in (self.part, self.errors) if each.exists())
            found = [each for each in files if each.stat().st_size]
        if found:
            raise BatchFolderError(f"{found[0]} is there, and no record of its run")

    def _recover(self, *, retry_failed: bool) -> None:
        """Open the files, mended if need be, and learn what is done and what has failed."""
        head, states = self._head, self._states
        self.mended = read_answers(self.part, head, states)
        self.mended += read_failures(self.errors, head, states, retry=retry_failed)
        self.done, self.failed = states.count(DONE), states.count(FAILED)
        self._answers = self._opened(self.part)
        self._failures = self._opened(self.errors)

    def _opened(self, path: Path) -> LineFile:
        file = LineFile(path)
        self._closing.callback(file.close)
        return file

    def _write_bad(self, checked: Checked, repeated: frozenset[int]) -> None:
        """Write the shard's rows that cannot be sent, but for those that an earlier start wrote."""
        index, count = self.shard
        for position, bad in bad_rows(self._source, repeated) if checked.bad else ():
            if position % count == index and not self._states[bad.number]:
                line = bad_line(self._head, bad, self._source.noun)
                self._write(self._failures, bad.number, line, FAILED)
                self.failed += 1
        self.sync()

    def _check_unchanged(self) -> None:
        """Raise BatchInputError where the input is no longer what it was when it was opened."""
        status = _status_of(self._source)
        if status != self._status:
            path, name = self._source.path, self._source.name
            change = change_of(path, name, self._fingerprint, fingerprint_of(path, name))
            if change:
                raise BatchInputError(f"{name} has changed while it was read: {change}")
            self._status = status

    def _called(self) -> str:
        index, count = self.shard
        return f"{self.path}" if count == 1 else f"shard {index}/{count} of {self.path}"


def _status_of(source: Source) -> tuple[int, int, int]:
    """Return what changes when the input's file does, as far as can be told without reading it."""
    with reading(source.name):
        status = source.path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
