"""Vectors that stand for texts: the same for the same text."""

from __future__ import annotations

import math
import random


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Return a vector of length 1 that stands for `text`."""
    numbers = random.Random(text.encode("utf-8", "surrogatepass"))  # noqa: S311 - nothing secret
    values = [numbers.uniform(-1, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]
