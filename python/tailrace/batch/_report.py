"""The report of a batch: what became of its rows."""

from __future__ import annotations

import json
from typing import Literal

import msgspec

from tailrace import __version__
from tailrace._messages import browser_text
from tailrace.batch._plan import Plan  # noqa: TC001 - msgspec reads it

__all__ = ["Report", "Tokens"]


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of a run's answers: of prompts, of answers, and both together.

    `estimated`: those of `total` that the site did not tell, and are a guess.
    """

    prompt: int = 0
    completion: int = 0
    total: int = 0
    estimated: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of one run of a batch.

    `site`, `url`, `software`, `model`: who was asked; `at`: when the run began, as ISO 8601 in UTC;
    `input`, `output`: the file and the folder; `shard`: the index of this run's part of the rows,
    and the number of parts; `plan`: how it was to ask; `seconds`: how long it took.

    Rows: `rows` of the shard; of these `skipped` were done by an earlier run, `done` by this one,
    `failed` have their line among the failures (`failed_before`: since before this run began, or as
    they cannot be sent at all), and `left` are for another run. `requests` that were sent;
    `retries`: those among them that asked a row again; `refused`: those answered 429, 503 or 529.
    `under_way` and `concurrency`: requests that are waited for, and how many may be, now.

    `errors`: this run's failed rows by the code of their error, of each of which `examples` has the
    first one's message; `dropped`: fields without effect at the site, by name, and in how many
    rows; `usage`: the tokens of the answers. `waiting`: while the site is down, and one request
    now and then probes it, why; empty otherwise. `paused`: the seconds for which the site wants no
    request, as its Retry-After said. `interrupted`: whether somebody ended the run
    early; `stopped`: why the run ended by itself before its last row, empty where it did not.
    """

    site: str
    url: str
    software: str
    model: str
    at: str
    input: str
    output: str
    shard: tuple[int, int]
    plan: Plan
    seconds: float = 0.0
    rows: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    failed_before: int = 0
    left: int = 0
    under_way: int = 0
    concurrency: int = 0
    requests: int = 0
    retries: int = 0
    refused: int = 0
    errors: dict[str, int] = {}
    examples: dict[str, str] = {}
    dropped: dict[str, int] = {}
    usage: Tokens = Tokens()
    waiting: str = ""
    paused: float = 0.0
    interrupted: bool = False
    stopped: str = ""
    version: str = __version__
    form: Literal[1] = 1

    def to_json(self) -> bytes:
        """Return the report as JSON, on one line."""
        try:
            return msgspec.json.encode(self, enc_hook=_written)
        except UnicodeEncodeError:  # a file's name may be no text
            pass
        fields = msgspec.to_builtins(self, enc_hook=_written)
        return browser_text(json.dumps(fields, separators=(",", ":"), ensure_ascii=False)).encode()


def _written(value: object) -> None:
    """Write a function, which is how a policy of retries tells failures apart, as null."""
    del value
