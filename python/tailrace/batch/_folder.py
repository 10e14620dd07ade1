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
from typing import TYPE_CHECKING, Any, Self

import msgspec

from tailrace import __version__
from tailrace.batch._appending import LineFile, mend, writing
from tailrace.batch._checking import Checked, bad_rows, check
from tailrace.batch._fingerprint import change_of, fingerprint_of
from tailrace.batch._lines import (
    answer_line,
    bad_line,
    failure_line,
    head_of,
    is_invalid,
    number_in,
)
from tailrace.batch._lock import FileLock
from tailrace.batch._record import (
    VERSION,
    RunRecord,
    difference,
    read_record,
    shards_in,
    write_record,
)
from tailrace.batch._rows import Row
from tailrace.errors import BatchFolderError, BatchInputError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from tailrace.batch._inputs import Source
    from tailrace.batch._record import Shard

__all__ = ["OutputFolder"]

_PENDING, _DONE, _FAILED = 0, 1, 2
_LARGEST_SHARD_COUNT = 99_999


class OutputFolder:
    """The output of one shard of a run, which nobody else writes while it is open.

    `OutputFolder.open` makes it; it is a context manager, too, which closes it. `path`: the folder;
    `shard`: the shard's index and the number of shards; `part` and `errors`: its files' paths;
    `rows`: how many rows of the input are the shard's; `done` and `failed`: how many of them have
    their line, now; `mended`: how many bytes of torn lines were taken out when it was opened.
    """

    def __init__(self, path: Path, source: Source, shard: Shard) -> None:
        self.path = path
        self.shard = shard
        self.part: Path = path / _name("part", shard, ".jsonl")
        self.errors: Path = path / _name("errors", shard, ".jsonl")
        self.rows = self.done = self.failed = self.mended = 0
        self._source = source
        self._record = path / _name("run", shard, ".json")
        self._closing = ExitStack()
        self._head = b""
        self._states = bytearray()
        self._answers: LineFile
        self._failures: LineFile

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

    def pending(self) -> Iterator[Row]:
        """Yield the shard's rows that are neither done nor failed, in the input's order.

        Raises BatchInputError where the input has become another one since it was checked.
        """
        index, count = self.shard
        states = self._states
        last = len(states) - 1
        for position, (number, record) in enumerate(self._source.records()):
            if number > last:
                raise BatchInputError(f"{self._source.name} has grown while it was read")
            if states[number] or position % count != index:
                continue
            row = self._source.read(number, record)
            if not isinstance(row, Row):
                raise BatchInputError(f"{self._source.name} has changed while it was read")
            yield row

    def is_done(self, row: Row) -> bool:
        """Return whether the row is answered."""
        return self._states[row.number] == _DONE

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
        self._check_pending(row)
        self._answers.append(answer_line(self._head, row, body, status_code, request_id))
        self._states[row.number] = _DONE
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
        `status_code`, `request_id` and `body`: the response's, where one came; `partial_text`: what
        came of an answer that broke off; `details`: further members of the line's ``error``. Raises
        BatchWriteError; and InvalidRequestError for a row that is done or has failed already.
        """
        self._check_pending(row)
        error = {"code": code, "message": message, "attempts": attempts}
        if partial_text:
            error["partial_text"] = partial_text
        response = None if status_code is None else (status_code, request_id, body)
        self._failures.append(failure_line(self._head, row, {**error, **details}, response))
        self._states[row.number] = _FAILED
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

    # -- opening -----------------------------------------------------------------------------------

    def _open(self, *, skip_bad: bool, retry_failed: bool, options: Mapping[str, Any]) -> None:
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _name(".lock", self.shard), self._called())
        self._closing.callback(lock.close)
        record, checked = self._agree(options)
        repeated: frozenset[int] = frozenset()
        is_new = checked is None
        if checked is None:
            checked, repeated = check(self._source, skip_bad=skip_bad)
        self._begin(record)
        index, count = self.shard
        self.rows = len(range(index, checked.rows, count))
        self._states = bytearray(checked.last + 1)
        self._head = head_of(record.fingerprint.sha256)
        self._recover(retry_failed=retry_failed)
        self._answers = self._opened(self.part)
        self._failures = self._opened(self.errors)
        if is_new:
            if checked.bad:
                self._write_bad(repeated)
            self.sync()
        if record.checked is None:
            write_record(self._record, msgspec.structs.replace(record, checked=checked))

    def _agree(self, options: Mapping[str, Any]) -> tuple[RunRecord, Checked | None]:
        """Return the shard's record, and what is known of the input, once all records agree."""
        name = self._source.name
        wanted = RunRecord(
            version=VERSION,
            tailrace=__version__,
            input=name,
            fingerprint=fingerprint_of(self._source.path, name),
            settings=dict(self._source.settings),
            options=dict(options),
        )
        own, checked = wanted, None
        for shard, path in shards_in(self.path).items():
            record = read_record(path)
            self._compare(record, wanted, shard)
            if shard == self.shard:
                own = record
            # What another shard found is found again where rows are bad: each has its own to write.
            if record.checked is not None and (shard == self.shard or not record.checked.bad):
                checked = record.checked
        return own, checked

    def _compare(self, record: RunRecord, wanted: RunRecord, shard: Shard) -> None:
        if shard[1] != self.shard[1]:
            raise BatchFolderError(
                f"{self.path} holds a run in {shard[1]} shards, and this one is of "
                f"{self.shard[1]}: another number of shards needs another output folder"
            )
        change = change_of(
            self._source.path, self._source.name, record.fingerprint, wanted.fingerprint
        )
        if change:
            raise BatchFolderError(
                f"the input has changed since the run in {self.path} began: {change}; "
                "another input needs another output folder"
            )
        changed = difference(
            {**record.settings, **record.options}, {**wanted.settings, **wanted.options}
        )
        if changed:
            raise BatchFolderError(
                f"the run in {self.path} began otherwise: {changed}; "
                "other options need another output folder"
            )

    def _begin(self, record: RunRecord) -> None:
        """Write the record of a new run, unless another kind of run has the folder."""
        if self._record.exists():
            return
        with writing(self.path):
            for each in (self.part, self.errors):
                if each.exists() and each.stat().st_size:
                    raise BatchFolderError(f"{each} is there, and no record of its run")
        write_record(self._record, record)
        # Two that begin at once both write their record before they look for the other's.
        counts = {count for _, count in shards_in(self.path)}
        if len(counts) > 1:
            self._record.unlink()
            raise BatchFolderError(
                f"runs in {' and '.join(map(str, sorted(counts)))} shards began in {self.path}"
            )

    def _recover(self, *, retry_failed: bool) -> None:
        """Mend the files of an earlier start, and learn what is done and what has failed."""
        for path, keeps in (
            (self.part, self._keeps_answer),
            (self.errors, self._drops_retried if retry_failed else self._keeps_failure),
        ):
            if path.exists():
                self.mended += mend(path, keeps)

    def _keeps_answer(self, line: bytes) -> bool:
        self._mark(line, self.part, _DONE)
        self.done += 1
        return True

    def _keeps_failure(self, line: bytes) -> bool:
        number = self._number(line, self.errors)
        if self._states[number] == _DONE:
            return False
        self._mark(line, self.errors, _FAILED)
        self.failed += 1
        return True

    def _drops_retried(self, line: bytes) -> bool:
        return is_invalid(line) and self._keeps_failure(line)

    def _mark(self, line: bytes, path: Path, state: int) -> None:
        number = self._number(line, path)
        if self._states[number]:
            raise BatchFolderError(f"{path} has row {number} twice: it is not as the run left it")
        self._states[number] = state

    def _number(self, line: bytes, path: Path) -> int:
        number = number_in(line, self._head)
        if number is None or not 0 < number < len(self._states):
            raise BatchFolderError(f"{path} has a line of another run: {_beginning(line)}")
        return number

    def _opened(self, path: Path) -> LineFile:
        file = LineFile(path)
        self._closing.callback(file.close)
        return file

    def _write_bad(self, repeated: frozenset[int]) -> None:
        """Write the shard's rows that cannot be sent, but for those that an earlier start wrote."""
        index, count = self.shard
        for position, bad in bad_rows(self._source, repeated):
            if position % count == index and not self._states[bad.number]:
                self._failures.append(bad_line(self._head, bad, self._source.noun))
                self._states[bad.number] = _FAILED
                self.failed += 1

    def _check_pending(self, row: Row) -> None:
        if self._states[row.number]:
            raise InvalidRequestError(f"row {row.number} has its line already")

    def _called(self) -> str:
        index, count = self.shard
        return f"{self.path}" if count == 1 else f"shard {index}/{count} of {self.path}"


def _name(kind: str, shard: Shard, suffix: str = "") -> str:
    return f"{kind}-{shard[0]:05}-of-{shard[1]:05}{suffix}"


def _beginning(line: bytes) -> str:
    return line[:80].decode("utf-8", "replace")
