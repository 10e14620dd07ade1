"""The outside of calls: clock, randomness, environment variables. Tests give their own."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Environment"]


@dataclass(frozen=True, slots=True)
class Environment:
    """The outside of a call: wall clock in milliseconds, randomness, environment variables."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    random: random.Random = field(default_factory=random.SystemRandom)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
