"""A batch's files, whatever is in them and wherever a run breaks off."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace._native import _row_numbers
from tailrace.batch._folder import OutputFolder
from tailrace.batch._inputs import open_source, records
from tailrace.batch._inputs.source import Overlong
from tailrace.batch._lines import one_line_json
from tailrace.batch._rows import Row
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 6
CHAT = "/v1/chat/completions"

texts = st.text(st.characters(exclude_categories=["Cs"]))
finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
steps = st.one_of(
    st.tuples(st.just("done"), st.integers(1, ROWS)),
    st.tuples(st.just("failed"), st.integers(1, ROWS)),
    st.tuples(st.just("start"), st.just(0)),
    st.tuples(st.just("retry"), st.just(0)),
    st.tuples(st.just("cut part"), st.integers(0, 200)),
    st.tuples(st.just("cut errors"), st.integers(0, 200)),
    st.tuples(st.just("tear part"), st.integers(1, 100)),
    st.tuples(st.just("tear errors"), st.integers(1, 100)),
)


class History:
    """A run and what should have come of it, step by step."""

    def __init__(self, path: Path) -> None:
        self.given = path / "in.jsonl"
        body = {"messages": [{"role": "user", "content": "Say it"}]}
        lines = ({"custom_id": f"r{n}", "url": CHAT, "body": body} for n in range(1, ROWS + 1))
        self.given.write_text("\n".join(map(json.dumps, lines)), "utf-8")
        self.done: list[int] = []
        self.failed: list[int] = []
        self.folder = self.opened()

    def opened(self, *, retry: bool = False) -> OutputFolder:
        out = self.given.with_name("out")
        source = open_source(self.given, folder=out)
        return OutputFolder.open(out, source, retry_failed=retry)

    def take(self, step: str, number: int) -> None:
        row = Row(number, f"r{number}", CHAT, b"{}")
        if step in {"done", "failed"} and number in self.done + self.failed:
            with pytest.raises(InvalidRequestError, match="has its line already"):
                self.folder.write_done(row, body=b"{}")
        elif step == "done":
            self.folder.write_done(row, body={"text": "it"})
            self.done.append(number)
        elif step == "failed":
            self.folder.write_failed(row, code="timeout", message="late")
            self.failed.append(number)
        else:
            self.start(step, number)

    def start(self, step: str, size: int) -> None:
        """Start again, after the last one ended, or broke off by so many bytes."""
        self.folder.close()
        kind, _, file = step.partition(" ")
        path, rows = self.folder.part, self.done
        if file == "errors":
            path, rows = self.folder.errors, self.failed
        if kind == "cut":
            data = path.read_bytes()
            path.write_bytes(data[: max(len(data) - size, 0)])
            del rows[path.read_bytes().count(b"\n") :]
        elif kind == "tear":
            with path.open("ab") as opened:
                opened.write(b'{"id":"batch_req_12345678"}'[:size].ljust(size, b"x"))
        self.folder = self.opened(retry=kind == "retry")
        if kind == "retry":
            self.failed.clear()

    def check(self) -> None:
        assert (self.folder.done, self.folder.failed) == (len(self.done), len(self.failed))
        left = {row.number for row in self.folder.pending()}
        assert left == set(range(1, ROWS + 1)).difference(self.done, self.failed)
        for path, rows in ((self.folder.part, self.done), (self.folder.errors, self.failed)):
            lines = [json.loads(line) for line in path.read_bytes().splitlines()]
            assert [each["custom_id"] for each in lines] == [f"r{number}" for number in rows]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


few = settings(max_examples=25)  # each waits for the disk


@few
@given(st.lists(steps, max_size=12))
def test_each_row_has_one_line_whatever_happens(
    folders: Path, happening: list[tuple[str, int]]
) -> None:
    with TemporaryDirectory(dir=folders) as path:
        history = History(Path(path))
        try:
            for step, number in happening:
                history.take(step, number)
                history.check()
        finally:
            history.folder.close()


@given(values, st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_a_body_is_on_one_line_and_says_the_same(
    value: Any, indent: int | str | None, ascii_only: bool
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    for newline in ("\n", "\r\n", "\r"):
        line = one_line_json(body.replace("\n", newline).encode())
        assert not {b"\n", b"\r"} & {line[at : at + 1] for at in range(len(line))}
        assert json.loads(line) == value


@given(st.binary())
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    try:
        expected = json.loads(body)
    except (ValueError, RecursionError):
        with pytest.raises(InvalidRequestError, match="the response's body is no JSON"):
            one_line_json(body)
    else:
        assert json.loads(one_line_json(body)) == expected


HEAD = b'{"id":"batch_req_x_'
lines = st.lists(
    st.sampled_from([HEAD, b"12", b"0", b"1" * 19, b'"', b"}", b"\n", b"}\n", b"\0", b"x", b""]),
    max_size=20,
).map(b"".join)


@given(lines | st.lists(st.just(HEAD + b'7","x":"\xe2"}\n') | lines, max_size=4).map(b"".join))
def test_the_numbers_of_lines_are_those_that_a_plain_reader_finds(data: bytes) -> None:
    numbers, end = [], 0
    for line in io.BytesIO(data):
        found = re.fullmatch(re.escape(HEAD) + rb'(\d{1,18})"[^\n\0]*\}\n', line)
        if found is None:
            break
        numbers.append(int(found[1]))
        end += len(line)
    assert _row_numbers(data, HEAD, 0) == (numbers, end)
    assert _row_numbers(b"xx" + data, HEAD, 2) == (numbers, end + 2)
    assert _row_numbers(data, HEAD, len(data) + 1) == ([], len(data) + 1)


requests = st.dictionaries(texts.filter(bool), values, min_size=1, max_size=8)


@few
@given(requests, st.integers(1, 4))
def test_lines_become_rows_and_shards_have_each_once(
    folders: Path, bodies: dict[str, Any], count: int
) -> None:
    said = {row_id: {"messages": [{"content": value}]} for row_id, value in bodies.items()}
    with TemporaryDirectory(dir=folders) as path:
        file = Path(path, "in.jsonl")
        lines = ({"custom_id": key, "url": CHAT, "body": body} for key, body in said.items())
        file.write_text("\n\n".join(json.dumps(each) for each in lines) + "\n", "utf-8")
        out = Path(path, "out")
        shards = [list(pending(file, out, (index, count))) for index in range(count)]
    rows = sorted((row for shard in shards for row in shard), key=lambda row: row.number)
    assert {row.id: json.loads(row.body) for row in rows} == said
    assert [row.number for row in rows] == list(range(1, 2 * len(said), 2))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


cells = st.one_of(
    st.sampled_from(["", "x", 'x"y', "x" * 9]),
    st.text(st.sampled_from('x",\r\n;\u00e9'), max_size=12).map(
        lambda text: '"' + text.replace('"', '""') + '"'
    ),
)
tables = st.lists(
    st.tuples(
        st.lists(cells, max_size=4).map(",".join), st.sampled_from(["\n", "\r\n", "\r", "\n\n"])
    ),
    max_size=8,
).map(lambda pairs: "".join(map("".join, pairs)))


@few
@given(tables, st.integers(1, 30), st.integers(1, 9))
def test_records_of_csv_are_those_of_the_reader_but_for_long_ones(
    folders: Path, text: str, limit: int, piece: int
) -> None:
    expected: list[list[str] | Overlong] = []
    pieces: list[str] = []

    def noted() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            pieces.append(line)
            yield line

    for record in csv.reader(noted(), strict=True):
        size = len("".join(pieces))
        expected.append(record if size <= limit else Overlong(pieces[0]))
        pieces.clear()
    with TemporaryDirectory(dir=folders) as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "MAX_ROW_BYTES", limit)
        patch.setattr(records, "_PIECE", piece)
        file = Path(path, "in.csv")
        file.write_text(text, "utf-8", newline="")
        found = list(records.records_of(file, "it", ","))
    assert [each for each in found if isinstance(each, list)] == [
        each for each in expected if isinstance(each, list)
    ]
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Overlong) == isinstance(other, Overlong)
        if isinstance(one, Overlong) and isinstance(other, Overlong):
            assert other.beginning.startswith(one.beginning)


def pending(file: Path, out: Path, shard: tuple[int, int]) -> Iterator[Row]:
    with OutputFolder.open(out, open_source(file, folder=out), shard=shard) as folder:
        yield from folder.pending()
