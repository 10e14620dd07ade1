"""A run's output folder: each row once, whatever an earlier start left behind."""

from __future__ import annotations

import gzip
import json
import os
import platform
import random
import shutil
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import pytest

from tailrace.batch._folder import OutputFolder
from tailrace.batch._inputs import open_source
from tailrace.batch._rows import BadRow
from tailrace.errors import BatchFolderError, BatchInputError, BatchWriteError, InvalidRequestError

if TYPE_CHECKING:
    from io import FileIO

CHAT = "/v1/chat/completions"


def line(row_id: str, **changed: Any) -> str:
    body = {"messages": [{"role": "user", "content": f"Say {row_id}"}]}
    return json.dumps({"custom_id": row_id, "method": "POST", "url": CHAT, "body": body, **changed})


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(line(f"r{number}") for number in range(1, 8)), "utf-8")
    return path


def opened(given: Path, **options: Any) -> OutputFolder:
    out = given.with_name("out")
    return OutputFolder.open(out, open_source(given, folder=out), **options)


def begin(given: Path, **options: Any) -> None:
    """Begin a run of which one row has its line."""
    with opened(given, **options) as folder:
        folder.write_failed(next(folder.pending()), code="timeout", message="late")


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_text("utf-8").splitlines()]


def ids(path: Path) -> list[str]:
    return [each["custom_id"] for each in written(path)]


def pending(folder: OutputFolder) -> list[str]:
    return [row.id for row in folder.pending()]


def test_what_is_written_has_the_form_of_openais_batches(given: Path) -> None:
    with opened(given) as folder:
        first, second, third, *_ = folder.pending()
        folder.write_done(first, body=b'{"id":"chatcmpl-1",\n "choices":[]}', request_id="req-1")
        folder.write_done(second, body={"id": "chatcmpl-2"}, status_code=201)
        folder.write_failed(
            third,
            code="truncated",
            message="the reply broke off",
            attempts=3,
            status_code=200,
            partial_text="The sea",
            kind="truncated",
        )
        assert (folder.rows, folder.done, folder.failed) == (7, 2, 1)
    answers, (failure,) = written(folder.part), written(folder.errors)
    assert [each.pop("id").rpartition("_")[2] for each in answers] == ["1", "2"]
    assert answers == [
        {
            "custom_id": "r1",
            "response": {
                "status_code": 200,
                "request_id": "req-1",
                "body": {"id": "chatcmpl-1", "choices": []},
            },
            "error": None,
        },
        {
            "custom_id": "r2",
            "response": {"status_code": 201, "request_id": "", "body": {"id": "chatcmpl-2"}},
            "error": None,
        },
    ]
    assert failure.pop("id").startswith("batch_req_")
    assert failure == {
        **json.loads(line("r3")),
        "response": {"status_code": 200, "request_id": "", "body": None},
        "error": {
            "code": "truncated",
            "message": "the reply broke off",
            "attempts": 3,
            "partial_text": "The sea",
            "kind": "truncated",
        },
    }
    assert folder.part.name == "part-00000-of-00001.jsonl"
    assert folder.errors.name == "errors-00000-of-00001.jsonl"


def test_what_has_its_line_is_not_asked_again(given: Path) -> None:
    with opened(given) as folder:
        rows = list(folder.pending())
        folder.write_done(rows[3], body=b"{}")
        folder.write_failed(rows[5], code="timeout", message="too late")
    with opened(given) as folder:
        assert pending(folder) == ["r1", "r2", "r3", "r5", "r7"]
        assert (folder.done, folder.failed, folder.mended) == (1, 1, 0)
        for again in (rows[3], rows[5]):
            with pytest.raises(InvalidRequestError, match="has its line already"):
                folder.write_done(again, body=b"{}")
    with opened(given, retry_failed=True) as folder:
        assert pending(folder) == ["r1", "r2", "r3", "r5", "r6", "r7"]
        folder.write_done(rows[5], body=b"{}")
    assert (ids(folder.part), ids(folder.errors)) == (["r4", "r6"], [])


