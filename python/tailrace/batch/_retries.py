"""When a row that failed is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from tailrace._calls.retry_policy import RetryPolicy
    from tailrace.batch._rates import Verdict
    from tailrace.errors import TailraceError

__all__ = ["Tries", "has_budget", "seconds_until_next"]

_MOST_REFUSALS = 10  # of one row that do not count as attempts
_FREE_RETRIES = 20  # of a run, beside its budget


class Tries(Protocol):
    """A row's requests: `attempts`, and `refusals`, which are no attempts."""

    attempts: int
    refusals: int


def has_budget(counts: Mapping[str, int], retry_budget: float) -> bool:
    """Tell whether a run may ask rows again: of its `counts` of requests, retries and refused."""
    again = counts["retries"] - counts["refused"]
    return again < _FREE_RETRIES + retry_budget * counts["requests"]


def seconds_until_next(
    tries: Tries,
    error: TailraceError,
    verdict: Verdict,
    policy: RetryPolicy,
    *,
    chance: random.Random,
    in_budget: bool,
) -> float | None:
    """Return the seconds until a row is asked again, None where its failure stands.

    A refusal is taken back from the row's attempts. `in_budget`: whether the run's budget allows
    more than refusals.
    """
    if verdict.kind == "refused" and tries.refusals < _MOST_REFUSALS and policy.attempts > 1:
        tries.refusals += 1
        tries.attempts -= 1
        made = min(tries.refusals, policy.attempts - 1)
        return policy.decide(error, made, chance)[0]
    return policy.decide(error, tries.attempts, chance)[0] if in_budget else None
