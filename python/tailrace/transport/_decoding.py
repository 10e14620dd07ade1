"""Compressed bytes in, decoded bytes out, about `PIECE` at a time.

Even a small response that unpacks to a large one is delivered in pieces. Chunk boundaries never
change the bytes. The HTTP libraries do not decode: they report a compressed body that was cut short
as a clean end, and unpack ahead of the reader.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tailrace._members import INPUT, PIECE, Member, Reader, ZlibReader, ZstdReader
from tailrace.errors import ReplyBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ACCEPT_ENCODING", "PIECE", "ContentDecoder", "decoder_for"]

_MOST_EMPTY = 64  # empty members that are read in one call of `take`
_MOST_LAYERS = 5  # codings of one response; real ones have one
_RESERVED_FLAGS = 0xE0  # of a gzip member, RFC 1952, 2.3.1
_ZSTD_WINDOW_LOG = 23  # RFC 9659: content coding zstd must not need a window of more than 8 MiB


def _first_of(*names: str) -> Any | None:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


_brotli = _first_of("brotli", "brotlicffi")
_zstd = _first_of("compression.zstd", "backports.zstd")


class ContentDecoder(ABC):
    """One coding of a response.

    `feed` gives it bytes, `take` returns decoded ones until it returns ``b""``.
    """

    def __init__(self) -> None:
        self._waiting = memoryview(b"")

    def feed(self, data: bytes) -> None:
        """Give the decoder the next bytes; allowed only when `take` has returned ``b""``."""
        self._waiting = memoryview(data)

    @abstractmethod
    def take(self) -> bytes | None:
        """Return about `PIECE` decoded bytes at most, ``b""`` when more must be fed.

        None: no bytes so far, but there is more to decode; so no call takes long. Raises
        `ReplyBrokenError` for data that is not of this coding.
        """

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Whether the coding's own end has been seen, or nothing at all."""

    def _next_piece(self) -> memoryview:
        piece, self._waiting = self._waiting[:INPUT], self._waiting[INPUT:]
        return piece


class _Members(ContentDecoder):
    """A coding of which several members may stand one behind the other, as gzip's and zstd's do.

    Bytes behind an end that do not begin another member are padding, which is ignored, as browsers
    do.
    """

    _HEAD = 4  # bytes that tell whether another member begins

    def __init__(self, coding: str) -> None:
        super().__init__()
        self._coding = coding
        self._member: Member | None = None
        self._started = False
        self._padding = False
        self._head = b""  # the bytes behind an end, while they may still begin a member
        self._given = memoryview(b"")  # what waited when the member was given its last piece
        self._size = 0  # of that piece

    @property
    def complete(self) -> bool:
        return self._member is None

    def take(self) -> bytes | None:
        for _ in range(_MOST_EMPTY):
            if self._member is None:
                self._member = self._next_member()
            if self._member is None or (self._member.wants_input and not self._waiting):
                return b""
            if data := self._read(self._member):
                return data
        return None

    def _next_member(self) -> Member | None:
        """Begin the next member, if there is one.

        A further one begins when its head is whole, so that the boundaries of reads do not matter.
        """
        if not self._waiting or self._padding:
            return None
        if self._started and not self._has_head():
            return None
        self._started = True
        return self._begun(self._waiting[0])

    def _has_head(self) -> bool:
        head = self._head + bytes(self._waiting[: self._HEAD - len(self._head)])
        if not self._may_begin(head):
            self._padding = True
            return False
        if len(head) < self._HEAD:
            self._head, self._waiting = head, memoryview(b"")
            return False
        if self._head:
            self._waiting = memoryview(self._head + bytes(self._waiting))
            self._head = b""
        return True

    def _read(self, member: Member) -> bytes:
        piece = memoryview(b"")
        if member.wants_input:
            self._given = self._waiting
            piece = self._next_piece()
            self._size = len(piece)
        data = member.read(bytes(piece))
        if member.is_at_fault:
            raise self._nonsense(member)
        if member.is_finished:
            self._waiting = self._given[self._size - len(member.rest) :]
            self._member = None
        return data

    def _nonsense(self, member: Member) -> ReplyBrokenError:
        error = ReplyBrokenError(
            f"the reply's {self._coding} data makes no sense"
            if member.given
            else f"the reply's body is not {self._coding}, the coding that its header names"
        )
        error.bad_coding = True
        return error

    @abstractmethod
    def _may_begin(self, head: bytes) -> bool:
        """Tell whether a further member may begin with `head`, of up to `_HEAD` bytes."""

    @abstractmethod
    def _begun(self, first: int) -> Member:
        """Return the decoder of a member whose first byte is `first`."""


