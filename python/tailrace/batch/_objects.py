"""A run's output at a URL: whole objects, of which nobody can write one that another has written.

Where nothing can be appended, a shard's lines are kept in files of this machine, and what is new
becomes a chunk now and then: ``part-00003-of-00064-00007.jsonl`` is the eighth of the fourth shard
of 64, with its failures in ``errors-00003-of-00064-00007.jsonl`` if there are any. A row is done
when its chunk is written; those of a process that dies before are asked again.

Nothing is locked, for a store has no locks. Instead the chunks of a shard are a log: each object is
created only if there is none of its name, the part object first. Who goes on with a shard reads its
chunks, and seals the last one with an errors object if it has none; so another process that still
writes the same shard, in a part of the network that was thought dead, cannot write its next chunk,
and ends. What it asked is lost; no row is written twice.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self

from msgspec import json, structs

from tailrace.batch._folder import OutputFolder
from tailrace.batch._hidden import scratch_folder
from tailrace.batch._record import SHARD_RECORD, RunRecord, file_name
from tailrace.batch._store import Store
from tailrace.errors import BatchFolderError, BatchLockedError, TailraceError

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from tailrace.batch._inputs import Source
    from tailrace.batch._record import Shard

__all__ = ["CHUNK_SECONDS", "ObjectFolder"]

CHUNK_SECONDS = 60.0
"""The seconds after which what was written becomes a chunk."""

_CHUNK_BYTES = 8 * 2**20


class ObjectFolder(OutputFolder):
    """The output of one shard of a run at a URL; `path`: the folder of this machine behind it."""

    _is_locked: ClassVar[bool] = False

    def __init__(self, path: Path, source: Source, shard: Shard) -> None:
        super().__init__(path, source, shard)
        self._chunks: _Chunks | None = None
        self._chunk_seconds = CHUNK_SECONDS
        self._since = time.monotonic()

    @classmethod
    def open_at(
        cls,
        url: str,
        source: Source,
        *,
        shard: Shard = (0, 1),
        chunk_seconds: float = CHUNK_SECONDS,
        **options: Any,
    ) -> Self:
        """Begin a run's output at `url`, or go on with it.

        `chunk_seconds`: after which what was written becomes a chunk, if not 8 MiB came before.
        `options` and errors are those of `OutputFolder.open`; and BatchLockedError where another
        process begins the same shard at the same time.
        """
        scratch = scratch_folder()
        problem: str
        try:
            chunks = _Chunks(Store(url), shard, scratch)
            chunks.pull()
            folder = cls.open(scratch.name, source, shard=shard, **options)
        except BatchFolderError as error:
            kind, problem = type(error), str(error).replace(scratch.name, url)
        except BaseException:
            scratch.cleanup()
            raise
        else:
            return folder._begin(chunks, chunk_seconds)  # noqa: SLF001 - its own class
        scratch.cleanup()
        raise kind(problem)

    @property
    def place(self) -> str:
        """The URL."""
        return super().place if self._chunks is None else self._chunks.store.url

    def sync(self) -> None:
        """Write a chunk, if it is time; may be called in a thread.

        Raises BatchWriteError, and BatchLockedError where another process has gone on with the
        shard.
        """
        chunks = self._chunks
        if chunks is None:
            super().sync()
            return
        if chunks.waiting >= _CHUNK_BYTES or time.monotonic() >= self._since + self._chunk_seconds:
            self._since = time.monotonic()
            chunks.push()

    def close(self) -> None:
        """Write what is left as the last chunk, and take the files of this machine away.

        Errors are those of `sync`.
        """
        super().close()
        chunks = self._chunks
        if chunks is None or chunks.is_closed:
            return
        chunks.is_closed = True
        try:
            chunks.push()
        finally:
            chunks.scratch.cleanup()

    def _begin(self, chunks: _Chunks, chunk_seconds: float) -> Self:
        """Write what opening has changed."""
        self._chunks, self._chunk_seconds = chunks, chunk_seconds
        try:
            chunks.begin()
        except BaseException:
            super().close()
            chunks.scratch.cleanup()
            raise
        return self


class _Chunks:
    """The objects of one shard, and the files of this machine that they come from.

    `waiting`: bytes that are in no chunk yet.
    """

    def __init__(self, store: Store, shard: Shard, scratch: TemporaryDirectory[str]) -> None:
        self.store = store
        self.scratch = scratch
        self.is_closed = False
        self._failure: TailraceError | None = None
        self._lock = Lock()  # of pushes: one may be under way in a thread
        self._folder = Path(scratch.name)
        self._shard = shard
        self._record = file_name("run", shard, ".json")
        self._part = self._folder / file_name("part", shard, ".jsonl")
        self._errors = self._folder / file_name("errors", shard, ".jsonl")
        self._next = 0
        self._written = [0, 0]  # bytes of the two files that are in chunks
        self._old: list[str] = []
        self._pulled = b""
        self._old_record: bytes | None = None

    @property
    def waiting(self) -> int:
        return sum(
            path.stat().st_size - written
            for path, written in zip((self._part, self._errors), self._written, strict=True)
        )

    # -- reading -----------------------------------------------------------------------------------

    def pull(self) -> None:
        """Read what there is of the shard into the files of this machine."""
        names = self.store.names()
        self._pull_records(names)
        numbers = {kind: self._numbers(names, kind) for kind in ("part", "errors")}
        self._next = max((*numbers["part"], *numbers["errors"], -1)) + 1
        last = max(numbers["part"], default=-1)
        if last >= 0 and last not in numbers["errors"]:
            # The last chunk's failures may be on their way: now they are in it, or never.
            self.store.create(self._name("errors", last), b"")
            numbers["errors"].append(last)
        with self._part.open("wb") as file:
            for number in numbers["part"]:
                file.write(_whole(self.store.read(self._name("part", number))))
            self._written[0] = file.tell()
        self._old = [self._name("errors", each) for each in numbers["errors"]]
        self._pulled = b"".join(_whole(self.store.read(each)) for each in self._old)
        self._errors.write_bytes(_each_once(self._pulled))

    def _pull_records(self, names: list[str]) -> None:
        """Read the shard's record, and one or two of the others, to compare them."""
        found = {each: SHARD_RECORD.fullmatch(each) for each in names}
        counts = {each: int(match[2]) for each, match in found.items() if match}
        others = [each for each in counts if counts[each] != self._shard[1]]
        own = [self._record] if self._record in counts else []
        for each in dict.fromkeys((*others[:1], *own, *list(counts)[:1])):
            data = self.store.read(each)
            (self._folder / each).write_bytes(data)
            if each == self._record:
                self._old_record = data

    def _numbers(self, names: list[str], kind: str) -> list[int]:
        start, end = file_name(kind, self._shard, "-"), ".jsonl"
        found = (each[len(start) : -len(end)] for each in names if each.startswith(start))
        return sorted(int(each) for each in found if each.isdigit())

    def _name(self, kind: str, number: int) -> str:
        return file_name(kind, self._shard, f"-{number:05}.jsonl")

    # -- writing -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Write the record of a new run, and what opening has taken out of the failures."""
        record = (self._folder / self._record).read_bytes()
        if self._old_record is None:
            self._begin_record(record)
        failures = self._errors.read_bytes()
        if failures.startswith(self._pulled):
            self._written[1] = len(self._pulled)
        else:  # of those to be asked again no line may stay
            self._create("part", b"")
            self._create("errors", failures)
            self._next += 1
            for each in self._old:
                self.store.put(each, b"")
            self._written[1] = len(failures)
        self._pulled = b""
        self.push()  # rows that cannot be sent, before the record says that they are written
        if record != self._old_record:
            self.store.put(self._record, record)

    def _begin_record(self, record: bytes) -> None:
        """Write the record of a new run, without what its check found."""
        unchecked = structs.replace(json.decode(record, type=RunRecord), checked=None)
        if not self.store.create(self._record, json.encode(unchecked)):
            raise self._lost()
        # Two that begin at once both write their record before they look for the other's.
        counts = {
            int(found[2]) for each in self.store.names() if (found := SHARD_RECORD.match(each))
        }
        if len(counts) > 1:
            self.store.delete(self._record)
            raise BatchFolderError(
                f"runs in {' and '.join(map(str, sorted(counts)))} shards began in {self.store.url}"
            )

    def push(self) -> None:
        """Write the lines that are in no chunk yet as the next one; after a failure, fail again."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            try:
                self._push()
            except TailraceError as error:
                self._failure = error
                raise

    def _push(self) -> None:
        new = [
            _new_lines(path, written)
            for path, written in zip((self._part, self._errors), self._written, strict=True)
        ]
        if not any(new):
            return
        self._create("part", new[0])
        if new[1]:
            self._create("errors", new[1])
        self._next += 1
        self._written = [
            written + len(data) for written, data in zip(self._written, new, strict=True)
        ]

    def _create(self, kind: str, data: bytes) -> None:
        if not self.store.create(self._name(kind, self._next), data):
            raise self._lost()

    def _lost(self) -> BatchLockedError:
        index, count = self._shard
        return BatchLockedError(
            f"another process is writing shard {index}/{count} of {self.store.url}: what this one "
            "has not written yet is dropped"
        )


def _new_lines(path: Path, start: int) -> bytes:
    """Return the whole lines from `start` on; one may be being written."""
    with path.open("rb") as file:
        file.seek(start)
        return _whole(file.read())


def _whole(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]


def _each_once(lines: bytes) -> bytes:
    """Return the lines of failures, of two about one row the later one."""
    by_row = {line[: line.find(b'",')]: line for line in lines.split(b"\n") if line}
    return b"".join(line + b"\n" for line in by_row.values())
