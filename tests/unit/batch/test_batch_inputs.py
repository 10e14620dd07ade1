"""What an input may be, and what is wrong with one that is not."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailrace.batch._folder import OutputFolder
from tailrace.batch._inputs import files, open_source, prompts, records, spool
from tailrace.batch._inputs import source as source_module
from tailrace.batch._rows import BadRow, Row
from tailrace.batch._tables import write_table
from tailrace.errors import BatchFolderError, BatchInputError, InvalidRequestError

try:
    from compression import zstd  # type: ignore[import-not-found]
except ImportError:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

    from tailrace.batch._inputs import Source

CHAT = "/v1/chat/completions"
SAY = {"messages": [{"role": "user", "content": "Say it"}]}


def openai_line(**changed: Any) -> str:
    return json.dumps({"custom_id": "a", "method": "POST", "url": CHAT, "body": SAY, **changed})


def source(tmp_path: Path, text: str | bytes, name: str = "in.jsonl", **options: Any) -> Source:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return open_source(path, folder=tmp_path / "out", **options)


def rows(given: Source) -> list[Row]:
    found = list(given.rows())
    assert [each for each in found if isinstance(each, BadRow)] == []
    assert list(given.rows()) == found  # again
    return [each for each in found if isinstance(each, Row)]


def bodies(given: Source) -> list[Any]:
    return [json.loads(row.body) for row in rows(given)]


def problems(given: Source) -> list[str]:
    found = list(given.rows())
    return [f"{each.number} {each.id}: {each.reason}" for each in found if isinstance(each, BadRow)]


# -- OpenAI's batch lines --------------------------------------------------------------------------


def test_openais_lines(tmp_path: Path) -> None:
    text = "\n\n".join(
        [
            openai_line(),
            openai_line(custom_id="b", url="/v1/responses", body={"input": "x", "model": "m"}),
            openai_line(custom_id="c", url="/v1/completions", body={"prompt": ["x"]}),
            openai_line(custom_id="d", url="/v1/embeddings", body={"input": [[1, 2]]}),
            openai_line(custom_id="e", url="/chat/completions"),  # as Azure writes it
        ]
    )
    given = source(tmp_path, text)
    assert given.format == "openai"
    assert [(row.number, row.id, row.endpoint) for row in rows(given)] == [
        (1, "a", CHAT),
        (3, "b", "/v1/responses"),
        (5, "c", "/v1/completions"),
        (7, "d", "/v1/embeddings"),
        (9, "e", CHAT),
    ]
    assert rows(given)[0].body == json.dumps(SAY).encode()  # as it was


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "None: it is no JSON: Input data was truncated"),
        ("[]", "None: Expected `object`, got `array`"),
        ('{"custom_id": 1}', "None: Expected `str`, got `int` at `custom_id`"),
        (openai_line(custom_id=""), "None: custom_id is empty"),
        (openai_line(method="GET"), "a: method is 'GET', and not POST"),
        (openai_line(url="/v1/images"), "a: url is '/v1/images', and not one of /v1/chat/com"),
        (openai_line(more=1), "a: Object contains unknown field `more`"),
        (openai_line(body=[]), "a: body: Expected `object`, got `array`"),
        (openai_line(body={}), "a: body: Object missing required field `messages`"),
        (openai_line(body={"messages": []}), "a: body: messages is empty"),
        (openai_line(body={"messages": "x"}), "a: body: Expected `array`, got `str` at `messages`"),
        (openai_line(body={**SAY, "model": 1}), "a: body: Expected `str | null`, got `int` at"),
        (openai_line(url="/v1/responses"), "a: body: it has neither input nor prompt"),
        (openai_line(url="/v1/completions"), "a: body: Object missing required field `prompt`"),
        (openai_line(url="/v1/embeddings"), "a: body: Object missing required field `input`"),
        (openai_line() + "x", "None: it is no JSON: trailing characters"),
        (
            '{"custom_id": "a", "body":' + "[" * 10**5,
            "None: it is no JSON that can be read: nested",
        ),
    ],
)
def test_a_line_that_is_none(tmp_path: Path, line: str, problem: str) -> None:
    given = source(tmp_path, f"{openai_line()}\n{line}\n", format="openai")
    (found,) = problems(given)
    assert found.startswith(f"2 {problem}")


def test_a_line_that_is_no_utf8(tmp_path: Path) -> None:
    for place in (b'"Say', b'"a"'):
        broken = openai_line().encode().replace(place, place[:-1] + b"\xff" + place[-1:])
        (found,) = problems(source(tmp_path, broken, format="openai"))
        assert found.endswith("it is no UTF-8")


def test_what_a_bad_row_shows_is_bounded(tmp_path: Path) -> None:
    (bad,) = source(tmp_path, "x" * 10**6, format="openai").rows()
    assert isinstance(bad, BadRow)
    assert bad.raw == "x" * 2000 + "…"


def test_options_for_fields_are_refused_where_lines_name_them(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="options that name fields are for other formats"):
        source(tmp_path, openai_line(), id_field="id")


def test_half_a_character_is_named(tmp_path: Path) -> None:
    """As programs leave it that cut a text between the two halves of an emoji."""
    cut = {"messages": [{"role": "user", "content": "a \ud83d"}]}
    for line in (openai_line(body=cut), '{"custom_id": "a", "prompt": "a \\ud83d"}'):
        problem = "it holds half of a surrogate pair, which is no character"
        assert problems(source(tmp_path, line))[0].endswith(problem)
    both = {"messages": [{"role": "user", "content": "\U0001f600 \\ud83d"}]}
    assert bodies(source(tmp_path, openai_line(body=both))) == [both]


def test_numbers_and_repeated_keys_of_a_body_stay_as_they_are(tmp_path: Path) -> None:
    body = (
        '{"messages":[{"role":"user","content":"\\u0000"}],"seed":123456789012345678901234567890,'
        '"temperature":1.10e-0,"x":null,"x":[{"y":null}]}'
    )
    line = f'{{"custom_id":"a","url":"{CHAT}","body":{body}}}'
    assert [row.body for row in rows(source(tmp_path, line))] == [body.encode()]


# -- plain lines -----------------------------------------------------------------------------------


def test_plain_lines(tmp_path: Path) -> None:
    lines = [
        {"id": 1, "prompt": "Why?", "temperature": 0.5, "reference": "Because."},
        {"id": "x", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 5},
    ]
    given = source(tmp_path, "\n".join(map(json.dumps, lines)))
    assert given.format == "plain"
    assert [(row.number, row.id, row.endpoint) for row in rows(given)] == [
        (1, "1", CHAT),
        (2, "x", CHAT),
    ]
    why = {"messages": [{"role": "user", "content": "Why?"}]}
    assert bodies(given) == [{**why, "temperature": 0.5}, {**why, "max_tokens": 5}]


def test_lines_of_strings_and_of_text(tmp_path: Path) -> None:
    why = {"messages": [{"role": "user", "content": "Why?"}]}
    for text, name in (('{"prompt": "Why?"}\n"Why?"', "a.jsonl"), ("Why?\r\n\n Why? \n", "a.txt")):
        given = source(tmp_path, text, name)
        assert bodies(given) == [why, why]
    assert [row.id for row in rows(given)] == ["row-1", "row-3"]


@pytest.mark.parametrize("more", ["url", "body", "method"])
def test_fields_of_a_data_set_may_be_called_as_those_of_a_batch_line(
    tmp_path: Path, more: str
) -> None:
    given = source(tmp_path, json.dumps({"prompt": "Why?", more: "x"}))
    assert given.format == "plain"
    assert bodies(given) == [{"messages": [{"role": "user", "content": "Why?"}]}]


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"input": "Why?", "text": {"verbosity": "low"}}),
        ("/v1/completions", {"prompt": "Why?"}),
        ("/v1/embeddings", {"input": "Why?"}),
    ],
)
def test_where_prompts_go(tmp_path: Path, endpoint: str, body: dict[str, Any]) -> None:
    text = json.dumps({"question": "Why?", "text": {"verbosity": "low"}})
    given = source(tmp_path, text, prompt_field="question", endpoint=endpoint)
    assert bodies(given) == [body]
    assert rows(given)[0].endpoint == endpoint


def test_fields_are_sent_and_carried_as_one_says(tmp_path: Path) -> None:
    text = json.dumps({"prompt": "Why?", "top_k": 5, "seed": 1, "temprature": 2})
    given = source(tmp_path, text, sent=["top_k"], carried=["seed", "temprature"])
    assert bodies(given) == [{"messages": [{"role": "user", "content": "Why?"}], "top_k": 5}]


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [(CHAT, "messages"), ("/v1/responses", "input"), ("/v1/completions", "prompt")],
)
def test_a_field_that_would_take_the_prompts_place_is_refused(
    tmp_path: Path, endpoint: str, name: str
) -> None:
    text = json.dumps({"question": "Why?", name: "x"})
    options: dict[str, Any] = {"prompt_field": "question", "endpoint": endpoint}
    if name != "messages":
        assert bodies(source(tmp_path, text, **options)) != [{name: "x"}]
    with pytest.raises(InvalidRequestError, match=f"{name} cannot be sent as it is: {endpoint}"):
        source(tmp_path, text, sent=[name], **options)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("7", "None: Expected `str | object`, got `int`"),
        ({"id": "b"}, "b: it has neither of prompt and messages"),
        ({"id": "b", "prompt": "x", "messages": []}, "b: it has both of prompt and messages"),
        ({"id": "b", "prompt": 7}, "b: prompt is no text"),
        ({"id": "b", "messages": []}, "b: messages is empty"),
        ({"id": "b", "messages": ["x"]}, "b: messages is no list of objects"),
        ({"prompt": "x"}, "None: its id, id, is missing"),
        ({"id": "", "prompt": "x"}, "None: its id, id, is empty"),
        ({"id": 1.5, "prompt": "x"}, "None: its id, id, is neither a text nor a whole number"),
        ({"id": "b", "prompt": "x", "model": 4}, "b: Expected `str | null`, got `int` at `model`"),
        ({"id": "b", "prompt": "x", "temprature": 1}, "b: its field temprature is unknown: temper"),
    ],
)
def test_a_plain_line_that_is_none(tmp_path: Path, line: Any, problem: str) -> None:
    text = line if isinstance(line, str) else json.dumps(line)
    given = source(tmp_path, '{"id": "a", "prompt": "x"}\n' + text)
    (found,) = problems(given)
    assert found.startswith(f"2 {problem}")


# -- tables ----------------------------------------------------------------------------------------


def test_csv(tmp_path: Path) -> None:
    text = (
        "\ufeffid,prompt,temperature,stop,model,reference\r\n"
        '1,"Why, ""so""?\nReally?",0.5,"[""x""]",m,1\r\n'
        "\r\n"
        "2,How?,,end,,\r\n"
    )
    given = source(tmp_path, text, "in.csv")
    assert [(row.number, row.id) for row in rows(given)] == [(1, "1"), (3, "2")]
    assert [*given.records()][-1][0] == 3
    asked = [{"role": "user", "content": 'Why, "so"?\nReally?'}]
    assert bodies(given) == [
        {"messages": asked, "temperature": 0.5, "stop": ["x"], "model": "m"},
        {"messages": [{"role": "user", "content": "How?"}], "stop": "end"},
    ]
    tabs = "question\tname\nWhy?\tx\n"
    given = source(tmp_path, tabs, "in.tsv", prompt_field="question", id_field="name")
    assert [row.id for row in rows(given)] == ["x"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no header"),
        (
            "id,question\n",
            "has no column prompt, which would be sent: its columns",
        ),
        ("prompt,prompt\n", "has the column 'prompt' twice"),
        ("prompt,Temperature \n", "has a column Temperature: temperature may be meant"),
    ],
)
def test_a_table_that_cannot_be_asked(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(BatchInputError, match=problem):
        source(tmp_path, text, "in.csv")


def test_records_that_are_none(tmp_path: Path) -> None:
    text = b"id,prompt\n1\n2,\n3,a\xff\n4,a,b\n"
    assert problems(source(tmp_path, text, "in.csv")) == [
        "1 None: it has 1 cells, and the header 2",
        "2 2: it has neither of prompt and messages",
        "3 None: it is no UTF-8",
        "4 None: it has 3 cells, and the header 2",
    ]
    with pytest.raises(BatchInputError, match=r"line 3 of .* is no CSV: unexpected end of data"):
        list(source(tmp_path, 'prompt\nx\n"', "in.csv").rows())


def test_a_models_name_may_be_a_number(tmp_path: Path) -> None:
    given = source(tmp_path, "prompt,model,seed\nx,4,4\n", "in.csv")
    assert bodies(given)[0]["model"] == "4"
    assert bodies(given)[0]["seed"] == 4


def test_a_header_that_is_no_utf8(tmp_path: Path) -> None:
    with pytest.raises(BatchInputError, match=r"the header of .*in\.csv is no UTF-8"):
        source(tmp_path, b"prompt,\xff\nx,y\n", "in.csv")


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table(
        {
            "id": [7, 8, 9, 10],
            "messages": [
                [{"role": "user", "content": "Why?", "name": None}],
                None,
                [{"role": "user", "content": "How?", "name": "x"}],
                [],
            ],
            "prompt": [None, "Who?", None, None],
            "temperature": [0.5, None, 1.0, 1.0],
            "reference": [b"1", None, b"2", b"3"],
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=2)
    given = open_source(tmp_path / "in.parquet", folder=tmp_path)
    assert given.format == "parquet"
    found = [each for each in given.rows() if isinstance(each, Row)]
    assert [(row.number, row.id) for row in found] == [(1, "7"), (2, "8"), (3, "9")]
    assert [json.loads(row.body) for row in found] == [
        {"messages": [{"role": "user", "content": "Why?"}], "temperature": 0.5},
        {"messages": [{"role": "user", "content": "Who?"}]},
        {"messages": [{"role": "user", "content": "How?", "name": "x"}], "temperature": 1.0},
    ]
    assert problems(given) == ["4 10: messages is empty"]
    whole = [given.fields_of(record) for _, record in given.records(whole=True)]
    assert [each.get("reference") for each in whole] == [b"1", None, b"2", b"3"]
    (tmp_path / "in.parquet").write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(BatchInputError, match="cannot be read as Parquet"):
        open_source(tmp_path / "in.parquet", folder=tmp_path)


def parquet_source(tmp_path: Path, **columns: Any) -> Source:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table(columns), tmp_path / "in.parquet")
    return open_source(tmp_path / "in.parquet", folder=tmp_path)


def test_values_that_parquet_has_and_json_has_not(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    given = parquet_source(
        tmp_path,
        prompt=["Why?"] * 5,
        temperature=pa.array([Decimal("0.20"), None, None, None, None], pa.decimal128(4, 2)),
        top_p=[1.0, nan, None, inf, None],
        stop=[["a"], None, None, None, ["b"]],
        logit_bias=pa.array([[("50256", -100)], *[None] * 4], pa.map_(pa.string(), pa.int64())),
        user=pa.array([b"x", b"x", b"x", b"x", b"x"]),
    )
    read = list(given.rows())
    rest = b'"stop":["a"],"logit_bias":{"50256":-100}}'
    assert [each.body for each in read if isinstance(each, Row)] == [
        b'{"messages":[{"role":"user","content":"Why?"}],"temperature":0.20,"top_p":1.0,%b' % rest,
        b'{"messages":[{"role":"user","content":"Why?"}]}',
        b'{"messages":[{"role":"user","content":"Why?"}],"stop":["b"]}',
    ]
    assert problems(given) == [
        "2 None: its top_p is nan, which is no number of JSON",
        "4 None: its top_p is inf, which is no number of JSON",
    ]
    named = open_source(given.path, folder=tmp_path, sent=["user"])
    assert problems(named)[0] == "1 None: its user is bytes, and no text"


def test_values_that_parquet_has_and_python_has_not(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    broken = pa.StringArray.from_buffers(
        2, pa.py_buffer(struct.pack("<3i", 0, 1, 2)), pa.py_buffer(b"x\xff")
    )
    given = parquet_source(
        tmp_path,
        prompt=broken,
        note=broken,
        at=pa.array([1, None], pa.timestamp("ns")),
        day=pa.array([None, 2**31 - 1], pa.date32()),
    )
    assert problems(given) == ["2 None: its prompt is no UTF-8"]
    (first, second) = (record for _, record in given.records(whole=True))
    assert given.fields_of(first) == {
        "prompt": "x",
        "note": "x",
        "at": "1970-01-01 00:00:00.000000001",
    }
    assert '"note":"\ufffd","day":"' in given.shown(second)


def test_a_column_twice(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.Table.from_arrays([pa.array(["x"])] * 2, names=["prompt"] * 2)
    parquet.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(BatchInputError, match="has the column 'prompt' twice"):
        open_source(tmp_path / "in.parquet", folder=tmp_path)


# -- files -----------------------------------------------------------------------------------------

SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0pzst"
PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("plain", bytes),
    ("gzip", gzip.compress),
    ("two gzip members", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    ("zstd", zstd.compress),
    ("two zstd frames", lambda data: zstd.compress(data[:9]) + zstd.compress(data[9:])),
    ("zstd behind a frame to skip", lambda data: SKIPPED + zstd.compress(data)),
]


@pytest.mark.parametrize("pack", [pack for _, pack in PACKED], ids=[name for name, _ in PACKED])
@pytest.mark.parametrize("name", ["in.jsonl.gz", "in.zst", "in"])
def test_what_packs_a_file_is_told_by_its_bytes(
    tmp_path: Path, pack: Callable[[bytes], bytes], name: str
) -> None:
    text = "\ufeff" + "".join(openai_line(custom_id=f"r{number}") + "\r\n" for number in range(50))
    given = source(tmp_path, pack(text.encode()), name)
    assert [row.id for row in rows(given)] == [f"r{number}" for number in range(50)]


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_packed_data_that_breaks_off(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = pack("".join(openai_line() + "\n" for _ in range(1000)).encode())
    for cut in (data[:-9], data[:-9] + b"\xff" * 100):
        given = source(tmp_path, cut, format="openai")
        with pytest.raises(BatchInputError, match=r"in\.jsonl cannot be read: its packed data|CRC"):
            list(given.rows())


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("Why?\nHow?", "in", "none of its first lines is a JSON object; what it is, --format says"),
        ("", "in.jsonl", "none of its first lines is a JSON object"),
        ('\n [{"prompt": "x"}]', "in.json", "it is a JSON array, and a batch has an object a line"),
    ],
)
def test_a_format_that_is_not_found(tmp_path: Path, text: str, name: str, problem: str) -> None:
    with pytest.raises(BatchInputError, match=problem):
        source(tmp_path, text, name)


def test_a_mark_of_the_order_of_bytes_is_no_row(tmp_path: Path) -> None:
    for text in ("\ufeff", "\ufeff\n", "\ufeff \r\n\n"):
        assert list(source(tmp_path, text, "in.txt").rows()) == []


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BatchInputError, match=r"nothing\.jsonl cannot be read: No such file"):
        open_source(tmp_path / "nothing.jsonl", folder=tmp_path)
    with pytest.raises(BatchInputError, match=r"cannot be read: Is a directory"):
        open_source(tmp_path, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InvalidRequestError, match="format is 'xml', and not one of auto, openai"):
        open_source(tmp_path / "nothing.jsonl", folder=tmp_path, format="xml")
    with pytest.raises(InvalidRequestError, match="endpoint is '/v1/images', and not one of"):
        open_source(tmp_path / "nothing.jsonl", folder=tmp_path, endpoint="/v1/images")


TOO_LONG = "None: it is longer than 67108864 bytes, the most that a row may have"


@pytest.mark.parametrize("pack", [pack for _, pack in PACKED], ids=[name for name, _ in PACKED])
@pytest.mark.parametrize("more", [0, 1, 2**18, 2**19 + 3])
def test_a_line_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], more: int
) -> None:
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 200)
    long = json.dumps({"id": "long", "prompt": "x" * (180 + more)})
    fits = [json.dumps({"id": name, "prompt": "x"}) for name in ("a", "b")]
    for place in range(3):
        for end in ("\n", "\r\n", ""):
            lines = [*fits[:place], long, *fits[place:]]
            given = source(tmp_path, pack(((end or "\n").join(lines) + end).encode()))
            assert [each.id for each in given.rows() if isinstance(each, Row)] == ["a", "b"]
            assert problems(given) == [f"{place + 1} {TOO_LONG}"]
            (bad,) = (each for each in given.rows() if isinstance(each, BadRow))
            assert long.startswith(bad.raw.rstrip("…"))
            assert len(bad.raw) > 190


def test_a_line_that_is_too_long_becomes_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 300)
    monkeypatch.setattr(source_module, "MAX_ROW_BYTES", 300)
    text = f"{openai_line()}\n{'x' * 10**6}\n{openai_line(custom_id='b')}\n"
    given = source(tmp_path, text)
    problem = "line 2: it is longer than 300 bytes, the most that a row may have"
    with pytest.raises(BatchInputError, match=rf"1 row of .*in\.jsonl cannot be sent: {problem}"):
        OutputFolder.open(tmp_path / "out", given)
    with OutputFolder.open(tmp_path / "out", given, skip_bad=True) as folder:
        assert (folder.rows, folder.failed) == (3, 1)
        assert [row.id for row in folder.pending()] == ["a", "b"]
        write_table(tmp_path / "out", given, tmp_path / "t.csv", columns=["number", "error"])
    failure = json.loads((tmp_path / "out" / "errors-00000-of-00001.jsonl").read_bytes())
    assert failure["error"]["message"] == problem
    assert (tmp_path / "t.csv").read_text().splitlines() == ["number,error", f'2,"{problem}"']


@pytest.mark.heavy
def test_a_long_line_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    """A line of 512 MiB, and a cell of CSV, take no more memory than the longest row may."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells what a process alone took: others add who started it")
    code = """
import re, sys
from pathlib import Path
from tailrace.batch._inputs import open_source
found = list(open_source(sys.argv[1], folder=sys.argv[1]).rows())
print([type(each).__name__ for each in found])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    row = b'{"prompt": "x"}\n'
    for name, first, last in (("in.jsonl", row, row), ("in.csv", b'prompt\nx\n"', b'"\nx\n')):
        long = gzip.compress(b"x" * 2**24) * 2**5  # members in succession are one file
        packed = gzip.compress(first) + long + gzip.compress(b"\n" + last)
        (tmp_path / f"{name}.gz").write_bytes(packed)
        command = [sys.executable, "-c", code, str(tmp_path / f"{name}.gz")]
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603 - ours
        types, most = said.splitlines()
        assert types == "['Row', 'BadRow', 'Row']"
        assert int(most) < 2**18  # KiB: half of the line


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "long",
    [
        "b,{}",
        'b,"{}"',
        'b,"{}\r\n"',
        'b,"{}"""",\n""{}"',
        '"b","{}""{}"',
        'b,x"{}',
        'b,{}x"',
        'b,x{},"',
    ],
)
def test_a_record_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: str, end: str, separator: str
) -> None:
    name = "in.csv" if separator == "," else "in.tsv"
    monkeypatch.setattr(records, "MAX_ROW_BYTES", 40)
    monkeypatch.setattr(records, "_PIECE", 7)
    for size in range(36, 60):
        cell = "x" * size
        close = '"' if long.endswith(',"') else ""
        lines = ["id,prompt", "a,x", long.format(cell, cell) + close, '"c","y\n\nz"', "d,x"]
        given = source(tmp_path, end.join([*lines, ""]).replace(",", separator).encode(), name)
        if size < 40:
            assert len(list(given.rows())) == 4
            continue
        assert problems(given) == [f"2 {TOO_LONG}"]
        assert [each.id for each in given.rows() if isinstance(each, Row)] == ["a", "c", "d"]


