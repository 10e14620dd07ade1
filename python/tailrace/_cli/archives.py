"""Files of kept replies in, decoded replies out, in the order of the files.

A bounded number of bytes is held at a time.

What a file is, its first bytes say, not its name: gzip (any number of members), zstd (any number of
frames), or the reply itself. Files are read and unpacked by threads, ahead of the batch that is
being decoded. What is wrong with a file stands in its place among the results, and the rest go on.
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

_BATCH_BYTES = 8 * 2**20  # decoded together, for each thread
_BATCH_REPLIES = 4096
_GROUP_BYTES = (
    2**20
)  # of neighbouring files, as they lie on the disk, that one thread reads in one go
_GROUP_FILES = 16
_GROUPS_AHEAD = 4  # for each thread
_HELD_BYTES = (
    8 * 2**20
)  # of a group, unpacked: then the rest of it waits until these have been taken
_PIECE = 256 * 2**10
_ZSTD_WINDOW_LOG = (
    27  # 128 MiB: what the zstd program unpacks without being asked to use more memory
)
_GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # RFC 8878, 3.1.2: behind a first byte of 0x50 to 0x5F


@dataclass(frozen=True, slots=True)
class File:
    """A file that was found, its size on the disk in bytes.

    Or what is wrong with the place where one should be.
    """

    name: str
    size: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """Result of one file: its reply and its error, one of which may be None.

    There is no reply where nothing of the file could be read.

    `size`: the bytes of the reply, unpacked. Of a file that breaks off, the reply is what came
    before that.
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


def find(places: Iterable[str]) -> Iterator[File]:
    """Files, and all files in folders: those of a folder by name, links to folders not followed."""
    for place in places:
        try:
            found = Path(place).stat()
        except OSError as error:
            yield File(place, problem=_reason(error))
            continue
        if stat.S_ISDIR(found.st_mode):
            yield from _in_folder(place)
        elif stat.S_ISREG(found.st_mode):
            yield File(place, found.st_size)
        else:
            yield File(place, problem="it is neither a file nor a folder")


def _in_folder(folder: str) -> Iterator[File]:
    closed: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=closed.append):
        folders.sort()
        for name in sorted(names):
            place = Path(parent, name)
            if place.is_file():
                yield from find([str(place)])
        while closed:
            error = closed.pop()
            yield File(str(error.filename), problem=_reason(error))


# -- reading ---------------------------------------------------------------------------------------


def pieces(file: IO[bytes], most: int) -> Generator[bytes]:
    """What is in `file` from where it stands, unpacked, as it comes: up to `most` bytes at a time.

    A stream that cannot go back is taken as it is. `OSError` as reading raises it, `ArchiveError`
    for data that cannot be unpacked; what came before has been returned by then.
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
    if not _can_go_back(file):
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


def _can_go_back(file: IO[bytes]) -> bool:
    """Whether it is a file.

    On Windows, up to Python 3.15, pipes say of themselves that they can, too.
    """
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # it lies in memory
        return file.seekable()


def _read(file: File, max_reply_bytes: int) -> _Read:
    """A file's reply, as far as it came."""
    if file.problem is not None:
        return _Read(file, b"", file.problem)
    came: list[bytes] = []
    size = 0
    try:
        # One of known size comes in one piece, which nothing has to be joined with.
        with Path(file.name).open("rb", buffering=0) as opened:
            for piece in pieces(opened, max(_PIECE, min(file.size, max_reply_bytes) + 1)):
                size += len(piece)
                if size > max_reply_bytes:
                    return _Read(
                        file,
                        b"",
                        f"it holds more than {max_reply_bytes} bytes, the limit of a reply",
                    )
                came.append(piece)
    except (OSError, ArchiveError) as error:
        return _Read(file, b"".join(came), _reason(error))
    return _Read(file, b"".join(came))


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _read_ahead(files: Iterable[File], threads: int, max_reply_bytes: int) -> Generator[_Read]:
    """The replies, in the order of their files.

    The threads are some groups of files ahead, and never more.
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
    """The replies of the first of `files`: as many as may be held, and one at least."""
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
    """What becomes of the files, in their order, a batch at a time.

    `options` are those of `decode_many`.

    `threads`: how many read and unpack, and how many decode; as many as there are processors unless
    given. The next files are read while a batch is decoded. A file that holds more than
    `max_reply_bytes`, unpacked, gives no reply.
    """
    threads = threads or _processors()
    with closing(_read_ahead(files, threads, max_reply_bytes)) as read:
        for batch in _batches(read, threads * _BATCH_BYTES):
            came = (each.data for each in batch if _has_reply(each))
            replies = iter(decode_many(came, threads=threads, **options))
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
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_reply(read: _Read) -> bool:
    """An empty file is an empty reply; one of which nothing could be read is none."""
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
