"""A disk that takes no more, at any byte: nothing that was written is lost, and the run goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tailrace.batch._appending import LineFile
from tailrace.batch._folder import OutputFolder
from tailrace.batch._inputs import open_source
from tailrace.batch._tables import write_table
from tailrace.errors import BatchWriteError

resource = pytest.importorskip("resource")

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tailrace.batch._rows import Row

ROWS = 6
URL = "/v1/chat/completions"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    body = {"messages": [{"role": "user", "content": "Say it"}]}
    path.write_text(
        "".join(
            json.dumps({"custom_id": f"r{number}", "url": URL, "body": body}) + "\n"
            for number in range(ROWS)
        ),
        "utf-8",
    )
    return path


@pytest.fixture
def limit() -> Iterator[int]:
    """The size that no file may pass, as a quota or a full disk would have it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield before[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def opened(given: Path) -> OutputFolder:
    out = given.with_name("out")
    return OutputFolder.open(out, open_source(given, folder=out))


def written(path: Path) -> list[str]:
    return [json.loads(each)["custom_id"] for each in path.read_bytes().splitlines()]


def write_all(folder: OutputFolder, rows: Iterable[Row]) -> None:
    for row in rows:
        folder.write_done(row, body={"text": "it"})


def test_a_disk_that_is_full_at_any_byte(given: Path, limit: int) -> None:
    with opened(given) as folder:
        first = next(folder.pending())
        folder.write_done(first, body={"text": "it"})
        size = folder.part.stat().st_size
    whole = folder.part.read_bytes()
    for most in range(size, 3 * size, 7):
        folder.part.write_bytes(whole)
        with opened(given) as folder:
            rows = list(folder.pending())
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, limit))
            with pytest.raises(BatchWriteError, match=r"part-.* cannot be written: File too large"):
                write_all(folder, rows)
            done = folder.done
            with pytest.raises(BatchWriteError, match="File too large"):
                folder.write_done(rows[-1], body={"text": "it"})  # it stays failed
            assert folder.part.stat().st_size == done * size  # what was torn is cut off at once
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with opened(given) as folder:
            assert (folder.done, folder.mended) == (done, 0)
            write_all(folder, folder.pending())
        assert sorted(written(folder.part)) == [f"r{number}" for number in range(ROWS)]


def test_a_disk_that_is_full_when_a_run_begins(given: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limit))
    with pytest.raises(BatchWriteError, match=r"run-.* cannot be written: File too large"):
        opened(given)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with opened(given) as folder:
        assert len(list(folder.pending())) == ROWS


def test_a_disk_that_is_full_for_what_comes_from_stdin(tmp_path: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limit))
    stdin = BufferedReader(BytesIO(b"x" * 100))
    with pytest.raises(BatchWriteError, match="input cannot be written: File too large"):
        open_source("-", folder=tmp_path / "out", stdin=stdin)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_disk_that_is_full_for_a_table(given: Path, limit: int) -> None:
    with opened(given) as folder:
        write_all(folder, folder.pending())
    table = given.with_name("table.csv")
    table.write_text("before", "utf-8")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limit))
    with pytest.raises(BatchWriteError, match=r"table\.csv cannot be written: File too large"):
        write_table(folder.path, open_source(given, folder=folder.path), table)
    assert table.read_text("utf-8") == "before"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_no_space_left() -> None:
    file = LineFile(Path("/dev/full"))
    for _ in range(2):
        with pytest.raises(BatchWriteError, match="No space left on device"):
            file.append(b"{}\n")
    file.close()


def test_another_process_is_refused_while_one_lives(given: Path) -> None:
    code = """
import sys
from tailrace.batch._folder import OutputFolder
from tailrace.batch._inputs import open_source
from tailrace.batch._tables import write_table
folder = OutputFolder.open(sys.argv[2], open_source(sys.argv[1], folder=sys.argv[2]))
print("open", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(given), str(given.with_name("out"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as first:  # noqa: S603 - ours
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        with pytest.raises(Exception, match="another run is writing"):
            opened(given)
        first.kill()
    opened(given).close()
