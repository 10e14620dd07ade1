"""The outside of calls: clock, randomness, environment variables. Tests give their own."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

__all__ = ["Environment", "running_loop"]


@dataclass(frozen=True, slots=True)
class Environment:
    """The outside of a call: wall clock in milliseconds, randomness, environment variables."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    random: random.Random = field(default_factory=random.SystemRandom)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop; InvalidRequestError where none of asyncio is running."""
    import asyncio  # noqa: PLC0415 - a program that only blocks never pays for the import

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise InvalidRequestError(
        "no event loop of asyncio is running: under trio and the like use blocking code in a "
        "thread, which runs a loop of its own"
    )
