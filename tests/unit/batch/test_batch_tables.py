"""A run's output as a table."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import json
import os
import re
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailrace.batch._appending import replacing
from tailrace.batch._columns import COLUMNS
from tailrace.batch._folder import OutputFolder
from tailrace.batch._inputs import open_source
from tailrace.batch._tables import Table, check_table, write_table
from tailrace.errors import BatchFolderError, BatchWriteError, InvalidRequestError

if TYPE_CHECKING:
    from tailrace.batch._inputs import Source

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": 'It, "is"\nso', "reasoning_content": "Hm"},
            "finish_reason": "stop",
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": "Or not"},
            "finish_reason": "stop",
        },
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
CALL = {
    "choices": [
        {
            "message": {
                "content": None,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            "finish_reason": "tool_calls",
        }
    ]
}


@pytest.fixture
def given(tmp_path: Path) -> Source:
    path = tmp_path / "in.csv"
    path.write_text(
        "id,prompt,reference,text\n"
        + "".join(f"{row_id},Why {row_id}?,ref {row_id},t\n" for row_id in "abcdef"),
        "utf-8",
    )
    return open_source(path, folder=tmp_path / "out")


@pytest.fixture
def out(given: Source, tmp_path: Path) -> Path:
    """The output of a run in two shards that is not over."""
    folder = tmp_path / "out"
    with OutputFolder.open(folder, given, shard=(0, 2)) as first:
        a, c, _ = first.pending()
        first.write_done(c, body=CALL)
        first.write_done(a, body=ANSWER, request_id="req-1")
    with OutputFolder.open(folder, given, shard=(1, 2)) as second:
        b, d, f = second.pending()
        second.write_failed(
            f, code="timeout", message="too late", attempts=3, partial_text="It", status_code=504
        )
        second.write_done(b, body={"error": {"message": "no"}}, status_code=200)
        second.write_done(d, body={"object": "list", "data": [{"embedding": [0.5, 1.0]}]})
    with second.part.open("ab") as file:
        file.write(b'{"id":"batch_req_')  # which another process is writing
    return folder


def read_csv(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_table_of_what_people_want_most(given: Source, out: Path, tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    assert write_table(out, given, target) == Table(done=4, failed=1, missing=1)
    assert read_csv(target) == [
        ["id", "text", "error"],
        ["a", 'It, "is"\nso', ""],
        ["b", "", "the site reported an error: no"],
        ["c", "", ""],
        ["d", "", ""],
        ["f", "", "too late"],
    ]
    write_table(out, given, tmp_path / "table.tsv", columns=["id", "input.text"])
    assert read_csv(tmp_path / "table.tsv", "\t")[1] == ["a", "t"]


def test_all_columns(given: Source, out: Path, tmp_path: Path) -> None:
    target = tmp_path / "table.jsonl"
    columns = ["number", "reference", "texts", "reasoning", "tool_calls", "finish_reason", "model"]
    columns += ["total_tokens", "embedding", "request_id", "status_code"]
    columns += ["error_code", "attempts", "partial_text"]
    write_table(out, given, target, columns=columns)
    empty = dict.fromkeys(columns)
    call = {"id": "c", "name": "f", "arguments": "{}"}
    assert read_lines(target) == [
        {
            **empty,
            "number": 1,
            "reference": "ref a",
            "texts": ['It, "is"\nso', "Or not"],
            "reasoning": "Hm",
            "finish_reason": "stop",
            "model": "m",
            "total_tokens": 7,
            "request_id": "req-1",
            "status_code": 200,
        },
        {**empty, "number": 2, "reference": "ref b", "request_id": "", "status_code": 200},
        {
            **empty,
            "number": 3,
            "reference": "ref c",
            "tool_calls": [call],
            "finish_reason": "tool_calls",
            "request_id": "",
            "status_code": 200,
        },
        {
            **empty,
            "number": 4,
            "reference": "ref d",
            "embedding": [0.5, 1.0],
            "request_id": "",
            "status_code": 200,
        },
        {
            **empty,
            "number": 6,
            "reference": "ref f",
            "error_code": "timeout",
            "attempts": 3,
            "partial_text": "It",
            "request_id": "",
            "status_code": 504,
        },
    ]


def test_a_table_in_parquet(given: Source, out: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "table.parquet"
    columns = ["id", "reference", "total_tokens", "tool_calls", "embedding", "error"]
    write_table(out, given, target, columns=columns)
    table = parquet.read_table(target)
    assert [str(each) for each in table.schema.types] == [
        "string",
        "string",
        "int64",
        "string",
        "list<element: double>",
        "string",
    ]
    assert table.to_pydict() == {
        "id": ["a", "b", "c", "d", "f"],
        "reference": ["ref a", "ref b", "ref c", "ref d", "ref f"],
        "total_tokens": [7, None, None, None, None],
        "tool_calls": [None, None, '[{"id":"c","name":"f","arguments":"{}"}]', None, None],
        "embedding": [None, None, None, [0.5, 1.0], None],
        "error": [None, "the site reported an error: no", None, None, "too late"],
    }


def test_embeddings_as_base64(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("Why?\n", "utf-8")
    source = open_source(path, folder=tmp_path / "out", endpoint="/v1/embeddings")
    packed = base64.b64encode(struct.pack("<2f", 0.5, 2)).decode()
    with OutputFolder.open(tmp_path / "out", source) as folder:
        for row in folder.pending():
            folder.write_done(row, body={"object": "list", "data": [{"embedding": packed}] * 2})
    target = tmp_path / "table.jsonl"
    write_table(tmp_path / "out", source, target, columns=["embedding", "embeddings", "prompt"])
    assert read_lines(target) == [
        {"embedding": [0.5, 2.0], "embeddings": [[0.5, 2.0]] * 2, "prompt": "Why?"}
    ]


def test_tables_that_cannot_be(given: Source, out: Path, tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("before", "utf-8")
    with pytest.raises(InvalidRequestError, match="no column answer: there are id, number"):
        write_table(out, given, target, columns=["answer"])
    with pytest.raises(InvalidRequestError, match=r"table\.xml ends in none of \.csv, \.tsv"):
        write_table(out, given, tmp_path / "table.xml")
    with pytest.raises(BatchFolderError, match="holds no run"):
        write_table(tmp_path, given, target)
    other = tmp_path / "other.csv"
    other.write_text(given.path.read_text("utf-8") + "g,Why?,x,x\n", "utf-8")
    with pytest.raises(BatchFolderError, match=r"other\.csv is not the input of the run in .*: it"):
        write_table(out, open_source(other, folder=out), target)
    assert target.read_text("utf-8") == "before"
    assert not [each for each in tmp_path.iterdir() if each.name.endswith(".new")]


def test_a_table_takes_the_place_of_no_file_of_the_run(
    given: Source, out: Path, tmp_path: Path
) -> None:
    """However the input and the run's files are called."""
    before = {each: each.read_bytes() for each in (given.path, *out.iterdir())}
    (tmp_path / "link.csv").symlink_to(given.path)
    (tmp_path / "folder").symlink_to(out)
    for target in (given.path, tmp_path / "link.csv", tmp_path / "out" / ".." / "in.csv"):
        for work in (check_table, write_table):
            with pytest.raises(InvalidRequestError, match="is the input: a table would take its"):
                work(out, given, target)
    for name in ("part-00000-of-00001.jsonl", "errors-00001-of-00002.jsonl"):
        for folder in (out, tmp_path / "folder"):
            with pytest.raises(InvalidRequestError, match="is a file of the run: a table would"):
                write_table(out, given, folder / name)
    assert {each: each.read_bytes() for each in before} == before
    write_table(out, given, out / "table.csv")