class _Zlib(_Members):
    def _may_begin(self, head: bytes) -> bool:
        """RFC 1952, 2.3: two magic bytes, the only method there is, and flags."""
        if self._coding != "gzip":
            return False
        is_magic = b"\x1f\x8b\x08".startswith(head[:3])
        return is_magic and not (len(head) == self._HEAD and head[3] & _RESERVED_FLAGS)

    def _begun(self, first: int) -> Member:
        bits = zlib.MAX_WBITS
        if self._coding == "gzip":
            bits = 16 + zlib.MAX_WBITS
        elif first & 0x0F != zlib.DEFLATED:
            # "deflate" means zlib's format (RFC 9110, 8.4.1.2); some servers send raw deflate,
            # which never starts like this.
            bits = -zlib.MAX_WBITS
        return Member(zlib.error, lambda: ZlibReader(bits))


class _Zstd(_Members):
    def __init__(self, library: Any) -> None:
        super().__init__("zstd")
        self._library = library

    def _may_begin(self, head: bytes) -> bool:
        """RFC 8878, 3.1: a frame, or one to be skipped."""
        if head[0] in range(0x50, 0x60):
            return b"\x2a\x4d\x18".startswith(head[1:])
        return b"\x28\xb5\x2f\xfd".startswith(head)

    def _begun(self, first: int) -> Member:  # noqa: ARG002 - a parameter of the base class
        return Member(self._library.ZstdError, lambda: ZstdReader(self._library, _ZSTD_WINDOW_LOG))


class _Brotli(_Members):
    def __init__(self, library: Any) -> None:
        super().__init__("br")
        self._library = library

    def _may_begin(self, head: bytes) -> bool:  # noqa: ARG002 - a parameter of the base class
        return False

    def _begun(self, first: int) -> Member:  # noqa: ARG002 - a parameter of the base class
        return Member(self._library.error, lambda: _BrotliReader(self._library))


class _BrotliReader(Reader):
    def __init__(self, library: Any) -> None:
        super().__init__()
        self._inflater = library.Decompressor()
        self._full = False  # until an empty result, the only sign that no output is left

    @property
    def is_finished(self) -> bool:
        return bool(self._inflater.is_finished())

    @property
    def wants_input(self) -> bool:
        return not self._full and bool(self._inflater.can_accept_more_data())

    def _read(self, piece: bytes | memoryview) -> bytes:
        data: bytes = self._inflater.process(piece, output_buffer_limit=PIECE)
        self._full = bool(data)
        return data


class _Layers(ContentDecoder):
    """Several codings, the one applied last first."""

    def __init__(self, layers: list[ContentDecoder]) -> None:
        super().__init__()
        self._layers = layers

    def feed(self, data: bytes) -> None:
        self._layers[0].feed(data)

    def take(self) -> bytes | None:
        return self._taken(len(self._layers) - 1)

    def _taken(self, layer: int) -> bytes | None:
        data = self._layers[layer].take()
        if data != b"" or not layer:
            return data
        more = self._taken(layer - 1)
        if not more:
            return more
        self._layers[layer].feed(more)
        return self._layers[layer].take() or None

    @property
    def complete(self) -> bool:
        return all(layer.complete for layer in self._layers)


_MADE_BY: dict[str, Callable[[], ContentDecoder]] = {
    "gzip": lambda: _Zlib("gzip"),
    "deflate": lambda: _Zlib("deflate"),
    **({"br": lambda: _Brotli(_brotli)} if _brotli else {}),
    **({"zstd": lambda: _Zstd(_zstd)} if _zstd else {}),
}

ACCEPT_ENCODING = ", ".join(_MADE_BY)
"""The Accept-Encoding header: the codings that can be decoded here, and no other."""


def decoder_for(content_encoding: str) -> ContentDecoder | None:
    """Return a decoder for a Content-Encoding, None where the body is not encoded.

    An unknown name counts as no coding, as in browsers: some servers write ``utf-8`` or ``none``.
    Raises `ReplyBrokenError` for a coding whose library is not installed, and for more than five
    codings.
    """
    names = [name.strip().lower().removeprefix("x-") for name in content_encoding.split(",")]
    for name in {"br", "zstd"}.difference(_MADE_BY).intersection(names):
        raise ReplyBrokenError(f"the reply is compressed with {name!r}, which was not offered")
    layers = [_MADE_BY[name]() for name in reversed(names) if name in _MADE_BY]
    if len(layers) > _MOST_LAYERS:
        raise ReplyBrokenError(f"the reply is compressed more than {_MOST_LAYERS} times over")
    if not layers:
        return None
    return layers[0] if len(layers) == 1 else _Layers(layers)
