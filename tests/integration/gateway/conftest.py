"""A replica, and the gateway's API in front of its sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gateway_app import Gateway, replicas_sites, serving

from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[Gateway]:
    async with serving(replicas_sites(replica)) as running:
        yield running