def test_a_part_torn_at_any_byte_is_mended(given: Path) -> None:
    with opened(given) as folder:
        for row in list(folder.pending())[:2]:
            folder.write_done(row, body={"text": "käse\u2028", "row": row.id})
    whole = folder.part.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        folder.part.write_bytes(whole[:size])
        with opened(given) as folder:
            lines = sum(end <= size for end in ends)
            assert folder.done == lines
            assert folder.part.read_bytes() == whole[: ([0, *ends])[lines]]
            assert folder.mended == size - ([0, *ends])[lines]
            assert pending(folder) == [f"r{number}" for number in range(lines + 1, 8)]


def test_an_errors_file_torn_at_any_byte_is_mended(given: Path) -> None:
    with opened(given) as folder:
        for row in list(folder.pending())[:2]:
            folder.write_failed(row, code="timeout", message="too late")
    whole = folder.errors.read_bytes()
    for size in range(whole.index(b"\n"), len(whole) + 1):
        folder.errors.write_bytes(whole[:size])
        with opened(given) as folder:
            lines = whole[:size].count(b"\n")
            assert folder.failed == lines
            assert len(written(folder.errors)) == lines


def test_what_a_disk_lost_in_the_middle_is_asked_again(given: Path) -> None:
    with opened(given) as folder:
        for row in list(folder.pending())[:5]:
            folder.write_done(row, body={"text": "x" * 100})
    data = bytearray(folder.part.read_bytes())
    lines = bytes(data).splitlines(keepends=True)
    start = len(lines[0]) + 50
    data[start : start + len(lines[1])] = bytes(len(lines[1]))  # over the end of a line, too
    folder.part.write_bytes(data)
    with opened(given) as folder:
        assert pending(folder) == ["r2", "r3", "r6", "r7"]
        assert folder.part.read_bytes() == lines[0] + lines[3] + lines[4]
        assert folder.mended == len(lines[1]) + len(lines[2])


def test_a_second_run_is_refused_while_the_first_lives(given: Path) -> None:
    with opened(given), pytest.raises(BatchFolderError, match="another run is writing") as refused:
        opened(given)
    if sys.platform != "win32":
        assert str(refused.value).endswith(f"out: process {os.getpid()} on {platform.node()}")
    opened(given).close()


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda data: data + b"\n", "had .*: what was added stands at its end"),
        (lambda data: data[:-1], "it has [0-9]+ bytes, and had [0-9]+;"),
        (lambda data: data.replace(b"Say r3", b"Say r4"), "its .* bytes are other ones"),
        (lambda data: data.replace(b"Say r3", b"Say r3 twice"), "it has .* bytes, and had [0-9]+;"),
    ],
)
def test_an_input_that_changed_is_refused_saying_how(given: Path, change: Any, how: str) -> None:
    begin(given)
    given.write_bytes(change(given.read_bytes()))
    with pytest.raises(BatchFolderError, match=how):
        opened(given)


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_an_input_that_changes_while_it_is_read_gives_no_other_row(
    given: Path, packed: Any
) -> None:
    """More of it than a reader holds at once is written anew, in another order."""
    chance = random.Random(1)
    lines = [
        line(f"r{number:04}", body={"messages": [{"content": chance.randbytes(200).hex()}]})
        for number in range(1, 3001)
    ]
    given.write_bytes(packed("\n".join(lines).encode()))
    with opened(given) as folder:
        rows = folder.pending()
        assert next(rows).id == "r0001"
        os.utime(given)  # which is no change
        assert next(rows).id == "r0002"
        given.write_bytes(packed("\n".join(reversed(lines)).encode()))
        others: list[str] = []
        with pytest.raises(BatchInputError, match="changed while it was read"):
            others.extend(row.id for row in rows if row.id != f"r{row.number:04}")
        assert others == []


