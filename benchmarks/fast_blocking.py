"""One measurement of `fast.py` without asyncio: one stream, read by the thread that counts.

Counted is the processor time of the whole process, from the moment the stream is open and quiet
until it has all its text, as in `endtoend_client.py`. The result is one line of JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import openai

import tailrace.openai
from endtoend_client import QUESTION, SECONDS
from endtoend_wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


def measured(options: argparse.Namespace) -> float:
    """Nanoseconds an event."""
    wire = Wire(options.opening, options.events, options.per_write)
    names = ("streams", "opening", "events", "per_write", "interval")
    control(options, "run", {name: getattr(options, name) for name in names})
    with openai.OpenAI(base_url=f"{options.origin}/v1", api_key="key", timeout=SECONDS) as made:
        client = tailrace.openai.fast(made) if options.fast else made
        texts = read(client.chat.completions)
        opening = Wire(options.opening, 0, options.per_write).text
        text = taken(texts, len(opening))
        gc.collect()
        gc.freeze()
        control(options, "go")
        began = time.process_time_ns()
        text += taken(texts, len(wire.text) - len(opening))
        took = time.process_time_ns() - began
        control(options, "finish")
        text += "".join(texts)
    if text != wire.text:
        raise RuntimeError("a text is not what was sent")
    return took / int(options.events)


def read(completions: Any) -> Iterator[str]:
    """The texts of a stream, as a program reads them."""
    for chunk in completions.create(model="bench", messages=QUESTION, stream=True):
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield text


def taken(texts: Iterator[str], length: int) -> str:
    """The next texts, until they are so long."""
    parts: list[str] = []
    while length > 0:
        parts.append(next(texts))
        length -= len(parts[-1])
    return "".join(parts)


def control(options: argparse.Namespace, what: str, body: Any = None) -> None:
    """Tell the server."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{options.origin}/{what}", json.dumps(body).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as reply:  # noqa: S310 - our own server
        reply.read()


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--opening", type=int, default=20, help="events before the clock starts")
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--per-write", type=int, required=True)
    parser.add_argument("--interval", type=float, required=True, help="seconds between writes")
    parser.add_argument("--fast", action="store_true", help="read by the core")
    parser.set_defaults(streams=1)
    print(json.dumps(measured(parser.parse_args())), flush=True)


if __name__ == "__main__":
    main()
