"""The outside of calls: clock, randomness, environment variables. Tests give their own."""

from __future__ import annotations

import os
import random
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

__all__ = ["Environment", "current_loop", "running_loop"]


@dataclass(frozen=True, slots=True)
class Environment:
    """The outside of a call: clocks, randomness, environment variables.

    `now_ms`: the wall clock, in milliseconds; `monotonic_ns`: a clock that runs evenly, for the
    times of a reply, in nanoseconds.
    """

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    random: random.Random = field(default_factory=random.SystemRandom)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)


def running_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's running event loop; raises InvalidRequestError where none is running."""
    loop = current_loop()
    if loop is None:
        raise InvalidRequestError(
            "a call runs in an event loop of asyncio, and none is running here: not in another "
            "framework, such as trio, nor in plain code"
        )
    return loop


def current_loop() -> asyncio.AbstractEventLoop | None:
    """Return asyncio's running event loop, None where none is running."""
    module = sys.modules.get("asyncio")  # without it no loop can run
    loop: asyncio.AbstractEventLoop | None = (
        None if module is None else module._get_running_loop()  # noqa: SLF001 - it never raises
    )
    return loop
