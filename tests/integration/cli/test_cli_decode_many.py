"""``tailrace decode`` over many files:

JSON lines or a folder of texts, what it says of the rest, its exit codes.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cli_process import finish, interrupt, read_until, run_process, run_without_reader, start

from tailrace._cli import run as run_here
from tailrace._cli.decode import below

WHOLE = (
    b'data: {"id":"c1","choices":[{"delta":{"content":"whole \xc3\xa9\\n"}}]}\n\ndata: [DONE]\n\n'
)
USAGE = b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'
STOPPED = b'data: {"choices":[{"delta":{"content":"stopped"},"finish_reason":"stop"}]}\n\n' + USAGE
BROKEN_OFF = WHOLE[: WHOLE.index(b"data: [DONE]")]
REFUSED = b'data: {"error":{"message":"no \\u001b[31m","code":"c"}}\n\n'
FILES = {
    "whole": WHOLE,
    "stopped.gz": gzip.compress(STOPPED),
    "broken off": BROKEN_OFF,
    "refused": REFUSED,
    "damaged.gz": gzip.compress(WHOLE)[:-4],
    "nothing.gz": gzip.compress(WHOLE)[:4],
}
Run = Callable[..., tuple[int, str, str]]
NOTHING: dict[str, Any] = {
    "finish_reason": None,
    "usage": None,
    "ids": {},
    "error": None,
    "bad_events": 0,
    "tool_calls": [],
    "reasoning": "",
    "refusal": "",
    "passed_over": {},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with all of the files in it."""
    monkeypatch.chdir(tmp_path)
    for name, data in FILES.items():
        Path(name).write_bytes(data)
    return tmp_path


@pytest.fixture
def decode(capfd: pytest.CaptureFixture[str], folder: Path) -> Run:  # noqa: ARG001
    """Run the command in this process: its exit code, stdout, and stderr."""

    def decode(*arguments: str) -> tuple[int, str, str]:
        code = run_here(["decode", *arguments])
        sys.stdout.flush()
        return code, *capfd.readouterr()

    return decode


def summary(stderr: str) -> str:
    """The last line, without the time that it took."""
    return stderr.splitlines()[-1].rpartition(" in ")[0].removeprefix("tailrace: ")


def test_a_json_line_a_file_in_their_order(decode: Run) -> None:
    code, stdout, stderr = decode("stopped.gz", "whole")
    assert [json.loads(line) for line in stdout.splitlines()] == [
        {
            **NOTHING,
            "file": "stopped.gz",
            "text": "stopped",
            "end": "stopped",
            "finish_reason": "stop",
            "usage": {
                "prompt_tokens": 1,
                "completion_tokens": 2,
                "total_tokens": 3,
                "cached_tokens": None,
                "reasoning_tokens": None,
            },
            "events": 2,
        },
        {
            **NOTHING,
            "file": "whole",
            "text": "whole é\n",
            "end": "done",
            "ids": {"id": "c1"},
            "events": 2,
        },
    ]
    size = len(STOPPED) + len(WHOLE)
    assert code == 0
    assert summary(stderr) == f"2 replies: 1 done, 1 stopped, 0 truncated, 0 failed; {size} bytes"
    assert len(stderr.splitlines()) == 1


def test_a_reply_that_failed_says_so_in_its_line_and_is_3(decode: Run) -> None:
    code, stdout, stderr = decode("--json", "refused")
    line = json.loads(stdout)
    message = "the site reported an error: no \x1b[31m"
    assert line["error"] == {
        "type": "StreamError",
        "kind": "upstream",
        "message": message,
        "code": "c",
    }
    assert (code, line["end"], line["text"]) == (3, "failed", "")
    assert summary(stderr).startswith("1 reply: 0 done, 0 stopped, 0 truncated, 1 failed; ")


def test_what_cannot_be_read_is_named_and_is_2_and_the_rest_go_on(
    decode: Run,
) -> None:
    code, stdout, stderr = decode("nothing.gz", "damaged.gz", "nowhere", "broken off", "whole")
    assert [(line["file"], line["end"]) for line in map(json.loads, stdout.splitlines())] == [
        ("damaged.gz", "done"),
        ("broken off", "truncated"),
        ("whole", "done"),
    ]
    assert code == 2
    assert stderr.splitlines()[:-1] == [
        "tailrace: nothing.gz: its gzip data breaks off",
        "tailrace: damaged.gz: its gzip data breaks off",
        "tailrace: nowhere: No such file or directory",
    ]
    assert summary(stderr).startswith(
        "3 replies: 2 done, 0 stopped, 1 truncated, 0 failed; 3 files with problems; "
    )


