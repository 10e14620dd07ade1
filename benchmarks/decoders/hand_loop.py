"""The benchmarks' hand loop, giving its text as it comes.

Lines cut at line feeds, each event's JSON by a library.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jiter
import msgspec
import orjson

from contenders.hand_loop import DECODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["with_jiter", "with_json", "with_msgspec", "with_orjson"]


def datas(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What stands behind ``data:`` in each line."""
    held = b""
    for chunk in chunks:
        lines = (held + chunk).split(b"\n")
        held = lines.pop()
        for line in lines:
            field, _colon, data = line.partition(b":")
            if field == b"data":
                yield data


def with_msgspec(chunks: Iterable[bytes]) -> Iterator[str]:
    """With types."""
    for data in datas(chunks):
        try:
            choices = DECODE(data).choices
        except msgspec.DecodeError:
            if data.strip() == b"[DONE]":
                return
            continue
        if choices and (content := choices[0].delta.content):
            yield content


def untyped(loads: Callable[[bytes], Any]) -> Callable[[Iterable[bytes]], Iterator[str]]:
    """With a library that makes dictionaries; `loads` raises ValueError for what is no JSON."""

    def text(chunks: Iterable[bytes]) -> Iterator[str]:
        for data in datas(chunks):
            try:
                choices = loads(data)["choices"]
            except ValueError:
                if data.strip() == b"[DONE]":
                    return
                continue
            if choices and (content := choices[0]["delta"].get("content")):
                yield content

    return text


with_jiter = untyped(jiter.from_json)
with_json = untyped(json.loads)
with_orjson = untyped(orjson.loads)
