"""Codings: any bytes, any cuts, same bytes; ends told from cuts; nothing is unpacked ahead."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import brotli  # type: ignore[import-untyped]
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.errors import ReplyBrokenError
from tailrace.transport._decoding import ACCEPT_ENCODING, PIECE, decoder_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _halves(
    pack: Callable[[bytes], bytes], between: bytes = b"", after: bytes = b""
) -> Callable[[bytes], bytes]:
    return lambda data: (
        pack(data[: len(data) // 2]) + between + pack(data[len(data) // 2 :]) + after
    )


_SKIPPED = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"  # RFC 8878, 3.1.2: a frame to be skipped

CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "the old name": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate, bare": ("deflate", _bare),
    "br": ("br", brotli.compress),
    "zstd": ("ZSTD ", zstd.compress),
    "two members": ("gzip", _halves(gzip.compress)),
    "two members and padding": ("gzip", _halves(gzip.compress, after=b"\0\0")),
    "two hundred empty members": (
        "gzip",
        lambda data: gzip.compress(b"") * 200 + gzip.compress(data),
    ),
    "a hundred empty members within": (
        "gzip, br",
        lambda data: brotli.compress(gzip.compress(b"") * 100 + gzip.compress(data)),
    ),
    "two frames": ("zstd", _halves(zstd.compress)),
    "two frames and one to skip": ("zstd", _halves(zstd.compress, between=_SKIPPED)),
    "one upon the other": ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
    "three deep": (
        "deflate, identity, zstd, gzip",
        lambda data: gzip.compress(zstd.compress(zlib.compress(data))),
    ),
}


def _decoded(coding: str, pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    decoder = decoder_for(coding)
    assert decoder is not None
    parts = []
    for piece in pieces:
        decoder.feed(piece)
        while (part := decoder.take()) != b"":
            assert part is None or len(part) <= 2 * PIECE
            parts.append(part or b"")
    return b"".join(parts), decoder.complete


def _text_or_end(coding: str, pieces: Iterable[bytes]) -> tuple[bytes, str]:
    decoder = decoder_for(coding)
    assert decoder is not None
    parts = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (part := decoder.take()) != b"":
                parts.append(part or b"")
    except ReplyBrokenError:
        return b"".join(parts), "fault"
    return b"".join(parts), "complete" if decoder.complete else "cut"


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("case", CODINGS)
@given(
    text=st.binary(max_size=300),
    times=st.integers(1, 2000),
    cuts=st.lists(st.integers(0, 10**6), max_size=8),
)
def test_cuts_do_not_matter(case: str, text: bytes, times: int, cuts: list[int]) -> None:
    coding, pack = CODINGS[case]
    text *= times
    assert _decoded(coding, _cut(pack(text), cuts)) == (text, True)


# Bytes behind the end that look like the begin of another member, and are not.
_LOOK_ALIKE = [
    b"",
    b"\x1f",
    b"\x1f\x8b",
    b"\x1f\x8b\x08",
    b"\x1f\x8b\x08\xff",
    b"\x28",
    b"\x28\xb5\x2f",
    b"\x28\xb5\x2f\xfe",
    b"\x50",
    b"\x5f\x2a\x4d",
    b"\x50\x2a\x4d\x19",
    b"\0",
    b"\r\n",
    b"<!-- cached -->",
]


@pytest.mark.parametrize("case", [case for case in CODINGS if "hundred" not in case])
@given(
    text=st.binary(max_size=300),
    times=st.integers(1, 20),
    behind=st.binary(min_size=1, max_size=40),
    like=st.sampled_from(_LOOK_ALIKE),
    cuts=st.lists(st.integers(0, 10**6), max_size=8),
)
@settings(max_examples=40)
def test_what_stands_behind_the_end_is_ignored(  # noqa: PLR0917
    case: str, text: bytes, times: int, behind: bytes, like: bytes, cuts: list[int]
) -> None:
    coding, pack = CODINGS[case]
    packed = pack(text * times)
    behind = like or behind
    if behind.startswith((b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")) and not like:
        behind = b"\0" + behind
    assert _decoded(coding, _cut(packed + behind, cuts)) == (text * times, True)


@pytest.mark.parametrize("case", [case for case in CODINGS if "hundred" not in case])
def test_what_stands_behind_the_end_is_ignored_at_every_cut(case: str) -> None:
    coding, pack = CODINGS[case]
    packed = pack(b"Hello") + b"\x1f\x8bX"
    for at in range(len(packed)):
        assert _decoded(coding, [packed[:at], packed[at:]]) == (b"Hello", True)
    assert _decoded(coding, [packed[at : at + 1] for at in range(len(packed))]) == (b"Hello", True)


@pytest.mark.parametrize("size", [10, 70_000, 600_000])
def test_the_end_of_a_long_brotli_body_is_found(size: int) -> None:
    """However much came before it: what is kept for another look is bounded."""
    text = Random(size).randbytes(size)
    packed = brotli.compress(text, quality=1) + b"cached"
    assert _decoded("br", [packed]) == (text, True)


@pytest.mark.parametrize("case", [case for case in CODINGS if "hundred" not in case])
@given(
    fault=st.binary(min_size=1, max_size=30),
    at=st.integers(0, 10**6),
    times=st.integers(1, 200),
    cuts=st.lists(st.integers(0, 10**6), max_size=8),
)
@settings(max_examples=25)
def test_what_stands_in_front_of_a_fault_is_given(
    case: str, fault: bytes, at: int, times: int, cuts: list[int]
) -> None:
    """In one read with it, too: as much as of single bytes."""
    coding, pack = CODINGS[case]
    packed = bytearray(pack(b"".join(b"%d of many words, " % number for number in range(times))))
    at %= len(packed)
    packed[at : at + len(fault)] = fault
    single = [bytes(packed[at : at + 1]) for at in range(len(packed))]
    given = [_text_or_end(coding, pieces) for pieces in (single, [bytes(packed)])]
    assert given[0] == given[1] == _text_or_end(coding, _cut(bytes(packed), cuts))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_the_text_in_front_of_a_fault_is_there(coding: str) -> None:
    packer: Any
    if coding == "zstd":
        packer, flush = zstd.ZstdCompressor(), zstd.ZstdCompressor.FLUSH_BLOCK
    else:
        bits = zlib.MAX_WBITS + (16 if coding == "gzip" else 0)
        packer, flush = zlib.compressobj(wbits=bits), zlib.Z_SYNC_FLUSH
    sent = packer.compress(b"Hello") + packer.flush(flush)
    assert _text_or_end(coding, [sent + b"\xff" * 20]) == (b"Hello", "fault")


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
def test_the_text_in_front_of_a_late_fault_is_there(coding: str) -> None:
    text = Random(coding).randbytes(600_000)
    packed = CODINGS[coding][1](text)[:-300_000] + b"\xff" * 20
    whole = packed + b"\xff" * 300_000
    given, how = _text_or_end(coding, [whole])
    assert how == "fault"
    assert len(given) > 150_000
    assert text.startswith(given[:150_000])
    assert _text_or_end(coding, _cut(whole, [*range(0, len(whole), 999)])) == (given, how)


def test_a_frame_may_begin_behind_much_output() -> None:
    """In one piece with the end of a frame whose output comes in several."""
    text = b"a" * 300_000
    assert _decoded("zstd", [zstd.compress(text) + zstd.compress(b"b")]) == (text + b"b", True)


@pytest.mark.parametrize("case", [case for case in CODINGS if "two" not in case])
@given(text=st.binary(min_size=1, max_size=300), end=st.integers(0, 10**6))
def test_a_cut_short_body_is_not_complete(case: str, text: bytes, end: int) -> None:
    coding, pack = CODINGS[case]
    packed = pack(text)
    short = packed[: 1 + end % (len(packed) - 1)]
    decoded, complete = _decoded(coding, [short])
    assert not complete
    assert text.startswith(decoded)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_nothing_at_all_is_complete(coding: str) -> None:
    assert _decoded(coding, []) == (b"", True)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize(
    "data", [b"<html><body>no, this is plain text</body></html>", b"\xff" * 64]
)
def test_what_makes_no_sense(coding: str, data: bytes) -> None:
    with pytest.raises(ReplyBrokenError):
        _decoded(coding, [data])


def test_a_wrong_checksum() -> None:
    packed = bytearray(gzip.compress(b"text"))
    packed[-5] ^= 1
    with pytest.raises(ReplyBrokenError):
        _decoded("gzip", [bytes(packed)])


def test_many_small_members_take_no_time_to_speak_of() -> None:
    assert _decoded("gzip", [gzip.compress(b"x") * 20_000]) == (b"x" * 20_000, True)


def test_a_zstd_window_that_no_browser_allows() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    packer = zstd.ZstdCompressor(options=options)
    with pytest.raises(ReplyBrokenError):
        _decoded("zstd", [packer.compress(b"x" * 100) + packer.flush()])


@pytest.mark.parametrize("coding", ["", "identity", "utf-8", "none", ",", "gzip2"])
def test_what_is_no_coding(coding: str) -> None:
    assert decoder_for(coding) is None


def test_too_many_codings() -> None:
    assert decoder_for(", ".join(["gzip"] * 5)) is not None
    with pytest.raises(ReplyBrokenError):
        decoder_for(", ".join(["gzip"] * 6))


def test_what_is_offered_can_be_decoded() -> None:
    assert ACCEPT_ENCODING == "gzip, deflate, br, zstd"
