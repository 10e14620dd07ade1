"""A few lines of one's own around a JSON library: the way to beat.

Reads are cut at line feeds with one C call, and the unfinished line is put before the next read:
the fastest way for reads of a kilobyte or more, and quadratic in the length of an event that comes
in many small ones. A carriage return at a line's end is white space to every JSON reader, and so is
the space after ``data:``. Comments and other fields are passed over. The sentinel is looked for
only where no JSON is.

What is left out, and what a decoder of the whole protocol pays for: data over several lines, lines
ended by a carriage return alone, a byte order mark, named events, error frames, limits, ids, usage,
finish reasons, how the reply ended.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from contenders import STRONGEST, Contender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workloads import Reply

__all__ = ["CONTENDERS", "untyped", "untyped_bodies"]


class Delta(msgspec.Struct, gc=False):
    """What is wanted of a delta."""

    content: str | None = None


class Choice(msgspec.Struct, gc=False):
    """What is wanted of a choice."""

    delta: Delta


class Chunk(msgspec.Struct, gc=False):
    """What is wanted of a chunk; the rest is skipped, and still validated."""

    choices: list[Choice]


DECODE = msgspec.json.Decoder(Chunk).decode


def typed(_: Reply, feeds: Sequence[bytes]) -> list[str]:
    """With msgspec, which builds nothing but what the types name."""
    decode = DECODE
    texts: list[str] = []
    append = texts.append
    held = b""
    for feed in feeds:
        lines = (held + feed if held else feed).split(b"\n")
        held = lines.pop()
        for line in lines:
            field, _colon, data = line.partition(b":")
            if field != b"data":
                continue
            try:
                choices = decode(data).choices
            except msgspec.DecodeError:
                if data.strip() == b"[DONE]":
                    return texts
                continue
            if choices and (content := choices[0].delta.content):
                append(content)
    return texts


def untyped(loads: Callable[[bytes], Any]) -> Callable[[Reply, Sequence[bytes]], list[str]]:
    """With a library that makes dictionaries of everything.

    `loads` raises ValueError for what is no JSON.
    """

    def decode(_: Reply, feeds: Sequence[bytes]) -> list[str]:
        texts: list[str] = []
        append = texts.append
        held = b""
        for feed in feeds:
            lines = (held + feed if held else feed).split(b"\n")
            held = lines.pop()
            for line in lines:
                field, _colon, data = line.partition(b":")
                if field != b"data":
                    continue
                try:
                    choices = loads(data)["choices"]
                except ValueError:
                    if data.strip() == b"[DONE]":
                        return texts
                    continue
                if choices and (content := choices[0]["delta"].get("content")):
                    append(content)
        return texts

    return decode


class Answer(msgspec.Struct, gc=False):
    """What is wanted of a buffered body."""

    data: str


def typed_bodies(_: Reply, feeds: Sequence[bytes]) -> list[str]:
    """Each body with msgspec."""
    decode = msgspec.json.Decoder(Answer).decode
    return [decode(body).data for body in feeds]


def untyped_bodies(loads: Callable[[bytes], Any]) -> Callable[[Reply, Sequence[bytes]], list[str]]:
    """Each body with a library that makes dictionaries."""
    return lambda _, feeds: [loads(body)["data"] for body in feeds]


CONTENDERS = (
    Contender(STRONGEST, typed, ("msgspec",), loop=True),
    Contender("hand loop + json, gpt4free's way", untyped(json.loads), ("python",), loop=True),
    Contender("msgspec, typed", typed_bodies, ("msgspec",), buffered=True),
    Contender("json", untyped_bodies(json.loads), ("python",), buffered=True),
)
