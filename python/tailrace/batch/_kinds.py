"""Kinds of rows: what they ask for beside their prompts.

An input may be sorted by its rows' models, or hold those first that all have one field: that these
fail says nothing of the others. So a run asks rows of other kinds before it gives a site up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailrace.batch._asking import Prepared
    from tailrace.batch._rows import Row

__all__ = ["MOST_OTHERS", "Kind", "kind_of", "rows_of_other_kinds"]

MOST_OTHERS = 20
"""The most kinds of which a row is asked before a site is given up."""

_READ_A_TURN = 100  # rows, between two turns of the loop
_read_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Kind(NamedTuple):
    """Kind of a row: its endpoint, its model, and the names of its body's fields."""

    endpoint: str
    model: str
    fields: frozenset[str]


def kind_of(row: Row, prepared: Prepared) -> Kind:
    """Return the kind of a row that can be sent."""
    return Kind(row.endpoint, prepared.model, frozenset(_read_names(row.body)))


async def rows_of_other_kinds(
    rows: Iterator[Row],
    prepare: Callable[[Row], Prepared],
    known: set[Kind],
    is_over: Callable[[], bool],
) -> list[tuple[Row, Prepared]]:
    """Return the first row of each kind but those `known`, `MOST_OTHERS` at most.

    Those of another endpoint or model stand before those that have other fields alone. `is_over`
    ends the reading, which lets the loop turn now and then.
    """
    seen, names = set(known), {each[:2] for each in known}
    others: list[tuple[Row, Prepared]] = []
    with_other_fields: list[tuple[Row, Prepared]] = []
    for count, row in enumerate(rows, 1):
        if count % _READ_A_TURN == 0:
            await asyncio.sleep(0)
        if len(others) >= MOST_OTHERS or is_over():
            break
        try:
            prepared = prepare(row)
        except InvalidRequestError:
            continue  # the run refuses it when it comes to it
        kind = kind_of(row, prepared)
        if kind[:2] not in names:
            others.append((row, prepared))
        elif kind not in seen and len(with_other_fields) < MOST_OTHERS:
            with_other_fields.append((row, prepared))
        names.add(kind[:2])
        seen.add(kind)
    return [*others, *with_other_fields][:MOST_OTHERS]
