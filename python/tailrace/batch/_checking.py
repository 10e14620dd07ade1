"""An input read once before anything of it is sent: whether each row can be, and ids are unequal.

Of each row 8 bytes are kept, a hash of its id. Where two are equal, a second reading finds out
whether the ids are.
"""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from tailrace.batch._rows import BadRow
from tailrace.errors import BatchInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.batch._inputs import Source

__all__ = ["Checked", "bad_rows", "check"]

_TOLD = 100  # bad rows that an error tells
_NAMED = 3  # of them in its message
_BUCKETS = 256


class Checked(msgspec.Struct, frozen=True):
    """Result of reading a batch's input through before anything is sent.

    `rows`: how many rows it has, bad ones included; `bad`: how many of them cannot be sent;
    `last`: the number of the last one; `sent` and `carried`: the names of fields that are sent with
    the prompts, and of those that are not.
    """

    rows: int
    bad: int
    last: int
    sent: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()


def check(source: Source, *, skip_bad: bool = False) -> tuple[Checked, frozenset[int]]:
    """Read `source` through, and return what it holds, and hashes of ids that occur twice.

    Raises BatchInputError for rows that cannot be sent, with their numbers, unless `skip_bad`; for
    an input that cannot be read; and for one without any row.
    """
    rows = bad = last = 0
    buckets = [array("q") for _ in range(_BUCKETS)]
    for each in source.rows():
        rows += 1
        last = each.number
        if isinstance(each, BadRow):
            bad += 1
        else:
            hashed = hash(each.id)
            buckets[hashed % _BUCKETS].append(hashed)
    if not rows:
        raise BatchInputError(f"{source.name} holds no rows")
    repeated = _repeated(buckets)
    if repeated:
        bad = sum(1 for _ in bad_rows(source, repeated))
    if bad and not skip_bad:
        raise _refusal(source, bad, repeated)
    return Checked(rows, bad, last, *source.fields_seen), repeated


def _repeated(buckets: list[array[int]]) -> frozenset[int]:
    repeated: set[int] = set()
    while buckets:
        bucket = buckets.pop()
        if len(set(bucket)) == len(bucket):
            continue
        counts = Counter(bucket)
        repeated.update(each for each, count in counts.items() if count > 1)
    return frozenset(repeated)


def bad_rows(source: Source, repeated: frozenset[int]) -> Iterator[tuple[int, BadRow]]:
    """Yield the rows that cannot be sent, and those whose id an earlier row has.

    Each with its position among all rows, from 0. `repeated`: the hashes of ids that occur twice,
    as `check` returns them.
    """
    first: dict[str, int] = {}
    for position, (number, record) in enumerate(source.records()):
        each = source.read(number, record)
        if isinstance(each, BadRow):
            yield position, each
        elif hash(each.id) in repeated:
            before = first.setdefault(each.id, number)
            if before != number:
                reason = f"its id, {each.id!r}, is that of {source.noun} {before}"
                yield position, source.bad(number, record, reason, each.id)


def _refusal(source: Source, bad: int, repeated: frozenset[int]) -> BatchInputError:
    told = [
        f"{source.noun} {each.number}: {each.reason}"
        for _, each in islice(bad_rows(source, repeated), _TOLD)
    ]
    rows = "1 row" if bad == 1 else f"{bad} rows"
    named = "; ".join(told[:_NAMED])
    more = f"; and {bad - _NAMED} more" if bad > _NAMED else ""
    return BatchInputError(f"{rows} of {source.name} cannot be sent: {named}{more}", told, bad)
