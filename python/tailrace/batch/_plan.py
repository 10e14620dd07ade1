"""What a batch is to be: how many requests at once, how fast, how patient."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from tailrace._calls.retry_policy import RetryPolicy
from tailrace.errors import InvalidRequestError

__all__ = ["Plan"]

_RETRY = RetryPolicy(attempts=5)
_MOST = 1e9
_MOST_WAITED = 999_999.0  # seconds, as of a policy
_LONGEST_REQUEST = 3600.0  # seconds
_LEAST = {
    "concurrency": 1,
    "rpm": 1e-3,
    "tpm": 1e-3,
    "row_timeout": 1e-3,
    "retry_budget": 0,
    "stop_after": 1,
    "patience": 0,
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a batch: how fast its rows are asked, and how patiently.

    `concurrency`: requests under way at most, 64. `adaptive`: where the site answers 429, 503 or
    529, fewer: each refusal takes half a request off the number, which is halved where all under
    way are refused, and each round of answers adds one again. A Retry-After holds for all rows, if
    it is no longer than `patience`, or than a `retry` that is given allows. `rpm` and `tpm`:
    requests and tokens a minute, evenly, with no burst. A request's tokens are estimated before,
    from the size of its body and the answers so far, and corrected by the usage that its answer
    tells.

    `row_timeout`: seconds that one request may take as a whole, those of the site or an hour unless
    given: a reply may come in bytes without an end. The site's other clocks run besides.
    `retry`: when a row is asked again, that of the site or five attempts unless given; refusals
    (429, 503, 529) do not count as attempts, up to ten. `retry_budget`: the share of the run's
    requests that may be such further attempts, 0.5; beyond it a failure stands.

    `stop_after`: failures of the site (no connection, no answer in time, a status of 500 or more, a
    key it refuses) in succession, with no answer among them, at which requests are held back and
    one at a time probes the site, 20; and the rows that may fail for one reason before the first
    answer, at which rows of other models, endpoints and fields are asked, and the run stops where
    these fail for it, too; None for never. `patience`: the seconds after which the run
    stops if no probe is answered, 300; soon where waiting cannot help. Rows that the outage failed
    are asked again.

    Raises InvalidRequestError for a number out of range.
    """

    concurrency: int = 64
    adaptive: bool = True
    rpm: float | None = None
    tpm: float | None = None
    row_timeout: float | None = None
    retry: RetryPolicy | None = None
    retry_budget: float = 0.5
    stop_after: int | None = 20
    patience: float = 300.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is None and name not in ("concurrency", "retry_budget", "patience"):
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not least <= value < _MOST:
                raise InvalidRequestError(f"{name} must be {least:g} or more, not {value!r}")
        for name in ("concurrency", "stop_after"):
            if not isinstance(getattr(self, name), int | None):
                raise InvalidRequestError(f"{name} must be a whole number")
        if not isinstance(self.retry, RetryPolicy | None):
            raise InvalidRequestError("retry must be a RetryPolicy")

    def seconds_a_request(self, total_timeout: float | None) -> float:
        """Return how long one request may take at a site whose own clock is `total_timeout`."""
        if self.row_timeout is not None:
            return self.row_timeout
        return _LONGEST_REQUEST if total_timeout is None else total_timeout

    def retry_at(self, policy: RetryPolicy | None) -> RetryPolicy:
        """Return when rows are asked again, at a site whose own `policy` is this one."""
        if self.retry is not None:
            return self.retry
        chosen = policy or _RETRY
        longest = max(chosen.longest_retry_after, min(self.patience, _MOST_WAITED))
        return replace(chosen, longest_retry_after=longest)

    def __str__(self) -> str:
        words = [
            f"{self.concurrency} at once",
            *([f"{self.rpm:g} requests a minute"] if self.rpm is not None else []),
            *([f"{self.tpm:g} tokens a minute"] if self.tpm is not None else []),
        ]
        return ", ".join(words)
