"""Files of kept replies in, decoded replies out, in the order of the files.

A bounded number of bytes is in memory at a time. The first bytes of a file tell its form, not its
name: gzip (any number of members), zstd (any number of frames), or the reply itself. Threads read
and unpack files ahead of the batch that is being decoded. A file that cannot be read has a result
with its problem, and the other files are decoded all the same.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from threading import Condition
from typing import IO, TYPE_CHECKING, Any

from tailrace import decode_many
from tailrace._members import INPUT, Member, Reader, ZlibReader, ZstdReader
from tailrace.errors import ArchiveError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tailrace import DecodedReply

__all__ = ["MAX_REPLY_BYTES", "Decoded", "File", "decode_files", "find", "pieces"]

MAX_REPLY_BYTES = 64 * 2**20
"""The most bytes of one reply, unpacked, unless another limit is given."""

# The size of a batch, which is decoded in one call: bytes for each thread, and replies in all.
_BATCH_BYTES = 4 * 2**20
_BATCH_REPLIES = 4096
# The size of a group of neighbouring files, which one thread reads as one job: bytes on the disk.
_GROUP_BYTES = 2**20
_GROUP_FILES = 16
_GROUPS_AHEAD = 4  # for each thread
# Bytes held for each thread, from when they are read until they are decoded. Beside them there are
# those of the file that is waited for, and the texts of a batch.
_HELD_BYTES = 12 * 2**20
_PIECE = 256 * 2**10
_UNPACKED_PIECE = 2**20
_ZSTD_WINDOW_LOG = 27  # 128 MiB, as the zstd program allows by default
_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, 2.3.1
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # RFC 8878, 3.1.2: behind a first byte of 0x50 to 0x5F
# Frames that hold nothing, as encoders write them, with and without their sum: to make a decoder
# for each would take a thousand times as long as to pass over it.
_ZSTD_NOTHING = re.compile(
    rb"(?:\x28\xb5\x2f\xfd(?:(?:\x20\0|\0[\0-\x88])\x01\0\0|(?:\x24\0|\x04[\0-\x88])\x01\0\0\x99\xe9\xd8\x51)"
    rb"|[\x50-\x5f]\x2a\x4d\x18\0{4}){1,4096}"
)
_FIRST = 4 * 2**10  # packed bytes that a new member's decoder is given: it hands back the rest


@dataclass(frozen=True, slots=True)
class File:
    """A file to decode, by its path `name`.

    `size`: its bytes on the disk; `problem`: why there is no file that can be read, None if it can.
    """

    name: str
    size: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """Result of one file.

    `reply`: the decoded reply, None where no byte of the file could be read; of a file that breaks
    off, the reply up to there. `size`: the reply's bytes, unpacked. `problem`: why the file was not
    read to its end, None where it was.
    """

    file: File
    reply: DecodedReply | None
    size: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class _Read:
    file: File
    data: bytes
    problem: str | None = None


# -- finding ---------------------------------------------------------------------------------------


def find(paths: Iterable[str]) -> Iterator[File]:
    """Yield the files at `paths`, and all files in the folders among them.

    The files of a folder come in the order of their names; links to folders are not followed.
    """
    for path in paths:
        try:
            status = Path(path).stat()
        except OSError as error:
            yield File(path, problem=_reason(error))
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _in_folder(path)
        elif stat.S_ISREG(status.st_mode):
            yield File(path, status.st_size)
        else:
            yield File(path, problem="it is neither a file nor a folder")


def _in_folder(folder: str) -> Iterator[File]:
    errors: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file():
                yield from find([str(path)])
        while errors:
            error = errors.pop()
            yield File(str(error.filename), problem=_reason(error))


# -- reading ---------------------------------------------------------------------------------------


def pieces(file: IO[bytes], most: int) -> Generator[bytes]:
    """Yield the rest of `file`, unpacked, as it comes: up to `most` bytes at a time.

    A stream that cannot seek, such as a pipe, is not unpacked. Raises OSError as reading does, and
    ArchiveError for data that cannot be unpacked, both after all bytes before the fault.
    """
    coding = _coding(file)
    if coding is None:
        yield from _as_they_are(file, most)
        return
    try:
        yield from _unpacked(file, min(most, _UNPACKED_PIECE), coding)
    except (zlib.error, zstd.ZstdError) as error:
        raise ArchiveError(f"its {coding.name} data makes no sense: {error}") from None


def _as_they_are(file: IO[bytes], most: int) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)
    while data := read(most):
        yield data


def _unpacked(file: IO[bytes], most: int, coding: _Coding) -> Iterator[bytes]:
    """Yield what the members in `file` hold; a library's error comes behind all before the fault.

    Raises ArchiveError where the last one breaks off.
    """
    member: Reader | None = None
    packed, at, start, step = memoryview(b""), 0, 0, 0
    while True:
        while member is None and (nothing := coding.nothing.match(packed, at)):
            at = nothing.end()
        if at == len(packed) and (member is None or member.wants_input):
            packed, at = memoryview(file.read(_PIECE)), 0
            if packed:
                continue
            if member is not None:
                raise ArchiveError(f"its {coding.name} data breaks off")
            return
        if member is None:
            member, step = coding.reader(most), _FIRST
            start = file.tell() - len(packed) + at
        piece = packed[at : at + step] if member.wants_input else packed[:0]
        try:
            data = member.read(piece)
        except coding.error:
            yield from _up_to_fault(file, start, member.given, most, coding)
            raise
        at, step = at + len(piece), _PIECE
        if member.is_finished:
            at -= len(member.rest)
            member = None
        if data:
            yield data


def _up_to_fault(
    file: IO[bytes], start: int, given: int, most: int, coding: _Coding
) -> Iterator[bytes]:
    """Yield the rest of what stands in front of a member's fault, which is looked for once more.

    The member begins at `start`; its first `given` bytes have been yielded.
    """
    file.seek(start)
    member = Member(coding.error, lambda: coding.reader(most), skip=given)
    while not (member.is_at_fault or member.is_finished):
        piece = file.read(INPUT) if member.wants_input else b""
        if member.wants_input and not piece:
            return
        if data := member.read(piece):
            yield data


@dataclass(frozen=True, slots=True)
class _Coding:
    """A form of compressed members, which stand one behind the other.

    `error`: what its library raises; `reader`: makes the decoder of a member, for so many bytes at
    a time; `nothing`: what may stand between members and is passed over.
    """

    name: str
    error: type[Exception]
    reader: Callable[[int], Reader]
    nothing: re.Pattern[bytes]


_GZIP = _Coding(
    "gzip", zlib.error, partial(ZlibReader, 16 + zlib.MAX_WBITS), re.compile(rb"\0{1,4096}")
)
_ZSTD = _Coding("zstd", zstd.ZstdError, partial(ZstdReader, zstd, _ZSTD_WINDOW_LOG), _ZSTD_NOTHING)


def _coding(file: IO[bytes]) -> _Coding | None:
    """Return the form of what `file` holds from where it stands; None where it is not packed."""
    if not _can_seek(file):
        return None
    start = file.tell()
    head = file.read(4)
    file.seek(start)
    if head.startswith(_GZIP_MAGIC):
        return _GZIP
    if head == _ZSTD_MAGIC or (head[1:] == _ZSTD_SKIPPABLE and head[0] >> 4 == 0x5):  # noqa: PLR2004 - as above
        return _ZSTD
    return None


def _can_seek(file: IO[bytes]) -> bool:
    """Tell whether `file` can seek: a regular file, or one in memory.

    `IOBase.seekable` is no help: on Windows, up to Python 3.15, it is true of pipes, too.
    """
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # a file in memory has no descriptor
        return file.seekable()


class _Closed(Exception):  # noqa: N818 - no error
    """Nobody waits for what is being read."""


class _Room:
    """The bytes that may be held, shared by all threads that read.

    The file that is waited for is read in any case, so that the others' bytes never keep it out.
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self._wanted = 0
        self._closed = False
        self._changed = Condition()

    def take(self, number: int, size: int) -> None:
        """Take `size` bytes for the file of that number, once there are so many.

        Raises _Closed where they are no longer wanted.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or size <= self._left or number <= self._wanted
            )
            if self._closed:
                raise _Closed
            self._left -= size

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self._changed:
            self._left += size
            self._changed.notify_all()

    def want(self, number: int) -> None:
        """Say which file is waited for."""
        with self._changed:
            self._wanted = number
            self._changed.notify_all()

    def close(self) -> None:
        """Let every thread that waits end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _read(file: File, number: int, room: _Room, max_reply_bytes: int) -> _Read:
    """Read the reply in `file`, as far as it can be read; its bytes are taken from `room`."""
    if file.problem is not None:
        return _Read(file, b"", file.problem)
    # Its bytes are handed over without a copy, which joined pieces would be.
    read, size, problem = BytesIO(), 0, None
    taken = min(file.size, max_reply_bytes) + 1
    room.take(number, taken)
    try:
        with Path(file.name).open("rb", buffering=0) as opened:
            for piece in pieces(opened, max(_PIECE, taken)):
                size += len(piece)
                if size > taken:
                    room.take(number, len(piece))
                    taken += len(piece)
                if size > max_reply_bytes:
                    problem = f"it holds more than {max_reply_bytes} bytes, the limit of a reply"
                    read = BytesIO()
                    break
                if size == len(piece) == file.size:
                    read = BytesIO(piece)
                else:
                    read.write(piece)
    except (OSError, ArchiveError) as error:
        problem = _reason(error)
    data = read.getvalue()
    room.give(taken - len(data))
    return _Read(file, data, problem)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring files, and what was read of them, or what went wrong.

    What was read is kept there and nowhere else, and so is gone once it is taken.
    """

    files: list[tuple[int, File]] = field(default_factory=list)
    read: SimpleQueue[_Read | BaseException] = field(default_factory=SimpleQueue)


def _read_ahead(
    files: Iterable[File], threads: int, room: _Room, max_reply_bytes: int
) -> Generator[_Read]:
    """Yield the replies of `files`, in their order, as read by `threads` threads.

    The threads are at most `_GROUPS_AHEAD` groups of files, each, ahead of the consumer, and no
    further than there is room.
    """
    groups = _groups(files)
    waiting: deque[_Group] = deque()
    with ThreadPoolExecutor(threads, "tailrace-reader") as readers:
        try:
            while True:
                while len(waiting) < _GROUPS_AHEAD * threads and (group := next(groups, None)):
                    waiting.append(group)
                    readers.submit(_read_group, group, room, max_reply_bytes)
                if not waiting:
                    return
                group = waiting.popleft()
                for number, _ in group.files:
                    room.want(number)
                    yield _taken(group)
        finally:
            room.close()
            readers.shutdown(cancel_futures=True)


def _taken(group: _Group) -> _Read:
    read = group.read.get()
    if isinstance(read, BaseException):
        raise read
    return read


def _groups(files: Iterable[File]) -> Iterator[_Group]:
    group = _Group()
    size = 0
    for number, file in enumerate(files):
        group.files.append((number, file))
        size += file.size
        if size >= _GROUP_BYTES or len(group.files) == _GROUP_FILES:
            yield group
            group, size = _Group(), 0
    if group.files:
        yield group


def _read_group(group: _Group, room: _Room, max_reply_bytes: int) -> None:
    for number, file in group.files:
        try:
            group.read.put(_read(file, number, room, max_reply_bytes))
        except _Closed:
            return
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits for the file
            group.read.put(error)
            return


# -- decoding --------------------------------------------------------------------------------------


def decode_files(
    files: Iterable[File],
    *,
    threads: int | None = None,
    max_reply_bytes: int = MAX_REPLY_BYTES,
    **options: Any,
) -> Generator[list[Decoded]]:
    """Yield the results of `files`, in their order, a batch at a time.

    `threads`: how many read and unpack, and how many decode; as many as there are processors unless
    given. The next files are read while a batch is decoded. A file that holds more than
    `max_reply_bytes`, unpacked, has no reply. `options` are those of `tailrace.decode_many`.
    """
    threads = threads or _processors()
    room = _Room(threads * _HELD_BYTES)
    with closing(_read_ahead(files, threads, room, max_reply_bytes)) as read:
        for batch in _batches(read, threads * _BATCH_BYTES):
            yield _decode(batch, room, threads, options)


def _decode(
    batch: list[_Read], room: _Room, threads: int, options: dict[str, Any]
) -> list[Decoded]:
    """Decode a batch, and let go of its bytes."""
    bodies = (each.data for each in batch if _has_reply(each))
    replies = iter(decode_many(bodies, threads=threads, **options))
    decoded = [
        Decoded(
            each.file,
            next(replies) if _has_reply(each) else None,
            len(each.data),
            each.problem,
        )
        for each in batch
    ]
    batch.clear()
    room.give(sum(each.size for each in decoded))
    return decoded


def _processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_reply(read: _Read) -> bool:
    """Tell whether a reply was read: an empty file is one, an unreadable file is none."""
    return bool(read.data) or read.problem is None


def _batches(read: Iterator[_Read], most: int) -> Iterator[list[_Read]]:
    while batch := _batch(read, most):
        yield batch


def _batch(read: Iterator[_Read], most: int) -> list[_Read]:
    """Return the next files, until they have `most` bytes, and keep none of them."""
    batch: list[_Read] = []
    size = 0
    for each in read:
        batch.append(each)
        size += len(each.data)
        if size >= most or len(batch) == _BATCH_REPLIES:
            break
    return batch
