"""A batch's input, whatever its format: `open_source` finds it out, or is told."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tailrace.batch._inputs.bodies import read_json_line
from tailrace.batch._inputs.files import lines_of, reading
from tailrace.batch._inputs.openai import OpenAILines
from tailrace.batch._inputs.parquet import ParquetTable
from tailrace.batch._inputs.plain import PlainLines, TextLines
from tailrace.batch._inputs.prompts import PromptFields
from tailrace.batch._inputs.source import MAX_ROW_BYTES, Overlong, Source
from tailrace.batch._inputs.spool import is_stream, spooled
from tailrace.batch._inputs.table import CSVTable, TSVTable
from tailrace.batch._rows import ENDPOINTS
from tailrace.errors import BatchInputError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import BinaryIO

__all__ = ["FORMATS", "MAX_ROW_BYTES", "Source", "open_source"]

FORMATS = ("openai", "plain", "text", "csv", "tsv", "parquet")
"""The formats of inputs, beside ``auto``."""

_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PACKED = {".gz", ".gzip", ".zst", ".zstd"}
_LOOKED_AT = 100  # lines, until one is a JSON object


def open_source(
    path: str | Path,
    *,
    folder: str | Path,
    format: str = "auto",  # noqa: A002 - as the command's option is called
    id_field: str | None = None,
    prompt_field: str = "prompt",
    endpoint: str = "/v1/chat/completions",
    sent: Collection[str] = (),
    carried: Collection[str] = (),
    stdin: BinaryIO | None = None,
) -> Source:
    """Return the input at `path`, which can be read any number of times.

    `path`: a file, plain or packed with gzip or zstd; ``-`` is `stdin`, which is kept in `folder`,
    the run's output folder, as is what comes from a pipe. `format`: one of `FORMATS`; ``auto``
    goes by the name and the first line. The others are for formats other than OpenAI's batch lines:
    `id_field`: what holds the row's id, ``custom_id`` or ``id`` where the first record has one of
    them, otherwise ids are ``row-1`` and so on, by the row's number. `prompt_field`: what holds the
    prompt. `endpoint`: where the rows are sent, one of `ENDPOINTS`. `sent`: fields that are sent
    in the body beside those named as parameters of a request are; `carried`: fields that are not.

    Raises BatchInputError for a file that cannot be read or has another format, BatchFolderError
    for a stream that is not the one kept in `folder`, BatchWriteError where it cannot be kept, and
    InvalidRequestError for a wrong option.
    """
    if format not in {"auto", *FORMATS}:
        raise InvalidRequestError(
            f"format is {format!r}, and not one of auto, {', '.join(FORMATS)}"
        )
    if endpoint not in ENDPOINTS:
        raise InvalidRequestError(
            f"endpoint is {endpoint!r}, and not one of {', '.join(ENDPOINTS)}"
        )
    name = str(path)
    file = Path(path)
    with reading(name):
        if is_stream(path):
            file = spooled(path, Path(folder), stdin)
            name = f"{name} (kept as {file})"
        kind = _found_format(file, name, prompt_field) if format == "auto" else format
        fields = PromptFields(
            endpoint=endpoint,
            prompt=prompt_field,
            id=id_field,
            sent=frozenset(sent),
            carried=frozenset(carried),
        )
        return _source(kind, file, name, fields)


def _source(kind: str, file: Path, name: str, fields: PromptFields) -> Source:
    if kind == "openai":
        _refuse_fields(fields)
        return OpenAILines(file, name)
    if kind == "text":
        return TextLines(file, name, fields)
    if kind == "plain":
        return PlainLines(file, name, fields.of_first(_first_object(file, name) or {}))
    tables: dict[str, type[CSVTable | TSVTable | ParquetTable]] = {
        "csv": CSVTable,
        "tsv": TSVTable,
        "parquet": ParquetTable,
    }
    return tables[kind](file, name, fields)


def _refuse_fields(fields: PromptFields) -> None:
    """Refuse options that OpenAI's batch lines, which say it all themselves, would not obey."""
    if fields != PromptFields():
        raise InvalidRequestError(
            "the input is OpenAI's batch lines, which name ids, prompts and endpoints themselves: "
            "options that name fields are for other formats"
        )


def _found_format(file: Path, name: str, prompt: str) -> str:
    suffixes = [each.lower() for each in file.suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    by_suffix = _BY_SUFFIX.get(suffixes[-1]) if suffixes else None
    if by_suffix:
        return by_suffix
    with file.open("rb") as opened:
        if opened.read(4) == b"PAR1":
            return "parquet"
    first = _first_object(file, name)
    if first is None:
        raise BatchInputError(f"{name}: {_other_form(file, name)}")
    # Of an errors file, the lines of rows that were none have no request. Fields of a data set may
    # be called url or body.
    is_openai = {"body", "url", "method"} & first.keys() or {"response", "error"} <= first.keys()
    return "openai" if is_openai and not {prompt, "messages"} & first.keys() else "plain"


def _other_form(file: Path, name: str) -> str:
    """Return what to do about a file whose first lines are no JSON objects, in words."""
    _, line = next(lines_of(file, name), (0, b""))
    beginning = line.beginning.encode() if isinstance(line, Overlong) else line
    if beginning.lstrip().startswith(b"["):
        return "it is a JSON array, and a batch has an object a line: jq -c '.[]' makes them"
    formats = ", ".join(FORMATS)
    return f"none of its first lines is a JSON object; what it is, --format says: {formats}"


def _first_object(file: Path, name: str) -> dict[str, object] | None:
    for _, line in islice(lines_of(file, name), _LOOKED_AT):
        read = None if isinstance(line, Overlong) else read_json_line(line)
        if isinstance(read, dict):
            return read
    return None
