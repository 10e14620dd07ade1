"""Files of kept replies in, decoded replies out, in the order of the files.

A bounded number of bytes is in memory at a time. The first bytes of a file tell its form, not its
name: gzip (any number of members), zstd (any number of frames), or the reply itself. Threads read
and unpack files ahead of the batch that is being decoded. A file that cannot be read has a result
with its problem, and the other files are decoded all the same.
"""

from __future__ import annotations

import os
import stat
import sys
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tailrace import decode_many
from tailrace.errors import ArchiveError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from tailrace import DecodedReply

__all__ = ["MAX_REPLY_BYTES", "Decoded", "File", "decode_files", "find", "pieces"]

MAX_REPLY_BYTES = 64 * 2**20
"""The most bytes of one reply, unpacked, unless another limit is given."""

# The size of a batch, which is decoded in one call: bytes for each thread, and replies in all.
_BATCH_BYTES = 8 * 2**20
_BATCH_REPLIES = 4096
# The size of a group of neighbouring files, which one thread reads as one job: bytes on the disk.
_GROUP_BYTES = 2**20
_GROUP_FILES = 16
_GROUPS_AHEAD = 4  # for each thread
# Unpacked bytes of a group after which the rest of the group becomes another job.
_HELD_BYTES = 8 * 2**20
_PIECE = 256 * 2**10
_ZSTD_WINDOW_LOG = 27  # 128 MiB, as the zstd program allows by default
_GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # RFC 8878, 3.1.2: behind a first byte of 0x50 to 0x5F


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
    stream, coding = _opened(file)
    read = getattr(stream, "read1", stream.read)
    while True:
        try:
            data = read(most)
        except EOFError:
            raise ArchiveError(f"its {coding} data breaks off") from None
        except (BadGzipFile, zlib.error, zstd.ZstdError) as error:
            raise ArchiveError(f"its {coding} data makes no sense: {error}") from None
        if not data:
            return
        yield data


def _opened(file: IO[bytes]) -> tuple[IO[bytes] | GzipFile | zstd.ZstdFile, str]:
    if not _can_seek(file):
        return file, "plain"
    start = file.tell()
    head = file.read(4)
    file.seek(start)
    if head.startswith(_GZIP):
        return GzipFile(fileobj=file), "gzip"
    if head == _ZSTD or (head[1:] == _ZSTD_SKIPPABLE and head[0] >> 4 == 0x5):  # noqa: PLR2004 - as above
        return zstd.ZstdFile(
            file, options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        ), "zstd"
    return file, "plain"


def _can_seek(file: IO[bytes]) -> bool:
    """Tell whether `file` can seek: a regular file, or one in memory.

    `IOBase.seekable` is no help: on Windows, up to Python 3.15, it is true of pipes, too.
    """
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # a file in memory has no descriptor
        return file.seekable()


def _read(file: File, max_reply_bytes: int) -> _Read:
    """Read the reply in `file`, as far as it can be read."""
    if file.problem is not None:
        return _Read(file, b"", file.problem)
    read: list[bytes] = []
    size = 0
    try:
        # A file of known size is read in one piece, so that no copy joins it to others.
        with Path(file.name).open("rb", buffering=0) as opened:
            for piece in pieces(opened, max(_PIECE, min(file.size, max_reply_bytes) + 1)):
                size += len(piece)
                if size > max_reply_bytes:
                    return _Read(
                        file,
                        b"",
                        f"it holds more than {max_reply_bytes} bytes, the limit of a reply",
                    )
                read.append(piece)
    except (OSError, ArchiveError) as error:
        return _Read(file, b"".join(read), _reason(error))
    return _Read(file, b"".join(read))


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _read_ahead(files: Iterable[File], threads: int, max_reply_bytes: int) -> Generator[_Read]:
    """Yield the replies of `files`, in their order, as read by `threads` threads.

    The threads are at most `_GROUPS_AHEAD` groups of files, each, ahead of the consumer.
    """
    groups = _groups(files)
    waiting: deque[tuple[Sequence[File], Future[list[_Read]]]] = deque()
    with ThreadPoolExecutor(threads, "tailrace-reader") as readers:
        try:
            while True:
                while len(waiting) < _GROUPS_AHEAD * threads and (group := next(groups, None)):
                    waiting.append((group, readers.submit(_read_some, group, max_reply_bytes)))
                if not waiting:
                    return
                group, reading = waiting.popleft()
                read = reading.result()
                if rest := group[len(read) :]:
                    waiting.appendleft((rest, readers.submit(_read_some, rest, max_reply_bytes)))
                yield from read
        finally:
            readers.shutdown(cancel_futures=True)


def _groups(files: Iterable[File]) -> Iterator[Sequence[File]]:
    group: list[File] = []
    size = 0
    for file in files:
        group.append(file)
        size += file.size
        if size >= _GROUP_BYTES or len(group) == _GROUP_FILES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _read_some(files: Sequence[File], max_reply_bytes: int) -> list[_Read]:
    """Read the first of `files`: as many as may be in memory, and one at least."""
    read: list[_Read] = []
    held = 0
    for file in files:
        read.append(_read(file, max_reply_bytes))
        held += len(read[-1].data)
        if held >= _HELD_BYTES:
            break
    return read


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
    with closing(_read_ahead(files, threads, max_reply_bytes)) as read:
        for batch in _batches(read, threads * _BATCH_BYTES):
            bodies = (each.data for each in batch if _has_reply(each))
            replies = iter(decode_many(bodies, threads=threads, **options))
            yield [
                Decoded(
                    each.file,
                    next(replies) if _has_reply(each) else None,
                    len(each.data),
                    each.problem,
                )
                for each in batch
            ]


def _processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_reply(read: _Read) -> bool:
    """Tell whether a reply was read: an empty file is one, an unreadable file is none."""
    return bool(read.data) or read.problem is None


def _batches(read: Iterable[_Read], most: int) -> Iterator[list[_Read]]:
    batch: list[_Read] = []
    size = 0
    for each in read:
        batch.append(each)
        size += len(each.data)
        if size >= most or len(batch) == _BATCH_REPLIES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
