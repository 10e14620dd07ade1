"""Batches of requests: a file in, a file of answers out, each row once, whatever dies."""

from __future__ import annotations

__all__: list[str] = []
