"""What stands between a site and the network, and what that does to a reply: debris, line ends,
cuts, compression.

Every function takes a reply and gives another, so a word in a message and a fault can mean the same
thing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailrace.replica._site import Reply

BOM = b"\xef\xbb\xbf\n"
BLANK_LINES = b"\n\n\r\n"
NOTICES = b"".join(
    b"<br />\n<b>Deprecated</b>:  Function plugin_helper_%d() is deprecated in "
    b"<b>/srv/site/wp-content/plugins/helper/part-%d.php</b> on line <b>%d</b><br />\n"
    % (number, number, 7 * number)
    for number in range(1, 21)
)


def preceded(reply: Reply, debris: bytes) -> Reply:
    """Put `debris` in front of the body."""
    return replace(reply, chunks=[debris, *reply.chunks])


def with_crlf(reply: Reply) -> Reply:
    """End the body's lines with CRLF."""
    return replace(reply, chunks=[chunk.replace(b"\n", b"\r\n") for chunk in reply.chunks])


def split(reply: Reply, size: int) -> Reply:
    """Send the body in chunks of `size` bytes, wherever that cuts; all of them take as long as
    those before.
    """
    chunks = list(blocks(b"".join(reply.chunks), size))
    return replace(reply, chunks=chunks, pace=reply.pace * len(reply.chunks) / max(1, len(chunks)))


def blocks(data: bytes, size: int = 8192) -> Iterator[bytes]:
    """Cut `data` into blocks of `size` bytes."""
    return (data[at : at + size] for at in range(0, len(data), size))


@dataclass(frozen=True, slots=True)
class Packer:
    """One reply's compression:

    `piece` packs a chunk so that it can be unpacked at once, `end` closes the whole.
    """

    piece: Callable[[bytes], bytes]
    end: Callable[[], bytes]


def packer(coding: str) -> Packer:
    """Make what packs a reply for Content-Encoding `coding`: one of `CODINGS`, or the empty string
    for none.
    """
    return _PACKERS[coding]()


def _plain() -> Packer:
    return Packer(lambda chunk: chunk, lambda: b"")


def _gzip() -> Packer:
    library = zlib.compressobj(wbits=31)
    return Packer(
        lambda chunk: library.compress(chunk) + library.flush(zlib.Z_SYNC_FLUSH), library.flush
    )


def _brotli() -> Packer:
    library = _first_of("brotli", "brotlicffi").Compressor(quality=5)
    return Packer(lambda chunk: library.process(chunk) + library.flush(), library.finish)


def _zstd() -> Packer:
    library = _first_of("compression.zstd", "backports.zstd").ZstdCompressor()
    return Packer(lambda chunk: library.compress(chunk, library.FLUSH_BLOCK), library.flush)


def _first_of(name: str, otherwise: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return import_module(otherwise)


_PACKERS: dict[str, Callable[[], Packer]] = {
    "": _plain,
    "gzip": _gzip,
    "br": _brotli,
    "zstd": _zstd,
}
CODINGS = ("gzip", "br", "zstd")
