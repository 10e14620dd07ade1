"""A batch's rows: what is asked, and what cannot be asked."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENDPOINTS", "INVALID_ROW", "BadRow", "Row", "RowError"]

ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings")
"""The paths that a row may be sent to, as OpenAI's batches name them."""

INVALID_ROW = "invalid_row"
"""The code of the failure of a row that cannot be sent."""


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a batch.

    `number`: the line, record or row of the input it stands in, from 1; `id`: its ``custom_id``;
    `endpoint`: one of `ENDPOINTS`; `body`: the request's JSON object, on one line, as the input has
    it.
    """

    number: int
    id: str
    endpoint: str
    body: bytes


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of the input that cannot be sent.

    `number`: as of `Row`; `id`: its ``custom_id``, None where none can be read; `reason`: what is
    wrong, in words; `raw`: the beginning of the row as it stands in the input.
    """

    number: int
    id: str | None
    reason: str
    raw: str = ""


class RowError(Exception):
    """A record of the input is no row; the error does not leave the package.

    `id`: the row's, None where none can be read.
    """

    def __init__(self, reason: str, row_id: str | None = None) -> None:
        self.reason = reason
        self.id = row_id
        super().__init__(reason)
