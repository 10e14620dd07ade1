"""What a process leaves behind that is killed while it writes, and who takes it away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tailrace.batch._folder import OutputFolder
from tailrace.batch._hidden import hidden_file, remove_dead_files, scratch_folder
from tailrace.batch._inputs import open_source
from tailrace.batch._lock import take_lock
from tailrace.batch._objects import ObjectFolder
from tailrace.batch._store import Store
from tailrace.batch._tables import write_table

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nothing is taken away there")

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "Say it"}]}
WRITERS = {
    "table": """
from tailrace.batch._appending import replacing
with replacing(folder.parent / "table.csv") as file:
    file.write(b"x" * 10**6)
    wait()
""",
    "table in the folder": """
from tailrace.batch._appending import replacing
with replacing(folder / "table.csv") as file:
    wait()
""",
    "failures": """
from tailrace.batch._appending import replacing
with replacing(folder / "errors-00000-of-00001.jsonl") as file:
    wait()
""",
    "stdin": """
import io
from tailrace.batch._inputs import open_source
class Stdin(io.BytesIO):
    def read(self, size=-1):
        wait()
open_source("-", folder=folder, stdin=Stdin())
""",
    "object": """
from tailrace.batch._store import Store, _written
with _written(folder / "part-00000-of-00001-00000.jsonl", b"x"):
    wait()
""",
}
BEFORE = """
import sys
from pathlib import Path
folder = Path(sys.argv[1])
def wait():
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    lines = ({"custom_id": f"r{each}", "url": CHAT, "body": BODY} for each in range(3))
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), "utf-8")
    (tmp_path / "out").mkdir()
    return path


@contextmanager
def writing(code: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Have another process begin to write."""
    command = [sys.executable, "-c", BEFORE + code, str(folder)]
    pipe, own = subprocess.PIPE, {**os.environ, **environment}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=own) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        try:
            yield process
        finally:
            process.kill()


def hidden(tmp_path: Path) -> list[str]:
    return sorted(each.name for each in tmp_path.rglob(".*.new"))


def begin_again(given: Path) -> None:
    """Do what a next run does, from its input to its table."""
    out = given.with_name("out")
    source = open_source(given, folder=out)
    with OutputFolder.open(out, source):
        pass
    write_table(out, source, given.with_name("table.csv"))


@pytest.mark.parametrize("name", WRITERS)
def test_the_next_run_takes_away_what_a_dead_one_left_and_nothing_else(
    given: Path, tmp_path: Path, name: str
) -> None:
    own = [tmp_path / ".table.csv.new", tmp_path / ".other.csv.0123abcd.new"]
    for each in own:
        each.write_text("of somebody else")
    names = sorted(each.name for each in own)
    with writing(WRITERS[name], tmp_path / "out") as process:
        (living,) = set(hidden(tmp_path)) - set(names)
        begin_again(given)
        assert living in hidden(tmp_path), "another run's was taken away while it is written"
        process.kill()
        process.wait()
        assert living in hidden(tmp_path)
    begin_again(given)
    assert hidden(tmp_path) == names


def test_a_run_of_stdin_takes_away_what_a_dead_one_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing(WRITERS["stdin"], out) as process:
        process.kill()
        process.wait()
    assert len(hidden(tmp_path)) == 1
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", "/dev/stdin", str(pipe)], stdin=subprocess.PIPE) as process:  # noqa: S603, S607 - ours
        assert process.stdin is not None
        process.stdin.write(json.dumps({"prompt": "x"}).encode())
        process.stdin.close()
        open_source(pipe, folder=out)
    assert hidden(tmp_path) == []
    assert [each.name for each in out.iterdir()] == ["input"]


def test_a_store_of_files_is_cleaned_too(given: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    out = tmp_path / "out"
    with writing(WRITERS["object"], out) as process:
        Store(f"file://{out}")
        assert len(hidden(tmp_path)) == 1
        process.kill()
        process.wait()
    source = open_source(given, folder=tmp_path / "none")
    ObjectFolder.open_at(f"file://{out}", source).close()
    assert hidden(tmp_path) == []


def test_folders_of_dead_processes_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = """
from tailrace.batch._hidden import scratch_folder
scratch = scratch_folder()
Path(scratch.name, "input").write_bytes(b"x")
wait()
"""
    (tmp_path / "tailrace-of-others").mkdir()
    with writing(code, tmp_path, TMPDIR=str(tmp_path)) as process:
        with scratch_folder():
            assert len(list(tmp_path.iterdir())) == 3
        process.kill()
        process.wait()
    assert len(list(tmp_path.iterdir())) == 2
    with scratch_folder() as name:
        assert {each.name for each in tmp_path.iterdir()} == {
            "tailrace-of-others",
            Path(name).name,
        }


def test_a_file_that_was_taken_away_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that looks for dead files may come between a file's making and its lock."""
    calls: list[int] = []

    def late(descriptor: int) -> str:
        calls.append(descriptor)
        if len(calls) == 1:
            remove_dead_files(tmp_path)  # itself asks for the lock, and gets it
        return take_lock(descriptor)

    monkeypatch.setattr("tailrace.batch._hidden.take_lock", late)
    with hidden_file(tmp_path / "table.csv") as (new, file):
        file.write(b"x")
        file.flush()
        assert new.read_bytes() == b"x"
        assert len(calls) == 3
        new.replace(tmp_path / "table.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]
