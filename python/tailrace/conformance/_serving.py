"""The program's side of the protocol, for decoders in Python.

Cases come on standard input, answers go to standard output.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import IO, TYPE_CHECKING, Any

from tailrace.conformance._callables import OPTIONS, calling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailrace.conformance._callables import DecodeResult
    from tailrace.conformance._rulebook import Kind

__all__ = ["ITEMS", "PROTOCOL", "VERSION", "serve"]

PROTOCOL = "tailrace-conformance"
VERSION = 1
ITEMS: dict[Kind, str] = {"sse": "events", "deltas": "text"}
"""The key of an answer's items."""


def serve(
    decode: Callable[..., Any], *, name: str = "", claims: Iterable[str] | None = None
) -> None:
    """Answer the runner until it closes standard input.

    `decode` is called with each case, as a callable is; its prints go to standard error. `name`:
    the decoder's name in reports. `claims`: the abilities, of `CLAIMS`, that it has; by default
    types and ids for events, none for chat replies.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        hello = json.loads(sys.stdin.buffer.readline())
        greeting: dict[str, Any] = {PROTOCOL: VERSION, "name": name}
        if claims is not None:
            greeting["claims"] = sorted(claims)
        _write(out, greeting)
        kind: Kind = hello["kind"]
        with calling(decode, kind) as ask:
            for line in sys.stdin.buffer:
                case = json.loads(line)
                chunks = [base64.b64decode(chunk) for chunk in case["chunks"]]
                options = {name: case[name] for name in OPTIONS if name in case}
                answer = _message(ask(chunks, **options), kind)
                _write(out, {"case": case["case"], **answer})


def _message(answer: DecodeResult, kind: Kind) -> dict[str, Any]:
    if answer.lost is not None:
        return {"lost": answer.lost}
    return {ITEMS[kind]: answer.items, "failure": answer.failure}


def _write(out: IO[str], message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()