def test_other_options_are_refused_by_name(given: Path) -> None:
    begin(given, options={"model": "a"})
    with pytest.raises(BatchFolderError, match='began otherwise: model was "a" and is "b"'):
        opened(given, options={"model": "b"})
    with pytest.raises(BatchFolderError, match='model was "a" and is not given'):
        opened(given)


def test_a_run_of_which_no_row_has_its_line_may_become_another(given: Path) -> None:
    """Its first options were a slip: a model that the site does not have."""
    opened(given, options={"model": "a"}).close()
    given.write_text(given.read_text("utf-8") + "\n" + line("r8"), "utf-8")
    with opened(given, options={"model": "b"}) as folder:
        assert pending(folder) == [f"r{number}" for number in range(1, 9)]
        folder.write_done(next(folder.pending()), body={"text": "it"})
    with opened(given, options={"model": "b"}) as folder:
        assert (folder.rows, folder.done) == (8, 1)
    with pytest.raises(BatchFolderError, match='model was "b" and is "a"'):
        opened(given, options={"model": "a"})


def test_what_was_known_of_another_input_is_not_kept(given: Path) -> None:
    opened(given).close()
    given.write_text(given.read_text("utf-8") + "\n{\n", "utf-8")
    for _ in range(2):
        with pytest.raises(BatchInputError, match=r"1 row of .* cannot be sent: line 8"):
            opened(given)


def test_shards_of_which_no_row_has_its_line_keep_to_their_run(given: Path) -> None:
    """Another process may be about to write to its own."""
    opened(given, shard=(0, 2), options={"model": "a"}).close()
    for shard in ((0, 2), (1, 2)):
        with pytest.raises(BatchFolderError, match='model was "a" and is "b"'):
            opened(given, shard=shard, options={"model": "b"})
    with pytest.raises(BatchFolderError, match="holds a run in 2 shards, and this one is of 1"):
        opened(given, options={"model": "b"})


def test_a_run_without_a_model_may_get_one(given: Path) -> None:
    """Those of its rows that name none have failed; versions before began such runs."""
    nameless = {"software": "openai", "model": ""}
    begin(given, options=nameless)
    opened(given, options={**nameless, "model": "m"}).close()
    for model, was in (("", "m"), ("n", "m")):
        with pytest.raises(BatchFolderError, match=f'model was "{was}" and is "{model}"'):
            opened(given, options={**nameless, "model": model})
    with pytest.raises(BatchFolderError, match='software was "openai"'):
        opened(given, options={"software": "gemini", "model": "m"})


def test_a_page_without_a_model_keeps_to_it(given: Path) -> None:
    page = {"software": "ai-power", "model": "", "url": "http://localhost/chat"}
    begin(given, options=page)
    with pytest.raises(BatchFolderError, match='model was "" and is "m"'):
        opened(given, options={**page, "model": "m"})


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes there alone")
def test_a_file_whose_name_is_no_text(given: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(given.parent) + b"/in\xff.jsonl"))
    given.rename(path)
    out = given.with_name("out")
    for _ in range(2):
        with OutputFolder.open(out, open_source(path, folder=out)) as folder:
            assert len(pending(folder)) == 7


def test_options_are_the_same_whatever_holds_them(given: Path) -> None:
    options = {"stop": ("a", "b"), "logit_bias": MappingProxyType({"1": 2.0}), "seed": 1}
    opened(given, options=options).close()
    opened(given, options=options).close()
    opened(given, options={"stop": ["a", "b"], "logit_bias": {"1": 2}, "seed": 1}).close()


def test_a_failures_body_may_be_a_page(given: Path) -> None:
    with opened(given) as folder:
        for row, body in zip(
            folder.pending(), (b"<h1>\xff</h1>\n", None, b'{"a":\n1}'), strict=False
        ):
            folder.write_failed(row, code="502", message="bad", status_code=502, body=body)
        with pytest.raises(InvalidRequestError, match="the response's body is no JSON"):
            folder.write_done(row, body=b"<h1>")
    bodies = [each["response"]["body"] for each in written(folder.errors)]
    assert bodies == ["<h1>\ufffd</h1>\n", None, {"a": 1}]