CALL = b'{"index":0,"id":"a","function":{"name":"tide","arguments":"{}"}}'
MORE = b"data: %b\n\n" % (
    b'{"choices":[{"delta":{"content":"Hi","reasoning_content":"Hm.","refusal":"No.",'
    b'"annotations":[{}],"tool_calls":['
    b"%b]}}]}" % CALL
)


def test_what_is_no_text_is_in_its_line_and_told_where_texts_alone_are_written(
    decode: Run, folder: Path
) -> None:
    (folder / "more").write_bytes(MORE + b"data: [DONE]\n\n")
    line = json.loads(decode("--json", "more")[1])
    assert line["tool_calls"] == [{"id": "a", "name": "tide", "arguments": "{}", "index": 0}]
    assert (line["text"], line["reasoning"], line["refusal"]) == ("Hi", "Hm.", "No.")
    assert line["passed_over"] == {"citation": 1}
    code, _, stderr = decode("--output", "texts", "more", "whole")
    assert code == 0
    assert "0 failed; 1 with more than text, which --json shows; " in stderr


def test_a_folder_of_texts(decode: Run, folder: Path) -> None:
    code, stdout, stderr = decode(
        "--output", "out/of", "whole", str(folder / "whole"), "../../x/../whole", "refused"
    )
    assert (code, stdout) == (2, "")
    below = Path("out/of", *folder.parts[1:])
    texts = {
        path.as_posix(): path.read_bytes() for path in Path("out").rglob("*") if path.is_file()
    }
    assert texts == {
        "out/of/whole.txt": "whole é\n".encode(),
        f"{below.as_posix()}/whole.txt": "whole é\n".encode(),
        "out/of/refused.txt": b"",
    }
    assert stderr.splitlines()[:-1] == [
        "tailrace: ../../x/../whole: No such file or directory",
        "tailrace: refused: the site reported an error: no \\u001b[31m",
    ]


def test_no_file_is_written_over(decode: Run) -> None:
    Path("out").mkdir()
    Path("out/whole.txt").write_text("mine", "utf-8")
    code, _, stderr = decode("--output", "out", "whole", "./stopped.gz")
    assert code == 2
    assert stderr.splitlines()[0] == f"tailrace: whole: {Path('out/whole.txt')}: File exists"
    assert Path("out/whole.txt").read_text("utf-8") == "mine"
    assert Path("out/stopped.gz.txt").read_text("utf-8") == "stopped"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("../../up", "up.txt"),
        ("/top/of/all", "top/of/all.txt"),
        (r"..\..\up", "up.txt"),
        (r"C:\windows", "C_/windows.txt"),
        ("12:30?.sse", "12_30_.sse.txt"),
        ("a/../b/./c", "a/b/c.txt"),
        ("line\nend", "line_end.txt"),
    ],
)
def test_a_text_is_always_below_the_folder(name: str, written: str) -> None:
    assert below(name) == Path(written)


def test_folders_are_taken_with_r_only(decode: Run) -> None:
    Path("sub").mkdir()
    Path("sub/one").write_bytes(WHOLE)
    code, stdout, stderr = decode("whole", "sub")
    assert (code, stdout) == (2, "")
    assert "sub: Is a directory; -r takes the files in it" in stderr
    code, stdout, _ = decode("-r", "sub", "whole")
    assert (code, [json.loads(line)["file"] for line in stdout.splitlines()]) == (
        0,
        [str(Path("sub/one")), "whole"],
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-", "whole"], "stdin (-) is one reply, and stands alone"),
        (["--json"], "there are no files"),
        (["--json", "--output", "out", "whole"], "--json and --output exclude each other"),
        (["--output", "whole", "whole"], "is a file"),
        (["--threads", "0", "whole", "whole"], "0 is not in the range"),
        (["--max-reply-bytes", "0", "whole", "whole"], "0 is not in the range"),
    ],
)
def test_wrong_usage_is_2(decode: Run, arguments: list[str], says: str) -> None:
    code, stdout, stderr = decode(*arguments)
    assert (code, stdout) == (2, "")
    assert says in stderr


