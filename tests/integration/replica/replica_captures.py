"""Captured exchanges, and shapes of replies: equal where two sites may differ."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures"
PLUGIN = CAPTURES / "ai-power"
AI_POWER = PLUGIN / "1.9.18"
GEMINIPROCHAT = CAPTURES / "geminiprochat"

# Words of the protocol; any other string is somebody's wording.
_PROTOCOL_WORDS = frozenset(
    {
        "", "success", "error", "Something went wrong", "chat.completion.chunk", "gpt-4o-mini",
        "default", "assistant", "stop", "thread.message.delta", "text", "server_error", "Error",
        "empty_data_to_cache", "nonce_failure_cache_sse",
        "response.created", "response.in_progress", "in_progress", "quota_notice",
    }
)  # fmt: skip
# What stands there is the answer; only whether there is any can be compared.
_ANSWER_KEYS = frozenset({"content", "value", "delta", "reply"})


@dataclass(frozen=True)
class Captured:
    """One captured exchange of AI Power or AIPKit; `query` is that of its URL."""

    method: str
    query: dict[str, str]
    fields: dict[str, str]
    multipart: bool
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


def ai_power_capture(name: str, version: str = "1.9.18") -> Captured:
    folder = PLUGIN / version
    request = (folder / f"{name}.request.txt").read_text()
    status, *headers = (folder / f"{name}.headers.txt").read_text().strip().splitlines()
    method, url, *_ = request.split()
    fields = dict(re.findall(r"^(\w+) = (.*)$", request, re.MULTILINE))
    return Captured(
        method=method,
        query=dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)),
        fields={key: ast.literal_eval(value) for key, value in fields.items()},
        multipart="body encoding: multipart" in request,
        status=int(status.split()[1]),
        headers=[(key, value) for key, _, value in (line.partition(": ") for line in headers)],
        body=(folder / f"{name}.body").read_bytes(),
    )


def form_data(fields: dict[str, str], *, multipart: bool) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=multipart)
    for name, value in fields.items():
        form.add_field(name, value)
    return form


def comparable_headers(headers: list[tuple[str, str]]) -> dict[str, str]:
    passing = {"Server", "Date", "Connection"}
    return {name: value for name, value in headers if name not in passing}


def comparable_json(body: bytes) -> Any:
    value = json.loads(body)
    assert body.decode() == json.dumps(value, separators=(",", ":")).replace("/", "\\/")
    return shape(value)


def shape(value: Any) -> Any:
    """Return `value` with wording made equal; keys keep their order."""
    if isinstance(value, dict):
        return [
            (key, _answer(item) if key in _ANSWER_KEYS else shape(item))
            for key, item in value.items()
        ]
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, str):
        return value if value in _PROTOCOL_WORDS else "…"
    return value if value is None or isinstance(value, bool) else type(value).__name__


def _answer(value: Any) -> Any:
    return bool(value) if isinstance(value, str) else shape(value)


def event_shapes(body: bytes) -> list[Any]:
    """Return the shapes of a stream's events, a run of equal ones once, and the rest after them."""
    *blocks, rest = body.decode().split("\n\n")
    found: list[Any] = [[_line(line) for line in block.split("\n")] for block in blocks]
    return [
        frame for number, frame in enumerate(found) if not number or frame != found[number - 1]
    ] + [rest]


def _line(line: str) -> Any:
    field, _, value = line.partition(": ")
    try:
        return field, shape(json.loads(value))
    except ValueError:
        return field, value if field == "event" or value in ("[DONE]", "[LIMITED]", "") else "…"


@dataclass(frozen=True)
class Raw:
    """A reply as it came off the socket."""

    status_line: str
    headers: dict[str, str]
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


def raw_request(name: str) -> bytes:
    """Return a captured request of the signed apps as it stands."""
    text = (GEMINIPROCHAT / f"{name}.txt").read_text()
    request = text.partition("## request\n")[2].partition("\n\n## response")[0]
    head, _, body = request.partition("\n\n")
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body.encode()


def raw_reply(name: str) -> Raw:
    return parse_raw((GEMINIPROCHAT / f"{name}.raw").read_bytes())


def raw_headers(raw: Raw) -> dict[str, str]:
    assert raw.headers.keys() <= {"content-type", "date", "connection", "transfer-encoding"}
    return {name: value for name, value in raw.headers.items() if name != "date"}


def parse_raw(data: bytes) -> Raw:
    """Take a chunked reply apart; a chunk that is missing or too short raises."""
    head, _, rest = data.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    assert headers["transfer-encoding"] == "chunked"
    chunks: list[bytes] = []
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        chunk, end, rest = rest[:length], rest[length : length + 2], rest[length + 2 :]
        assert len(chunk) == length
        assert end == b"\r\n"
        if not length:
            assert rest == b""
            return Raw(status_line, headers, chunks)
        chunks.append(chunk)