def test_a_row_without_an_id_is_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    body = {"messages": [{"role": "user", "content": "Why?"}]}
    lines = [{"url": "/v1/chat/completions", "body": body}, {"custom_id": "a", "body": body}]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), "utf-8")
    source = open_source(path, folder=tmp_path / "out")
    OutputFolder.open(tmp_path / "out", source, skip_bad=True).close()
    target = tmp_path / "table.jsonl"
    columns = ["id", "input.custom_id", "messages"]
    assert write_table(tmp_path / "out", source, target, columns=columns).failed == 2
    assert [each["input.custom_id"] for each in read_lines(target)] == [None, "a"]


def asked(tmp_path: Path, text: str, *bodies: Any, name: str = "in.jsonl") -> Source:
    """An input whose rows have these answers."""
    path = tmp_path / name
    path.write_text(text, "utf-8")
    source = open_source(path, folder=tmp_path / "out")
    with OutputFolder.open(tmp_path / "out", source) as folder:
        for row, body in zip(folder.pending(), bodies, strict=True):
            folder.write_done(row, body=body)
    return source


def test_fields_of_any_type_are_text_in_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    fields = {"whole": 5, "large": 10**30, "flag": True, "part": 1.5, "list": [1], "none": None}
    source = asked(tmp_path, json.dumps({"prompt": "Why?", **fields}), ANSWER)
    target = tmp_path / "table.parquet"
    write_table(tmp_path / "out", source, target, columns=list(fields))
    assert parquet.read_table(target).to_pylist() == [
        {
            "whole": "5",
            "large": "1" + "0" * 30,
            "flag": "true",
            "part": "1.5",
            "list": "[1]",
            "none": None,
        }
    ]