def test_options_are_for_all_of_them(decode: Run) -> None:
    options = ("--dialect", "text", "--threads", "1", "--max-reply-bytes", str(len(REFUSED)))
    code, stdout, stderr = decode(*options, "whole", "refused")
    assert code == 2
    assert [json.loads(line)["text"] for line in stdout.splitlines()] == [REFUSED.decode()]
    assert stderr.startswith(
        f"tailrace: whole: it holds more than {len(REFUSED)} bytes, the limit of a reply\n"
    )


def test_one_file_is_unpacked_too(decode: Run) -> None:
    assert decode("stopped.gz") == (0, "stopped\n", "")
    assert decode("damaged.gz") == (0, "whole é\n", "")  # it ended before the damage
    Path("cut.gz").write_bytes(gzip.compress(WHOLE[:10] * 1_000 + WHOLE)[:40])
    assert decode("cut.gz") == (2, "", "tailrace: cut.gz: its gzip data breaks off\n")


def test_text_in_front_of_a_damaged_place_is_printed(decode: Run) -> None:
    packed = bytearray(gzip.compress(BROKEN_OFF * 9_000))
    packed[-8] ^= 0xFF  # of the sum of all
    Path("torn.gz").write_bytes(packed)
    problem = "tailrace: torn.gz: its gzip data makes no sense: "
    code, stdout, stderr = decode("torn.gz")
    assert (code, stdout) == (2, "whole é\n" * 9_000)
    assert stderr.startswith(problem)
    code, stdout, stderr = decode("--json", "torn.gz")
    assert (code, json.loads(stdout)["text"]) == (2, "whole é\n" * 9_000)
    assert stderr.startswith(problem)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_a_name_that_is_no_text(decode: Run, folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_bytes(WHOLE)
    name = os.fsdecode(b"\xff")
    _, stdout, _ = decode("--json", name)
    assert json.loads(stdout)["file"] == r"\xff"
    code, _, stderr = decode("--output", "out", name, name)
    assert code == 2
    assert stderr.startswith(r"tailrace: \udcff: out/\udcff.txt: File exists")


async def test_the_command_as_its_users_start_it(folder: Path) -> None:
    end = await run_process("decode", "-r", str(folder))
    assert end.code == 2
    assert len(end.stdout.splitlines()) == 5


async def test_a_reader_that_is_not_there_is_141(folder: Path) -> None:
    end = await run_without_reader("decode", str(folder / "whole"), str(folder / "whole"))
    assert (end.code, end.stderr) == (141, "")


async def test_ctrl_c_while_there_is_more_to_do(folder: Path) -> None:
    (folder / "many").mkdir()
    (folder / "many" / "0").write_bytes(b"x" * 2**20)
    for number in range(1, 100):
        os.link(folder / "many" / "0", folder / "many" / str(number))
    process = await start("decode", "--dialect", "text", "-r", str(folder / "many"))
    await read_until(process, '"text"')
    end = await interrupt(process)
    assert (end.code, end.stderr.strip()) == (130, "interrupted")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_a_terminal_sees_a_bar(folder: Path) -> None:
    import pty  # noqa: PLC0415

    terminal, inner = pty.openpty()
    process = await start(
        "decode", "--output", str(folder / "out"), "-r", str(folder), stderr=inner
    )
    os.close(inner)
    end, shown = await asyncio.gather(finish(process), asyncio.to_thread(all_of, terminal))
    assert end.code == 2
    assert b"\xe2\x94\x81" in shown  # the bar
    assert b"nothing.gz: its gzip data breaks off" in shown
    assert b"5 replies: 2 done, 1 stopped, 1 truncated, 1 failed; 2 files with problems" in shown


def all_of(terminal: int) -> bytes:
    """What is shown on a terminal until its other end is closed."""
    shown = b""
    with open(terminal, "rb", buffering=0) as file, suppress(OSError):
        while data := file.read(4096):
            shown += data
    return shown
