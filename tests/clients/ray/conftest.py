"""A Ray cluster of this machine, whose files and token are in a folder of the tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Short, for the paths of its sockets.
FOLDER = Path(tempfile.mkdtemp(prefix="tr", dir="/tmp"))

# Before Ray is imported: its token is written to the home folder, and it counts who uses it.
os.environ.update(HOME=str(FOLDER), RAY_USAGE_STATS_ENABLED="0", DO_NOT_TRACK="1")
os.environ.pop("RAY_ADDRESS", None)


@pytest.fixture(scope="session", autouse=True)
def _cluster() -> Iterator[None]:
    import ray  # noqa: PLC0415 - see above

    ray.init(
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(FOLDER / "ray"),
        log_to_driver=False,
    )
    yield
    ray.shutdown()
    shutil.rmtree(FOLDER, ignore_errors=True)
