"""Content codings of a response, each flushed at every chunk, so that a client can read at once."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Encoder:
    """The compressor of one body: `encode` flushes each chunk, `finish` returns the last bytes."""

    encode: Callable[[bytes], bytes]
    finish: Callable[[], bytes]


def make_encoder(coding: str) -> Encoder:
    """Return a new encoder for Content-Encoding `coding`: ``gzip``, ``br``, ``zstd`` or ``""``."""
    return _ENCODERS[coding]()


def _identity() -> Encoder:
    return Encoder(lambda chunk: chunk, lambda: b"")


def _gzip() -> Encoder:
    compressor = zlib.compressobj(wbits=31)
    return Encoder(
        lambda chunk: compressor.compress(chunk) + compressor.flush(zlib.Z_SYNC_FLUSH),
        compressor.flush,
    )


def _brotli() -> Encoder:
    compressor = _import_first("brotli", "brotlicffi").Compressor(quality=5)
    return Encoder(lambda chunk: compressor.process(chunk) + compressor.flush(), compressor.finish)


def _zstd() -> Encoder:
    compressor = _import_first("compression.zstd", "backports.zstd").ZstdCompressor()
    return Encoder(
        lambda chunk: compressor.compress(chunk, compressor.FLUSH_BLOCK), compressor.flush
    )


def _import_first(name: str, fallback: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return import_module(fallback)


_ENCODERS: dict[str, Callable[[], Encoder]] = {
    "": _identity,
    "gzip": _gzip,
    "br": _brotli,
    "zstd": _zstd,
}
