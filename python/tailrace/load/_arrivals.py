"""When requests are due: pure functions of the plan and of randomness."""

from __future__ import annotations

import math
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tailrace.load._plan import Plan

__all__ = ["due_times", "user_starts"]


def user_starts(plan: Plan) -> list[float]:
    """Return when each user of a closed model begins, in seconds from the beginning."""
    users = plan.users or 0
    step = plan.lead / users if plan.ramp and users else 0.0
    return [number * step for number in range(users)]


def due_times(plan: Plan, random: Random) -> Iterator[float]:
    """Yield when the requests of an open model are due, in seconds from the beginning, for ever."""
    rate, ramp = plan.rate or 0.0, plan.lead if plan.ramp else 0.0
    for expected in _random_steps(random) if plan.arrivals == "poisson" else count(0.0):
        yield _moment(expected, rate, ramp)


def _random_steps(random: Random) -> Iterator[float]:
    """Yield the moments of a Poisson process of rate 1."""
    passed = 0.0
    while True:
        passed += random.expovariate(1.0)
        yield passed


def _moment(expected: float, rate: float, ramp: float) -> float:
    """Return when so many requests are expected, of a rate that has grown evenly over the `ramp`.

    Up to a moment t of the ramp these are rate * t * t / (2 * ramp), half as many as without it.
    """
    if expected < rate * ramp / 2:
        return math.sqrt(2 * ramp * expected / rate)
    return ramp / 2 + expected / rate