def test_a_quote_without_an_end_is_told_where_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_ROW_BYTES", 40)
    for rest in ("x\n" * 9, "x\n" * 99):
        with pytest.raises(BatchInputError, match=r"line 3 of .*in\.csv is no CSV: "):
            list(source(tmp_path, f'prompt\nx\n"{rest}', "in.csv").rows())


def test_a_header_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_ROW_BYTES", 40)
    with pytest.raises(BatchInputError, match=r"the header of .*in\.csv is longer than 67108864 b"):
        source(tmp_path, f"prompt,{'x' * 50}\ny,y\n", "in.csv")


def test_a_row_of_parquet_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MAX_ROW_BYTES", 100)
    given = parquet_source(tmp_path, prompt=["x", "x" * 200, "y"])
    assert problems(given) == ["2 row-2: its body has more than 100 bytes"]
    assert [each.number for each in given.rows() if isinstance(each, Row)] == [1, 3]


@pytest.mark.parametrize("name", ["in.txt", "in.jsonl", "in.csv"])
@pytest.mark.parametrize("coding", ["utf-16", "utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_utf_16_is_named(
    tmp_path: Path, name: str, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    """With its mark the file is, and without it each row, whose letters have a NUL beside them."""
    text = {"in.txt": "Why?\nHow?\n", "in.csv": "prompt\nx\n"}.get(name, '{"prompt": "x"}\n')
    data = pack(text.encode(coding))
    if coding == "utf-16" or name != "in.txt":
        words = "UTF-16" if coding == "utf-16" or name == "in.csv" else "JSON"
        with pytest.raises(BatchInputError, match=rf"{name}.* {words}"):
            list(source(tmp_path, data, name).rows())
    else:
        assert all("UTF-16" in each for each in problems(source(tmp_path, data, name)))


def test_what_holds_nul_is_no_text(tmp_path: Path) -> None:
    nul = "it holds NUL, which no text does: UTF-8 is read, and not UTF-16"
    assert problems(source(tmp_path, "a\nb\0\nc\n", "in.txt")) == [f"2 None: {nul}"]
    assert problems(source(tmp_path, "id,prompt\n1,a\n2,b\0\n", "in.csv")) == [f"2 None: {nul}"]
    given = source(tmp_path, '{"prompt": "a"}\n{"prompt": "b\0"}\n')
    assert problems(given) == ["2 None: it is no JSON: invalid character (byte 13)"]
    assert bodies(source(tmp_path, '{"prompt": "a\\u0000"}'))[0]["messages"][0]["content"] == "a\0"


@pytest.mark.parametrize("name", ["in.txt", "in.jsonl", "in"])
def test_lines_that_end_with_cr_alone_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 2000)
    text = "Why?" if name == "in.txt" else '{"prompt": "x"}'
    for count in (2, 999):
        for more in ({}, {"format": "text" if name == "in.txt" else "plain"}):
            with pytest.raises(
                BatchInputError, match=r"the lines of .* end with CR alone, and not"
            ):
                list(source(tmp_path, f"{text}\r" * count, name, **more).rows())
    assert len(rows(source(tmp_path, f"{text}\r\n{text}\r", name))) == 2
    assert len(rows(source(tmp_path, text.replace(" ", "\r") + "\r", name))) == 1


def test_a_table_may_end_its_lines_with_cr_alone(tmp_path: Path) -> None:
    given = source(tmp_path, 'id,prompt\r1,x\r\r2,"y\ry"\r', "in.csv")
    assert [(row.number, row.id) for row in rows(given)] == [(1, "1"), (3, "2")]


def test_marks_of_the_order_of_bytes_where_files_were_put_together(tmp_path: Path) -> None:
    one = "\ufeff" + json.dumps({"prompt": "x"}) + "\n"
    assert len(rows(source(tmp_path, one + one))) == 2
    text = source(tmp_path, "\ufeffx\n\ufeffx\n\ufeff\n", "in.txt")
    assert [each["messages"][0]["content"] for each in bodies(text)] == ["x", "x"]


# -- stdin and pipes -------------------------------------------------------------------------------


def from_stdin(tmp_path: Path, data: bytes) -> Source:
    return open_source("-", folder=tmp_path / "out", stdin=io.BufferedReader(io.BytesIO(data)))


def test_stdin_is_kept(tmp_path: Path) -> None:
    text = (openai_line() + "\n").encode()
    with pytest.raises(BatchInputError, match="nothing came from stdin"):
        from_stdin(tmp_path, b"")
    for data in (text, b"", text):
        given = from_stdin(tmp_path, data)
        assert [row.id for row in rows(given)] == ["a"]
    with pytest.raises(BatchFolderError, match="the input is not the one that this run began with"):
        from_stdin(tmp_path, text + text)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["input"]


def test_of_streams_that_come_at_once_one_is_kept(tmp_path: Path) -> None:
    """Or one run would ask the rows of the other, under its own options."""
    count, kept = 8, tmp_path / "input"
    together = threading.Barrier(count)

    def keep(number: int) -> bool:
        new = tmp_path / f"new-{number}"
        new.write_text(f"{number}")
        together.wait()
        try:
            spool._keep(new, kept)
        except BatchFolderError:
            return False
        return True

    with ThreadPoolExecutor(count) as pool:
        for _ in range(100):
            kept.unlink(missing_ok=True)
            taken = [number for number, is_own in enumerate(pool.map(keep, range(count))) if is_own]
            assert taken == [int(kept.read_text())]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_kept(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = gzip.compress((openai_line() + "\n").encode())
    writer = threading.Thread(target=pipe.write_bytes, args=(text,))
    writer.start()
    given = open_source(pipe, folder=tmp_path / "out")
    writer.join()
    assert [row.id for row in rows(given)] == ["a"]


# -- what is told of the fields --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in.csv", "id,prompt,temperature,top_k,reference,tempo\n1,x,0.5,5,x,y\n2,x,,,,\n"),
        (
            "in.jsonl",
            (
                '{"id": 1, "prompt": "x", "temperature": 1}\n'
                '{"id": 2, "prompt": "x", "top_k": 5, "reference": "x", "tempo": "y"}\n'
            ),
        ),
    ],
)
def test_what_is_sent_and_what_is_not_is_told(tmp_path: Path, name: str, text: str) -> None:
    for _ in range(2):  # the second time it is known from the first
        given = source(tmp_path, text, name, sent=["top_k"], carried=["other"])
        with OutputFolder.open(tmp_path / "out", given) as folder:
            assert folder.sent == ("temperature", "top_k")
            assert folder.carried == ("reference", "tempo")
