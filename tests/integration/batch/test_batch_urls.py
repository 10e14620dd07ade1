"""Outputs and inputs at URLs: whole objects, which two processes never write twice."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.core import url_to_fs
from rows import chat, served, write_rows

from tailrace import batch
from tailrace.batch._beginning import open_input
from tailrace.batch._folder import OutputFolder
from tailrace.batch._objects import ObjectFolder
from tailrace.errors import (
    BatchFolderError,
    BatchInputError,
    BatchLockedError,
    InvalidRequestError,
    MissingRequirementsError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace.batch._inputs import Source

ROWS = 12


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder of this machine, whose files are linked, and one of a store, which has `create`."""
    return f"file://{tmp_path}/out" if request.param == "file" else f"memory://{tmp_path}/out"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    given = write_rows(tmp_path / "in.jsonl", [chat(f"say {number}") for number in range(ROWS)])
    return open_input(str(given), str(tmp_path))


def lines(url: str, kind: str) -> list[dict[str, Any]]:
    """The lines of all objects of a kind."""
    files, root = url_to_fs(url)
    found = sorted(each for each in files.ls(root, detail=False) if f"/{kind}-" in each)
    data = b"".join(files.cat_file(each) for each in found)
    return [json.loads(line) for line in data.splitlines()]


def ids(url: str, kind: str) -> list[str]:
    found = Counter(line["custom_id"] for line in lines(url, kind))
    assert max(found.values(), default=1) == 1, found.most_common(2)
    return sorted(found, key=lambda each: int(each.split()[1]))


def write(folder: ObjectFolder, count: int, *, failing: tuple[int, ...] = ()) -> None:
    for row, _ in zip(folder.pending(), range(count), strict=False):
        if row.number in failing:
            folder.write_failed(row, code="timeout", message="late")
        else:
            folder.write_done(row, body=b'{"text":"yes"}')


def die(folder: ObjectFolder) -> None:
    """End a folder as a dead process would: nothing more is written."""
    OutputFolder.close(folder)
    assert folder._chunks is not None
    folder._chunks.scratch.cleanup()


async def test_a_run_whose_input_and_output_are_urls(url: str, source: Source) -> None:
    async with served() as server:
        given = f"file://{source.path}"
        report = await batch.run(given, url, server.site())
        assert (report.rows, report.done, report.output) == (ROWS, ROWS, url)
        assert report.input == given
        again = await batch.run(given, url, server.site())
        assert (again.done, again.skipped, again.requests) == (0, ROWS, 0)
        with pytest.raises(BatchFolderError, match="holds a run in 1 shards") as refused:
            await batch.run(given, url, server.site(), shard=(0, 2))
    assert url in str(refused.value)
    assert ids(url, "part") == [f"row {number}" for number in range(ROWS)]


def test_what_is_in_no_chunk_yet_is_asked_again(url: str, source: Source) -> None:
    folder = ObjectFolder.open_at(url, source, chunk_seconds=0.0)
    write(folder, 4, failing=(2,))
    folder.sync()
    write(folder, 3)
    die(folder)
    folder = ObjectFolder.open_at(url, source)
    assert (folder.done, folder.failed) == (3, 1)
    write(folder, ROWS)
    folder.close()
    assert ids(url, "errors") == ["row 1"]
    assert len(ids(url, "part")) == ROWS - 1


@pytest.mark.parametrize("failing", [(), (7,), (1, 7)])
def test_who_was_taken_for_dead_writes_nothing_more(
    url: str, source: Source, failing: tuple[int, ...]
) -> None:
    lost = ObjectFolder.open_at(url, source, chunk_seconds=0.0)
    write(lost, 3, failing=failing)
    lost.sync()
    write(lost, 2)
    successor = ObjectFolder.open_at(url, source, chunk_seconds=0.0)
    write(successor, 5, failing=failing)
    successor.sync()
    for again in (lost.sync, lost.sync, lost.close):
        with pytest.raises(BatchLockedError, match="another process is writing shard 0/1"):
            again()
    write(successor, ROWS)
    successor.close()
    assert len(ids(url, "part")) + len(ids(url, "errors")) == ROWS
    assert not set(ids(url, "part")) & set(ids(url, "errors"))


def test_failures_on_their_way_are_in_the_chunk_or_never(url: str, source: Source) -> None:
    """A process stops between the two objects of a chunk, and goes on when it was given up."""
    lost = ObjectFolder.open_at(url, source, chunk_seconds=0.0)
    write(lost, 4, failing=(2, 4))
    assert lost._chunks is not None
    lost._chunks._create("part", b"")  # as if it were in the middle of `push`
    successor = ObjectFolder.open_at(url, source, chunk_seconds=0.0)
    assert (successor.done, successor.failed) == (0, 0)
    assert not lost._chunks.store.create(lost._chunks._name("errors", 0), b"late\n")
    write(successor, ROWS)
    successor.close()
    assert len(ids(url, "part")) == ROWS
    with pytest.raises(BatchLockedError):
        lost.close()


def test_failures_that_are_asked_again_leave_no_line(url: str, source: Source) -> None:
    for _ in range(2):
        folder = ObjectFolder.open_at(url, source, retry_failed=True)
        write(folder, ROWS, failing=(3, 5))
        folder.close()
        assert ids(url, "errors") == ["row 2", "row 4"]
    folder = ObjectFolder.open_at(url, source, retry_failed=True)
    assert lines(url, "errors") == []
    write(folder, ROWS)
    folder.close()
    assert lines(url, "errors") == []
    assert len(ids(url, "part")) == ROWS


def test_rows_that_cannot_be_sent_are_failures_there_too(url: str, tmp_path: Path) -> None:
    given = write_rows(tmp_path / "bad.jsonl", [chat("one"), chat("two")])
    given.write_bytes(given.read_bytes() + b"no JSON\n")
    source = open_input(str(given), url)
    with pytest.raises(BatchInputError, match=r"1 row of .* cannot be sent"):
        ObjectFolder.open_at(url, source)
    die(ObjectFolder.open_at(url, source, skip_bad=True))
    folder = ObjectFolder.open_at(url, source, skip_bad=True)
    assert (folder.done, folder.failed) == (0, 1)
    write(folder, 3)
    folder.close()
    assert [line["error"]["code"] for line in lines(url, "errors")] == ["invalid_row"]


def test_another_input_or_other_options_are_refused_there_too(
    url: str, source: Source, tmp_path: Path
) -> None:
    ObjectFolder.open_at(url, source, options={"model": "m"}).close()
    with pytest.raises(BatchFolderError, match="model was") as refused:
        ObjectFolder.open_at(url, source, options={"model": "n"})
    assert url in str(refused.value)
    other = open_input(str(write_rows(tmp_path / "other.jsonl", [chat("x")])), url)
    with pytest.raises(BatchFolderError, match="the input has changed"):
        ObjectFolder.open_at(url, other, options={"model": "m"})


def test_urls_that_cannot_be_read_are_named(tmp_path: Path, source: Source) -> None:
    with pytest.raises(InvalidRequestError, match="nowhere://x cannot be used"):
        ObjectFolder.open_at("nowhere://x", source)
    with pytest.raises(MissingRequirementsError, match="s3fs"):
        ObjectFolder.open_at("s3://bucket/out", source)
    with pytest.raises(BatchInputError, match=r"none\.jsonl cannot be read: there is none"):
        open_input(f"file://{tmp_path}/none.jsonl", str(tmp_path))
    with pytest.raises(InvalidRequestError, match="stdin is kept in the output folder"):
        open_input("-", f"file://{tmp_path}/out")
