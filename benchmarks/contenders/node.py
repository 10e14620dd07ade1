"""node.

The package eventsource-parser and JSON.parse, in a process that lives as long as the run and takes
its own CPU time.

It is asked for a turn like everyone else, so rounds interleave as far as two processes can. What it
tells includes its collector and its compiler, which have threads of their own.
"""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from contenders import Contender
from timing import SelfTimed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workloads import Reply

__all__ = ["CONTENDERS"]

FOLDER = Path(__file__).resolve().parent.parent
WARM_UP = 5  # turns on a new reply before one counts: the compiler wants to have seen it


class Node:
    """The process, and the reply it has at hand."""

    def __init__(self, program: str) -> None:
        command = [program, str(FOLDER / "eventsource.mjs")]
        self._process = subprocess.Popen(  # noqa: S603 - our own command line
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self._at_hand: Sequence[bytes] = ()
        atexit.register(self.close)

    def close(self) -> None:
        """End it, as the end of its input does."""
        self._process.communicate()

    def decode(self, _: Reply, feeds: Sequence[bytes]) -> SelfTimed:
        """One turn."""
        if feeds is not self._at_hand:
            self._hand_over(feeds)
        return self._turn()

    def _hand_over(self, feeds: Sequence[bytes]) -> None:
        self._at_hand = feeds
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"".join(feeds))
            file.flush()
            self._write(json.dumps({"file": file.name, "feeds": [len(feed) for feed in feeds]}))
            for _ in range(WARM_UP):
                self._turn()

    def _turn(self) -> SelfTimed:
        self._write("")
        if self._process.stdout is None:
            raise BrokenPipeError
        said = json.loads(self._process.stdout.readline())
        return SelfTimed(said["nanoseconds"], [said["text"]])

    def _write(self, line: str) -> None:
        if self._process.stdin is None:
            raise BrokenPipeError
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


PROGRAM = shutil.which("node")
if PROGRAM is None or not (FOLDER / "node_modules" / "eventsource-parser").is_dir():
    raise ImportError("node or its eventsource-parser is not installed")
CONTENDERS = (
    Contender(
        "node: eventsource-parser + JSON.parse",
        Node(PROGRAM).decode,
        ("node", "eventsource-parser"),
    ),
)