@pytest.mark.parametrize(
    ("column", "body"),
    [
        ("total_tokens", {**ANSWER, "usage": {"prompt_tokens": 1, "total_tokens": 2**63}}),
        ("embedding", {"data": [{"embedding": "no base64"}]}),
        ("embedding", {"data": [{"embedding": [[1.0]]}]}),
    ],
)
def test_a_value_that_a_column_of_parquet_cannot_hold_is_refused(
    tmp_path: Path, column: str, body: Any
) -> None:
    pytest.importorskip("pyarrow")
    source = asked(tmp_path, '{"prompt": "Why?"}', body)
    with pytest.raises(InvalidRequestError, match=f"the column {column} is of the type .*jsonl"):
        write_table(tmp_path / "out", source, tmp_path / "table.parquet", columns=[column])
    write_table(tmp_path / "out", source, tmp_path / "table.jsonl", columns=[column])


def test_dates_stand_without_quotes(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(
        pa.table({"prompt": ["Why?"], "day": [dt.date(2026, 1, 2)], "raw": [b"x"]}),
        tmp_path / "in.parquet",
    )
    source = open_source(tmp_path / "in.parquet", folder=tmp_path / "out")
    with OutputFolder.open(tmp_path / "out", source) as folder:
        for row in folder.pending():
            folder.write_done(row, body=ANSWER)
    for name in ("table.csv", "table.tsv"):
        write_table(tmp_path / "out", source, tmp_path / name, columns=["day", "raw"])
    assert (tmp_path / "table.csv").read_text("utf-8") == "day,raw\n2026-01-02,eA==\n"


def test_half_characters_of_answers_can_be_read(tmp_path: Path) -> None:
    half = b'{"choices":[{"message":{"content":"a \\ud83d"}}]}'
    source = asked(tmp_path, '{"prompt": "Why?"}\n' * 2, half, half)
    part = tmp_path / "out" / "part-00000-of-00001.jsonl"
    first, second = part.read_bytes().splitlines(keepends=True)
    assert b"\\ud83d" not in first
    # As an earlier version wrote it.
    part.write_bytes(first + second.replace("\ufffd".encode(), b"\\ud83d"))
    write_table(tmp_path / "out", source, tmp_path / "table.jsonl", columns=["text", "texts"])
    assert read_lines(tmp_path / "table.jsonl") == [{"text": "a \ufffd", "texts": ["a \ufffd"]}] * 2


def test_shards_that_end_together_write_one_table(given: Source, out: Path, tmp_path: Path) -> None:
    """Each writes a file of its own, of which the last one stays."""
    target = tmp_path / "table.csv"
    write_table(out, given, target)
    expected = target.read_bytes()
    both = [replacing(target) for _ in range(2)]
    files = [each.__enter__() for each in both]
    for file in files:
        file.write(expected)
    for each in both:
        each.__exit__(None, None, None)
    assert target.read_bytes() == expected
    assert not list(tmp_path.glob(".table*"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder without files")
def test_a_folder_that_takes_no_file_is_named_before_the_run(given: Source, out: Path) -> None:
    with pytest.raises(BatchWriteError, match=r"/proc/self/table\.csv cannot be written"):
        check_table(out, given, Path("/proc/self/table.csv"))


@pytest.mark.skipif(sys.platform == "win32", reason="there nothing is asked about permissions")
def test_a_table_that_is_read_only_is_not_replaced(
    given: Source, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("before", "utf-8")
    table.chmod(0o444)
    if os.geteuid() == 0:  # to whom nothing is read-only
        monkeypatch.setattr(
            os, "access", lambda path, mode: not (path == table and mode == os.W_OK)
        )
    for work in (check_table, write_table):
        with pytest.raises(BatchWriteError, match=r"table\.csv cannot be written: it is read-only"):
            work(out, given, table)
    assert table.read_text("utf-8") == "before"


def test_the_guide_names_every_column() -> None:
    guide = Path(__file__).parents[3] / "docs" / "how-to" / "batch.md"
    table = guide.read_text("utf-8").partition("| columns | of |")[2].partition("## ")[0]
    named = re.findall(r"`(\w{1,40})`", table)
    assert sorted(named) == sorted(COLUMNS)
