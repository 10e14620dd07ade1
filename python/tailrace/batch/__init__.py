"""Batches of requests: a file in, a file of answers out, each row once, whatever dies.

``tailrace batch IN OUT --site S`` is this as a command. `run` asks a site for every row of a file,
as fast as a `Plan` allows, and returns a `Report`; begun again, it goes on where it ended.
"""

from __future__ import annotations

from tailrace.batch._beginning import run
from tailrace.batch._plan import Plan
from tailrace.batch._report import Report, Tokens

__all__ = ["Plan", "Report", "Tokens", "run"]