def test_bad_rows_are_named_or_become_failures(given: Path) -> None:
    bad = ["{", line("r2"), line("r9", url="/v1/images"), line("r10", more=1), line("", body=[])]
    given.write_text("\n".join([given.read_text("utf-8"), "", *bad]), "utf-8")
    with pytest.raises(
        BatchInputError, match=r"5 rows of .* cannot be sent: line 9: it is no JSON"
    ):
        opened(given)
    with pytest.raises(BatchInputError) as caught:
        opened(given)
    assert caught.value.count == len(caught.value.problems) == 5
    assert caught.value.problems[1] == "line 10: its id, 'r2', is that of line 2"
    with opened(given, skip_bad=True) as folder:
        assert (folder.rows, folder.failed) == (12, 5)
        assert len(pending(folder)) == 7
    failures = written(folder.errors)
    assert [each["error"]["line"] for each in failures] == [9, 10, 11, 12, 13]
    assert {each["error"]["code"] for each in failures} == {"invalid_row"}
    with opened(given, retry_failed=True) as folder:
        assert (folder.rows, folder.failed) == (12, 5)
    assert written(folder.errors) == failures
    again = open_source(folder.errors, folder=given)
    assert isinstance(first := next(again.rows()), BadRow)
    assert first.reason == (
        "an earlier run could not send it (line 9: it is no JSON: Input data was truncated)"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be deleted there")
def test_a_folder_that_was_deleted_is_noticed(given: Path) -> None:
    folder = opened(given)
    first, second, *_ = folder.pending()
    folder.write_done(first, body=b"{}")
    shutil.rmtree(folder.path)
    with pytest.raises(BatchWriteError, match=r"part-.* cannot be written: it was deleted"):
        folder.sync()
    folder.write_failed(second, code="timeout", message="late")
    with pytest.raises(BatchWriteError, match=r"errors-.* cannot be written: it was deleted"):
        folder.close()


def test_a_signal_between_two_writes_leaves_no_torn_line(given: Path) -> None:
    with opened(given) as folder:
        first, second, *_ = folder.pending()
        folder.write_done(first, body=b"{}")
        before = folder.part.read_bytes()
        file = folder._answers._file
        folder._answers._file = cast("FileIO", Interrupted(file))
        with pytest.raises(KeyboardInterrupt):
            folder.write_done(second, body=b"{}")
        folder._answers._file = file
        assert folder.part.read_bytes() == before
    with opened(given) as folder:
        assert pending(folder)[0] == second.id


class Interrupted:
    """A file, of whose first write a half is done when a signal comes."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        self._file.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_shards_are_every_row_once(given: Path) -> None:
    given.write_text(given.read_text("utf-8") + "\n\n\n" + line("r8") + "\n{\n", "utf-8")
    folders = [opened(given, shard=(index, 3), skip_bad=True) for index in range(3)]
    shares = [pending(folder) for folder in folders]
    assert shares == [["r1", "r4", "r7"], ["r2", "r5", "r8"], ["r3", "r6"]]
    assert [(folder.rows, folder.failed) for folder in folders] == [(3, 0), (3, 0), (3, 1)]
    for folder in folders:
        folder.close()
    with pytest.raises(BatchFolderError, match="holds a run in 3 shards, and this one is of 2"):
        opened(given, shard=(0, 2))


def test_errors_can_be_fed_back_in(given: Path, tmp_path: Path) -> None:
    with opened(given) as folder:
        for row in folder.pending():
            folder.write_failed(row, code="timeout", message="late", status_code=504, body=b"{}")
    again = tmp_path / "again"
    source = open_source(folder.errors, folder=again)
    with OutputFolder.open(again, source) as second:
        assert [row.body for row in second.pending()] == [
            json.dumps(json.loads(line(f"r{number}"))["body"]).encode() for number in range(1, 8)
        ]
