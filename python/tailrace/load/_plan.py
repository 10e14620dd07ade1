"""What a load is to be: how many ask, how often, and for how long."""

from __future__ import annotations

from typing import Literal

import msgspec

from tailrace.errors import InvalidRequestError

__all__ = ["Arrivals", "Plan"]

Arrivals = Literal["poisson", "constant"]
"""How the requests of an open model follow each other: at random, or at one distance."""

_DEFAULT_SECONDS = 30.0
_LONGEST_WARM_UP = 10.0
_RAMP = 5.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a load: who asks, how often, for how long. Every plan ends by itself.

    Closed model: `users` ask at once, each again when its answer is whole; one user is the default.
    Open model: `rate` requests a second are due, whether earlier ones are answered or not;
    `arrivals`: ``poisson`` (at random, as many strangers come) or ``constant``. At most `most_open`
    of them are under way; those that have to wait for a place count from when they were due.

    `seconds`: how long requests begin, `requests`: how many do; whichever comes first, and 30
    seconds unless one is given. `warm_up`: seconds before that, whose requests are left out of the
    figures; a tenth of `seconds` and 10 at most unless given, and none where `requests` alone are
    (5 with `ramp`). `ramp`: the users come, or the rate grows, evenly over the warm-up. `grace`:
    seconds that requests under way get at the end; those still open then are cut and counted.

    Raises InvalidRequestError for a number out of range, and for `users` with a `rate`.
    """

    users: int | None = None
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    ramp: bool = False
    seconds: float | None = None
    requests: int | None = None
    warm_up: float | None = None
    most_open: int = 1000
    grace: float = 120.0

    def __post_init__(self) -> None:
        self._check()
        put = msgspec.structs.force_setattr
        if self.users is None and self.rate is None:
            put(self, "users", 1)
        if self.seconds is None and self.requests is None:
            put(self, "seconds", _DEFAULT_SECONDS)
        if self.warm_up is None:
            put(self, "warm_up", self._usual_warm_up())

    def _check(self) -> None:
        if self.users is not None and self.rate is not None:
            raise InvalidRequestError("users are a closed model, a rate is an open one: give one")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < _MOST:
                raise InvalidRequestError(f"{name} must be {least:g} or more, not {value!r}")
        for name in ("rate", "seconds"):
            if getattr(self, name) == 0:
                raise InvalidRequestError(f"{name} must be above 0")

    def _usual_warm_up(self) -> float:
        if self.seconds is not None:
            return min(self.seconds / 10, _LONGEST_WARM_UP)
        return _RAMP if self.ramp else 0.0

    @property
    def lead(self) -> float:
        """The seconds of the warm-up."""
        return self.warm_up or 0.0

    def __str__(self) -> str:
        who = (
            f"{self.rate:g} requests a second ({self.arrivals}, open model)"
            if self.rate is not None
            else f"{self.users} {'user' if self.users == 1 else 'users'} (closed model)"
        )
        length = [
            *([f"{self.seconds:g} s"] if self.seconds is not None else []),
            *([f"{self.requests} requests"] if self.requests is not None else []),
        ]
        ramp = ", with a ramp" if self.ramp and self.lead else ""
        return f"{who}, {' or '.join(length)} after {self.lead:g} s of warm-up{ramp}"


_MOST = 1e9
_LEAST = {
    "users": 1,
    "rate": 0,
    "seconds": 0,
    "requests": 1,
    "warm_up": 0,
    "most_open": 1,
    "grace": 0,
}
