"""Each worker's share of what a run may do at once and in a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

if TYPE_CHECKING:
    from tailrace.batch import Plan

__all__ = ["share_of"]


def share_of(plan: Plan, index: int, count: int) -> Plan:
    """Return the plan of one of `count` workers, whose shares are the `plan` as a whole.

    `index`: the worker's, from 0. There are at most as many workers as requests at once.
    """
    each, more = divmod(plan.concurrency, count)
    return structs.replace(
        plan,
        concurrency=each + (index < more),
        rpm=None if plan.rpm is None else plan.rpm / count,
        tpm=None if plan.tpm is None else plan.tpm / count,
    )
