"""One member of compressed data, decoded up to its fault: a gzip member, a zstd frame, a body.

A library loses the output of a call that fails. `Member` does not: what stands in front of a fault
is decoded whole, wherever the pieces of its input were cut.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["INPUT", "PIECE", "Member", "Reader", "ZlibReader", "ZstdReader"]

PIECE = 64 * 2**10
"""Bytes of output at a time."""

INPUT = 4 * 2**10
"""Bytes given to a library at a time: at a member's end it copies the bytes behind it."""

_DISTANCE = 64  # pieces, 256 KiB: most bodies are shorter, and are read once


class Member:
    """The decoder of one member, at its fault only when all bytes before the fault are returned.

    Brotli's library fails for bytes behind the end, too, and does not tell where the end was. So
    the last pieces are kept, and a second reader follows the first at that distance; after a
    failure it takes over, and is given the piece in question byte by byte. `error`: what the
    readers that `make` returns raise; `skip`: so many of the first bytes are not returned.
    """

    def __init__(
        self, error: type[Exception], make: Callable[[], Reader], *, skip: int = 0
    ) -> None:
        self.is_at_fault = False
        self._error = error
        self._make = make
        self._skip = skip
        self._ahead = make()
        self._ahead.skip = skip
        self._behind: Reader | None = None
        self._has_failed = False
        self._between: deque[bytes] = deque()  # pieces that only the first one was given
        self._again: deque[bytes] = deque()  # pieces for the second one, when it is the only one

    @property
    def wants_input(self) -> bool:
        """Whether no output is left that could be given without more input."""
        return self._ahead.wants_input and not self._again

    @property
    def is_finished(self) -> bool:
        """Whether the member's own end has been seen."""
        return self._ahead.is_finished

    @property
    def given(self) -> int:
        """The number of bytes decoded so far."""
        return self._ahead.given

    @property
    def rest(self) -> bytes:
        """The bytes of the last piece that stand behind the end, as far as the library tells."""
        return self._ahead.rest

    def read(self, piece: bytes) -> bytes:
        """Decode about `PIECE` bytes at most; `piece` is empty unless `wants_input`."""
        if self._again and self._ahead.wants_input:
            piece = self._again.popleft()
        if piece and not self._has_failed:
            self._keep(piece)
        failed = False
        data = b""
        try:
            data = self._ahead.read(piece)
        except self._error:
            failed = True
        if failed:
            self._fall_back()
        elif not self._has_failed:
            self._follow()
        return data

    def _keep(self, piece: bytes) -> None:
        """Keep a piece for the second reader, joined with the last one where both are small."""
        if self._between and len(self._between[-1]) + len(piece) <= INPUT:
            self._between[-1] += piece
        else:
            self._between.append(piece)

    def _follow(self) -> None:
        """Let the second one make a call, at most as many as the first one made."""
        if self._behind is not None and not self._behind.wants_input:
            self._behind.read(b"")
        elif len(self._between) > _DISTANCE:
            self._behind = self._behind or self._make()
            self._behind.read(self._between.popleft())

    def _fall_back(self) -> None:
        if self._has_failed:
            self.is_at_fault = True
            return
        self._has_failed = True
        behind = self._behind or self._make()
        behind.skip = max(self._ahead.given, self._skip) - behind.given
        self._ahead, self._behind = behind, None
        last = self._between.pop()
        self._again = deque([*self._between, *(last[at : at + 1] for at in range(len(last)))])
        self._between.clear()


class Reader(ABC):
    """A library's decompressor, and how many bytes it has given; the first `skip` more are dropped.

    `rest`: the bytes behind the end, once it is seen.
    """

    rest = b""

    def __init__(self) -> None:
        self.given = 0
        self.skip = 0

    @property
    @abstractmethod
    def is_finished(self) -> bool:
        """Whether the end has been seen."""

    @property
    @abstractmethod
    def wants_input(self) -> bool:
        """Whether no output is left that it could give without more input."""

    def read(self, piece: bytes | memoryview) -> bytes:
        """Decode some bytes of `piece` and of what is left of earlier ones."""
        data = self._read(piece)
        self.given += len(data)
        dropped = min(self.skip, len(data))
        self.skip -= dropped
        return data[dropped:]

    @abstractmethod
    def _read(self, piece: bytes | memoryview) -> bytes: ...


class ZlibReader(Reader):
    """Decodes gzip and deflate. `bits`: the form, as zlib names it; `most`: bytes at a time."""

    def __init__(self, bits: int, most: int = PIECE) -> None:
        super().__init__()
        self._inflater = zlib.decompressobj(bits)
        self._most = most
        self._full = False

    @property
    def is_finished(self) -> bool:
        """Whether the end has been seen."""
        return self._inflater.eof

    @property
    def wants_input(self) -> bool:
        """Whether no output is left that it could give without more input."""
        return not self._full

    def _read(self, piece: bytes | memoryview) -> bytes:
        tail = self._inflater.unconsumed_tail
        data = self._inflater.decompress(tail + piece if tail else piece, self._most)
        self._full = len(data) == self._most
        self.rest = self._inflater.unused_data
        return data


class ZstdReader(Reader):
    """Decodes zstd with the module `library`.

    `window_log`: the greatest window that a frame may ask for, as a power of two; `most`: bytes at
    a time.
    """

    def __init__(self, library: Any, window_log: int, most: int = PIECE) -> None:
        super().__init__()
        options = {library.DecompressionParameter.window_log_max: window_log}
        self._inflater = library.ZstdDecompressor(options=options)
        self._most = most

    @property
    def is_finished(self) -> bool:
        """Whether the end has been seen."""
        return bool(self._inflater.eof)

    @property
    def wants_input(self) -> bool:
        """Whether no output is left that it could give without more input."""
        return bool(self._inflater.needs_input)

    def _read(self, piece: bytes | memoryview) -> bytes:
        data: bytes = self._inflater.decompress(piece, self._most)
        self.rest = self._inflater.unused_data
        return data
