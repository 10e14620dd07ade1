"""An input's file as it unpacks: plain, gzip or zstd, which its first bytes tell."""

from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import contextmanager
from io import BufferedReader
from typing import TYPE_CHECKING, Any, TypeAlias

from tailrace.batch._inputs.bodies import read_json_line
from tailrace.batch._inputs.source import MAX_ROW_BYTES, Overlong
from tailrace.errors import BatchInputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    _Reader: TypeAlias = "BufferedReader[Any]"

__all__ = ["is_packed", "lines_of", "reading", "unpacked"]

_READ = 2**18
_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, 2.3.1
# RFC 8878, 3.1.1 and 3.1.2: a frame, or one to skip, as parallel packers put it in front.
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60)))
_WINDOW_LOG = 27  # 128 MiB, as the zstd program allows by default
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def is_packed(path: Path) -> bool:
    """Return whether the file at `path` is packed with gzip or zstd."""
    with path.open("rb") as file:
        return file.read(4).startswith((_GZIP_MAGIC, *_ZSTD_MAGICS))


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[_Reader]:
    """Open a file for reading what is in it.

    What goes wrong while it is open is a BatchInputError that calls the file `name`, and so is a
    text in UTF-16.
    """
    with reading(name), _unpacked(path) as file:
        if file.peek(2).startswith(_UTF_16):
            raise BatchInputError(
                f"{name} is UTF-16, and UTF-8 is read: iconv -f UTF-16 -t UTF-8 makes it"
            )
        yield file


@contextmanager
def _unpacked(path: Path) -> Iterator[_Reader]:
    with BufferedReader(path.open("rb", buffering=0), _READ) as file:
        first = file.read(4)
        file.seek(0)
        if first.startswith(_GZIP_MAGIC):
            with gzip.GzipFile(fileobj=file) as inside:
                yield BufferedReader(inside, _READ)
        elif first.startswith(_ZSTD_MAGICS):
            options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
            with zstd.ZstdFile(file, options=options) as inside:
                yield BufferedReader(inside, _READ)
        else:
            yield file


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what can go wrong with a file's reading into a BatchInputError that calls it `name`."""
    problem = ""
    try:
        yield
    except OSError as error:  # gzip.BadGzipFile too
        problem = error.strerror or str(error)
    except EOFError:
        problem = "its packed data breaks off"
    except (zlib.error, zstd.ZstdError) as error:
        problem = f"its packed data makes no sense: {error}"
    if problem:
        raise BatchInputError(f"{name} cannot be read: {problem}")


def lines_of(path: Path, name: str) -> Iterator[tuple[int, bytes | Overlong]]:
    """Yield the lines that are not empty, with their numbers from 1.

    Of a line that is longer than a row may be the beginning is kept, and the rest passed over.
    Raises BatchInputError for a file whose lines end with CR alone.
    """
    with unpacked(path, name) as file:
        number = 0
        while line := file.readline(MAX_ROW_BYTES + 1):
            number += 1
            is_overlong = len(line) > MAX_ROW_BYTES
            if number == 1 or is_overlong:
                has_end = line.endswith(b"\n") or (is_overlong and _pass_over(file))
                if number == 1 and not has_end:
                    _refuse_carriage_returns(line, name)
            if line[0] == _BOM[0]:  # of a later line, too, where files were put together
                line = line.removeprefix(_BOM)
            if is_overlong:
                yield number, Overlong(line[: Overlong.KEPT].decode("utf-8", "replace").strip())
            elif line and not line.isspace():
                yield number, line


def _pass_over(file: _Reader) -> bool:
    """Read the rest of a line; return whether it has an end."""
    while piece := file.readline(_READ):
        if piece.endswith(b"\n"):
            return True
    return False


def _refuse_carriage_returns(line: bytes, name: str) -> None:
    """Raise BatchInputError where a file's only line is several, which end with CR alone."""
    if b"\r" in line.strip() and read_json_line(line) is None:
        raise BatchInputError(
            f"the lines of {name} end with CR alone, and not with LF: tr '\\r' '\\n' changes it"
        )
