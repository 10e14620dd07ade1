"""Kept replies: what is found, what is unpacked, in which order, within which bounds; and what is
said of the rest.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import sys
import tracemalloc
import zlib
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import IO, TYPE_CHECKING, Any

import pytest

from tailrace._cli import archives
from tailrace._cli.archives import Decoded, File, decode_files, find, pieces
from tailrace.errors import ArchiveError, InvalidRequestError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REPLY = b'data: {"choices":[{"delta":{"content":"a mill"}}]}\n\ndata: [DONE]\n\n'
HALF = len(REPLY) // 2
SKIPPABLE = b"\x5f\x2a\x4d\x18\x03\x00\x00\x00abc"


def packed_in_two(pack: Callable[[bytes], bytes]) -> bytes:
    return pack(REPLY[:HALF]) + pack(REPLY[HALF:])


def with_window(log: int) -> bytes:
    """A zstd frame that asks for 2**log bytes of memory."""
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    return packer.compress(REPLY, zstd.ZstdCompressor.FLUSH_BLOCK) + packer.flush()


FORMS: dict[str, bytes] = {
    "plain": REPLY,
    "gzip": gzip.compress(REPLY),
    "gzip, two members": packed_in_two(gzip.compress),
    "gzip, padded": gzip.compress(REPLY) + b"\0" * 100,
    "zstd": zstd.compress(REPLY),
    "zstd, two frames": packed_in_two(zstd.compress),
    "zstd, a window of 128 MiB": with_window(27),
    "zstd, a frame to be skipped": SKIPPABLE + zstd.compress(REPLY),
}
BROKEN: dict[str, tuple[bytes, bytes, str]] = {
    "gzip, cut": (gzip.compress(REPLY)[:-9], REPLY, "its gzip data breaks off"),
    "gzip, head alone": (gzip.compress(REPLY)[:5], b"", "its gzip data breaks off"),
    "gzip, wrong sum": (
        gzip.compress(REPLY)[:-8] + b"12345678",
        REPLY,
        "its gzip data makes no sense: .*incorrect data check",
    ),
    "gzip, nonsense": (b"\x1f\x8bnonsense, and more of it", b"", "its gzip data makes no sense"),
    "gzip, second member cut": (
        packed_in_two(gzip.compress)[:-9],
        REPLY,
        "its gzip data breaks off",
    ),
    "gzip, something else behind": (
        gzip.compress(REPLY) + b"else",
        REPLY,
        "its gzip data makes no sense",
    ),
    "zstd, head alone": (zstd.compress(REPLY)[:5], b"", "its zstd data breaks off"),
    "zstd, nonsense": (b"\x28\xb5\x2f\xfdnonsense", b"", "its zstd data makes no sense"),
    "zstd, a window of 256 MiB": (with_window(28), b"", "its zstd data makes no sense: .*memory"),
    "zstd, second frame cut": (
        zstd.compress(REPLY[:HALF]) + zstd.compress(REPLY)[:5],
        REPLY[:HALF],
        "its zstd data breaks off",
    ),
}


def unpacked(file: IO[bytes], most: int = 1_000) -> bytes:
    return b"".join(pieces(file, most))


def decoded(folder: Path, **options: object) -> list[Decoded]:
    return [each for batch in decode_files(find([str(folder)]), **options) for each in batch]  # type: ignore[arg-type]


# -- finding ---------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_files_are_found_by_name_below_folders(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/z/9", "a/y", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * len(name))
    (tmp_path / "link").symlink_to(tmp_path / "c")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    found = [
        (file.name.removeprefix(f"{tmp_path}/"), file.size, file.problem)
        for file in find([str(tmp_path)])
    ]
    expected = [("c", 1), ("link", 1), ("a/y", 3), ("a/z/9", 5), ("b/1", 3), ("b/2", 3)]
    assert found == [(name, size, None) for name, size in expected]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_what_is_no_file_is_said_in_its_place(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    places = [str(tmp_path / name) for name in ("pipe", "file", "nowhere", "file/below")]
    assert [file.problem for file in find(places)] == [
        "it is neither a file nor a folder",
        None,
        "No such file or directory",
        "Not a directory",
    ]


# -- unpacking -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("most", [1, 7, 1_000])
def test_every_form_is_unpacked_in_pieces_of_any_size(form: str, most: int) -> None:
    assert unpacked(io.BytesIO(FORMS[form]), most) == REPLY
    assert all(0 < len(piece) <= most for piece in pieces(io.BytesIO(FORMS[form]), most))


@pytest.mark.parametrize("form", BROKEN)
def test_what_came_before_the_break_comes_before_the_error(form: str) -> None:
    data, before, problem = BROKEN[form]
    came: list[bytes] = []
    with pytest.raises(ArchiveError, match=problem):
        came.extend(pieces(io.BytesIO(data), 1_000))
    assert b"".join(came) == before


def until_fault(data: bytes, coding: str) -> bytes:
    """What a library gives that is fed a byte at a time, and so loses nothing at its fault."""
    gzipped, frame = zlib.decompressobj(31), zstd.ZstdDecompressor()
    parts: list[bytes] = []
    with suppress(zlib.error, zstd.ZstdError):
        for at in range(len(data)):
            byte = data[at : at + 1]
            parts.append(gzipped.decompress(byte) if coding == "gzip" else frame.decompress(byte))
    return b"".join(parts)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": lambda data: zstd.compress(
        data, options={zstd.CompressionParameter.checksum_flag: True}
    ),
}


@pytest.mark.parametrize(
    ("size", "share", "members", "most"),
    [
        (30_000, 0.01, 0, 1_000),
        (30_000, 0.5, 1, 100),
        (30_000, 0.97, 3, 100_000),
        (300_000, 0.6, 0, 100_000),
        (300_000, 0.97, 2, 10_000),
    ],
)
@pytest.mark.parametrize("coding", PACKED)
def test_all_in_front_of_a_damaged_place_is_given(
    coding: str, size: int, share: float, members: int, most: int
) -> None:
    pack, text = PACKED[coding], Random(7).randbytes(size).hex().encode()
    damaged = bytearray(pack(text))
    start = int(len(damaged) * share)
    damaged[start : start + 9] = bytes(byte ^ 0xA5 for byte in damaged[start : start + 9])
    before = until_fault(bytes(damaged), coding)
    came: list[bytes] = []
    with pytest.raises(ArchiveError, match=f"its {coding} data makes no sense"):
        came.extend(pieces(io.BytesIO(pack(REPLY) * members + damaged), most))
    assert b"".join(came) == REPLY * members + before


def test_a_file_is_taken_from_where_it_stands() -> None:
    file = io.BytesIO(b"a line\n" + FORMS["gzip"])
    assert file.readline() == b"a line\n"
    assert unpacked(file) == REPLY


class Boasting(io.FileIO):
    """As a pipe is on Windows."""

    def seekable(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [io.FileIO, Boasting])
def test_a_stream_that_cannot_go_back_is_left_alone(kind: type[io.FileIO]) -> None:
    read, write = os.pipe()
    os.write(write, FORMS["gzip"])
    os.close(write)
    with kind(read) as pipe:
        assert unpacked(pipe) == FORMS["gzip"]


@pytest.mark.parametrize(
    "data", [b"", b"\x1f", b"\x28\xb5\x2f", b"\x4f\x2a\x4d\x18", b"\x60\x2a\x4d\x18"]
)
def test_what_begins_almost_like_something_compressed_is_plain(data: bytes) -> None:
    assert unpacked(io.BytesIO(data)) == data


# -- decoding --------------------------------------------------------------------------------------


def test_every_form_is_decoded_whatever_its_name(tmp_path: Path) -> None:
    for number, data in enumerate(FORMS.values()):
        (tmp_path / f"{number}.gz").write_bytes(data)
    results = decoded(tmp_path)
    assert [each.problem for each in results] == [None] * len(FORMS)
    assert [each.size for each in results] == [len(REPLY)] * len(FORMS)
    assert [each.reply and (each.reply.text, each.reply.end) for each in results] == [
        ("a mill", "done")
    ] * len(FORMS)


@pytest.mark.parametrize("form", BROKEN)
def test_a_broken_file_gives_what_came_and_the_rest_go_on(tmp_path: Path, form: str) -> None:
    data, before, problem = BROKEN[form]
    (tmp_path / "1").write_bytes(data)
    (tmp_path / "2").write_bytes(REPLY)
    broken, whole = decoded(tmp_path)
    assert broken.problem is not None
    assert re.match(problem, broken.problem)
    assert (broken.reply is None) == (before == b"")
    assert broken.size == len(before)
    if broken.reply is not None:
        assert broken.reply.end == ("done" if before == REPLY else "truncated")
    assert whole.reply is not None
    assert (whole.problem, whole.reply.text) == (None, "a mill")


def test_an_empty_file_is_an_empty_reply(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (empty,) = decoded(tmp_path)
    assert empty.reply is not None
    assert empty.reply.error is not None
    assert (empty.problem, empty.reply.error.kind) == (None, "empty")


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    files = [
        File(str(tmp_path / "nowhere"), 10),
        File("given", problem="it is neither a file nor a folder"),
    ]
    (batch,) = decode_files(files)
    assert [(each.reply, each.problem) for each in batch] == [
        (None, "No such file or directory"),
        (None, "it is neither a file nor a folder"),
    ]


@pytest.mark.parametrize("form", FORMS)
def test_the_limit_of_a_reply_is_of_its_bytes_unpacked(tmp_path: Path, form: str) -> None:
    (tmp_path / "file").write_bytes(FORMS[form])
    (within,) = decoded(tmp_path, max_reply_bytes=len(REPLY))
    assert within.problem is None
    (beyond,) = decoded(tmp_path, max_reply_bytes=len(REPLY) - 1)
    assert (beyond.reply, beyond.size) == (None, 0)
    assert beyond.problem == f"it holds more than {len(REPLY) - 1} bytes, the limit of a reply"


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_order_is_kept_over_groups_and_batches(tmp_path: Path, threads: int | None) -> None:
    for number in range(300):
        pad = b"\n" * (3 * 2**20) if number % 50 == 0 else b""
        (tmp_path / f"{number:03}").write_bytes(
            zstd.compress(pad + REPLY.replace(b"a mill", b"%d" % number))
        )
    batches = list(decode_files(find([str(tmp_path)]), threads=threads, dialect="openai"))
    texts = [each.reply and each.reply.text for batch in batches for each in batch]
    assert texts == [str(number) for number in range(300)]


def test_options_are_those_of_decode_many(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"the text")
    (text,) = decoded(tmp_path, dialect="text", failure_tail="text")
    assert text.reply is not None
    assert (text.reply.text, text.reply.end) == ("the ", "failed")
    with pytest.raises(InvalidRequestError):
        decoded(tmp_path, dialect="morse")


# -- bounds ----------------------------------------------------------------------------------------


def peak_of(folder: Path, **options: object) -> int:
    """The most bytes that Python held at once beyond what it held before."""
    tracemalloc.start()
    try:
        for _ in decode_files(find([str(folder)]), threads=2, **options):  # type: ignore[arg-type]
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_takes_no_more_than_its_limit(tmp_path: Path) -> None:
    packer = zstd.ZstdCompressor()
    with (tmp_path / "bomb").open("wb") as bomb:
        for _ in range(256):
            bomb.write(packer.compress(b"\n" * 2**20))
        bomb.write(packer.flush())
    assert (tmp_path / "bomb").stat().st_size < 2**18
    assert peak_of(tmp_path, max_reply_bytes=2**22) < 2**24


MAX_HELD = 2 * 40 * 2**20
"""What two threads may hold."""


def test_files_are_not_held_all_at_once(tmp_path: Path) -> None:
    """256 MiB of replies, of which the readers and the batch hold the less part."""
    data = zstd.compress(b":" + b"x" * 2**22)
    for number in range(64):
        (tmp_path / str(number)).write_bytes(data)
    assert peak_of(tmp_path) < MAX_HELD


def test_texts_count_among_what_is_held(tmp_path: Path) -> None:
    """Replies that are all text, and less than a batch each: two of them are more than one."""
    data = zstd.compress(b"x" * 7 * 2**20)
    for number in range(14):
        (tmp_path / str(number)).write_bytes(data)
    assert peak_of(tmp_path, dialect="text") < MAX_HELD


@pytest.mark.parametrize("pack", [zstd.compress, bytes])
def test_of_large_replies_the_one_that_is_waited_for_is_held(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    size = 36 * 2**20
    data = pack(b":" + b"x" * size)
    for number in range(4):
        (tmp_path / str(number)).write_bytes(data)
    assert peak_of(tmp_path) < MAX_HELD + size


def test_a_failure_while_reading_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        (tmp_path / str(number)).write_bytes(REPLY)

    def fail(*_: object) -> Iterator[bytes]:
        raise MemoryError

    monkeypatch.setattr(archives, "pieces", fail)
    with pytest.raises(MemoryError):
        decoded(tmp_path)


@pytest.mark.parametrize(
    "frame",
    [
        zstd.compress(b""),
        zstd.compress(b"", options={zstd.CompressionParameter.checksum_flag: 1}),
        zstd.ZstdCompressor().flush(),
        zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1}).flush(),
        b"\x50\x2a\x4d\x18\0\0\0\0",
    ],
    ids=["known size", "known size, sum", "stream", "stream, sum", "to be skipped"],
)
def test_frames_of_nothing_are_passed_over(frame: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def made_and_counted(most: int) -> Any:
        made.append(coding.reader(most))
        return made[-1]

    coding = archives._ZSTD
    monkeypatch.setattr(archives, "_ZSTD", replace(coding, reader=made_and_counted))
    count = 2**20 // len(frame)
    data = frame * count + zstd.compress(REPLY) + frame * count
    assert unpacked(io.BytesIO(data), 2**20) == REPLY
    # One for the reply, and one for each frame that the end of a read has cut.
    assert len(made) <= 1 + len(data) // archives._PIECE


def test_leaving_early_stops_the_readers(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}").write_bytes(REPLY)
    batches = decode_files(find([str(tmp_path)]), threads=2)
    next(batches)
    batches.close()
    assert list(batches) == []
