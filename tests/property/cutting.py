"""What properties share: bytes in reads of any sizes, and odds."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

Usual = TypeVar("Usual")
Rare = TypeVar("Rare")

sizes = st.lists(st.integers(0, 12), max_size=40)
"""How long the first reads are; the rest comes in one."""


def mostly(
    usual: st.SearchStrategy[Usual], rare: st.SearchStrategy[Rare]
) -> st.SearchStrategy[Usual | Rare]:
    """One in eight is rare: `one_of` gives every branch of a branch the same odds."""
    chosen: st.SearchStrategy[Usual | Rare] = st.integers(0, 7).flatmap(
        lambda odds: rare if odds == 7 else usual
    )
    return chosen


def cut(data: bytes, lengths: list[int]) -> list[bytes]:
    """`data` in reads of these lengths, then the rest; a length of 0 is an empty read."""
    chunks, at = [], 0
    for length in lengths:
        chunks.append(data[at : at + length])
        at += length
    return [*chunks, data[at:]]


def bytewise(data: bytes) -> list[bytes]:
    """`data` byte by byte."""
    return [data[at : at + 1] for at in range(len(data))]
