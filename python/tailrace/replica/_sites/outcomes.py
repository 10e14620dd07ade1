"""Outcomes of a request to the model behind a site, which each software reports in its own form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LONG_TEXT = " ".join(f"word{number}" for number in range(400))
"""A long answer whose words can be counted."""

CHUNKS_BEFORE_FAILURE = 3
"""The number of chunks that come before an answer's stream fails."""

StreamEnd = Literal["done", "nodone", "midfail", "cut", "stall"]
"""The end of the model's stream: ``[DONE]``, none, an error, a cut line, or a stall."""


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """The model answered with `text` (None: with the text of the replica's `Answers`).

    `slowness` is the factor by which the answer is slower than the replica's pace.
    """

    text: str | None = None
    end: StreamEnd = "done"
    slowness: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether all of the text came, with or without the ``[DONE]``."""
        return self.end in ("done", "nodone")


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """The model's API answered with an error; `code`: the API's name of the error."""

    message: str
    status: int = 500
    code: str = "upstream_error"
