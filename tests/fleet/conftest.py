"""What the fleet's tests share: an authority, both ways to read, and a check that nothing is left.

They want the wheel ``tailrace-fleet``: ``make test-fleet`` builds it.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING

import pytest
from held import descriptors, threads
from loopback import Authority
from two_ways import WAYS, Way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LAST_LOOKS = 100


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Read over aiohttp's transport, and over a fleet."""
    return WAYS[request.param]


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    """No test leaves a thread of a fleet or a descriptor; a thread that was joined may be seen for
    a moment.
    """
    held, ran = len(descriptors()), len(threads()) - threading.active_count()
    yield
    gc.collect()
    for _ in range(_LAST_LOOKS):
        left = (len(descriptors()) - held, len(threads()) - threading.active_count() - ran)
        if max(left) <= 0:
            return
        await asyncio.sleep(0.01)
    assert left == (0, 0)
