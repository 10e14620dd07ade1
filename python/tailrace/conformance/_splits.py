"""The ways a reply may be cut into reads, the plainest first.

No read is empty; data without a byte has no read at all.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["splits", "with_fewer_reads"]

Split = tuple[bytes, ...]

SMALL = 500
"""The most bytes that are cut in two at every offset; more are at `DRAWN` random offsets."""

DRAWN = 40
RANDOM = 10
"""The number of random splits, each into 3 to 8 reads."""


def splits(data: bytes, *, brief: bool = False, seed: int = 0) -> Iterator[Split]:
    """Cut `data` in all ways: whole, in two at each offset, at random offsets, byte by byte.

    `brief`: whole and byte by byte alone. `seed`: of the random offsets.
    """
    yield (data,) if data else ()
    if len(data) < 2:  # noqa: PLR2004 - one byte is whole
        return
    if not brief:
        # To be repeated, not to be secret.
        chance = random.Random(f"{seed} {len(data)}")  # noqa: S311
        offsets = range(1, len(data))
        for at in offsets if len(data) <= SMALL else sorted(chance.sample(offsets, DRAWN)):
            yield data[:at], data[at:]
        for _ in range(RANDOM):
            cuts = sorted(chance.sample(offsets, min(chance.randint(2, 7), len(offsets))))
            yield tuple(data[start:end] for start, end in pairwise((0, *cuts, len(data))))
    yield tuple(data[at : at + 1] for at in range(len(data)))


def with_fewer_reads(split: Split, still_fails: Callable[[Split], bool]) -> Split:
    """Join neighbouring reads as long as the failure stays, in at most one trial for each read."""
    at = 0
    while at + 1 < len(split) > 2:  # noqa: PLR2004 - whole and in two have been tried
        joined = (*split[:at], split[at] + split[at + 1], *split[at + 2 :])
        if still_fails(joined):
            split = joined
        else:
            at += 1
    return split
