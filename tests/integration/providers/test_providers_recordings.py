"""Recorded calls played back: each is what it was, over both transports.

A user's recording joins them as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailrace._calls.token_cache import TokenCache
from tailrace.errors import TailraceError
from tailrace.recording import read_recording
from tailrace.replica import Replay
from tailrace.sites import site
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from tailrace.sites import CallOptions
    from tailrace.transport import TransportKind

FOLDER = Path(__file__).parents[2] / "vectors" / "recordings"
CALLS: list[dict[str, Any]] = json.loads((FOLDER / "calls.json").read_text(encoding="utf-8"))[
    "cases"
]
KINDS: list[TransportKind] = ["aiohttp", "impersonate"]


def test_every_recording_is_played() -> None:
    assert sorted(each["file"] for each in CALLS) == sorted(
        each.name for each in FOLDER.glob("*.jsonl")
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["name"])
async def test_a_recorded_call(call: dict[str, Any], kind: TransportKind) -> None:
    text, told = "", None
    async with (
        Replay(read_recording(FOLDER / call["file"])) as replay,
        make_transport(kind) as transport,
    ):
        played = site(replay.url, call["software"])
        options: CallOptions = {"transport": transport}
        if played.software == "wordpress":
            options["token_cache"] = TokenCache()
        async with played.stream("hello", **options) as stream:
            try:
                async for delta in stream:
                    text += delta
            except TailraceError as error:
                told = {"type": type(error).__name__, "message": str(error)}
    assert (text, stream.end, told) == (call["text"], call["end"], call["error"])
