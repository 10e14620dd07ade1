"""The limit of open files is raised as far as the system lets it be."""

from __future__ import annotations

import subprocess
import sys

import pytest

RAISE = """
import resource
from tailrace._cli.descriptors import make_room
from tailrace.transport._descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 356))
print(raise_limit(100), raise_limit(316), raise_limit(10_000))
make_room(292)
make_room(293)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_as_far_as_it_may_and_said_where_that_is_too_little() -> None:
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", RAISE], capture_output=True, text=True, check=True
    )
    assert done.stdout == "100 316 356\n(356, 356)\n"
    assert done.stderr == (
        "tailrace: the system allows 356 open files, too few for 293 connections at once: "
        "raise it (ulimit -n)\n"
    )
