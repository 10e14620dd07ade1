"""The cases of `tests/vectors`, and the ways their inputs are cut.

The README there tells the formats.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

Case = dict[str, Any]

VECTORS = Path(__file__).parents[1] / "vectors"

SMALL = 500
"""Inputs up to this many bytes are cut in two at every place, larger ones at places drawn with a
fixed seed.
"""

DRAWN = 40
"""How many cuts of a large input are drawn."""


def cases(kind: str) -> list[ParameterSet]:
    """The cases of every file in one folder, each named ``file/case``."""
    found: list[ParameterSet] = []
    for path in sorted((VECTORS / kind).glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        for number, case in enumerate(content["cases"] if isinstance(content, dict) else content):
            found.append(pytest.param(case, id=f"{path.stem}/{case.get('name', number)}"))
    assert found, f"there are no vectors of {kind}"
    return found


def input_bytes(described: Any) -> bytes:
    """The bytes an `input` describes: text, ``hex``, ``text`` so many ``times``, or a list of
    these.
    """
    if isinstance(described, str):
        return described.encode()
    if isinstance(described, list):
        return b"".join(map(input_bytes, described))
    if "hex" in described:
        return bytes.fromhex(described["hex"])
    return str(described["text"]).encode() * int(described.get("times", 1))


def reply_bytes(case: Case) -> bytes:
    """The body of a case's reply: its `input`, or a captured `file` with HTTP's own bytes taken
    off.
    """
    if "input" in case:
        return input_bytes(case["input"])
    captured = (VECTORS / "captures" / case["file"]).read_bytes()
    if not case.get("http"):
        return dechunked(captured) if case.get("chunked") else captured
    head, _, body = captured.partition(b"\r\n\r\n")
    return dechunked(body) if b"transfer-encoding: chunked" in head.lower() else body


def dechunked(body: bytes) -> bytes:
    """RFC 9112, section 7.1; a body may break off within its chunks."""
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        data += body[:length]
        body = body[length + 2 :] if length else b""
    return data


def cuts(data: bytes) -> list[list[bytes]]:
    """The ways to cut `data`: whole, byte by byte, in two, and in reads of a few sizes."""
    chance = random.Random(len(data))
    places = range(len(data) + 1)
    two = places if len(data) <= SMALL else sorted(chance.sample(places, DRAWN))
    ways = [[data], [data[at : at + 1] for at in range(len(data))]]
    ways += [[data[:at], data[at:]] for at in two]
    ways += [[data[at : at + size] for at in range(0, len(data), size)] for size in (2, 3, 7, 1400)]
    return ways


def told(chunks: list[bytes]) -> str:
    """How an input was cut, for a failure's message."""
    return f"{len(chunks)} chunks, the first of {len(chunks[0]) if chunks else 0} bytes"
