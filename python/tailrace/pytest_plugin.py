"""A pytest fixture that plays recordings.

``pytest_plugins = ["tailrace.pytest_plugin"]`` in a root ``conftest.py``.

::

    async def test_the_bot_that_broke_off(tailrace_replay):
        url = tailrace_replay("recordings/broke-off.jsonl")
        with pytest.raises(tailrace.errors.StreamError):
            await tailrace.ChatGptt.create_async("", messages, url=url)

Works in tests with and without asyncio: the recording is served from a thread of its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

from tailrace._streams.loop_thread import LoopThread
from tailrace.recording import read_recording
from tailrace.replica._replay import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ServeRecording", "tailrace_replay"]


class ServeRecording(Protocol):
    """The type of the fixture `tailrace_replay`."""

    def __call__(self, path: str | Path, *, pace: float = 0.0) -> str:
        """Serve the recording in the file `path` until the test ends; return the URL for ``url=``.

        `pace`: factor of the recorded waits, 0 (none) by default, 1 for the recorded pace. Raises
        RecordingError for a file that is no recording, and OSError as `open` does.
        """
        ...


@pytest.fixture
def tailrace_replay() -> Iterator[ServeRecording]:
    """Serve recordings on loopback until the test ends."""
    with LoopThread() as loop, ExitStack() as stack:

        def serve(path: str | Path, *, pace: float = 0.0) -> str:
            replay = Replay(read_recording(path), pace=pace)
            loop.run(replay.__aenter__())
            stack.callback(lambda: loop.run(replay.__aexit__(None, None, None)))
            return replay.url

        yield serve
