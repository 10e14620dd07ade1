"""The two ends of the gateway's benchmark.

An upstream that sends fixed events, and clients that count what comes.

Both are plain asyncio protocols, so that they cost little beside what stands between them.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import cast

__all__ = ["STEPS", "Load", "StreamClient", "Upstream", "listen", "serve_upstream"]

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)


_STAMP = re.compile(rb'"content": ?" ?([0-9]{6,})')


def event(content: str, finish: str | None = None, *, role: bool = False) -> bytes:
    """One chunk as OpenAI sends it, about 260 bytes."""
    delta = (
        {"role": "assistant", "content": "", "refusal": None}
        if role
        else {"content": content}
        if content
        else {}
    )
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    record = {
        "id": "chatcmpl-CZ7lq3kUyX0aJ8mN2vB4sD6fG9hT1",
        "object": "chat.completion.chunk",
        "created": 1_762_900_000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
        "choices": [choice],
    }
    return b"data: " + json.dumps(record, separators=(",", ":")).encode() + b"\n\n"


def chunked(data: bytes) -> bytes:
    """RFC 9112, section 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class Load:
    """What a stream is.

    `events` writes of `together` deltas, `gap` seconds apart (0: as fast as the loop turns).

    `stamped`: each delta is the moment it was sent, in nanoseconds of the machine's monotonic
    clock. `held`: after the deltas nothing more comes, and the stream stays open. `step`: its
    deltas are sent one by one, each when `STEPS` says so, which the client does that has read the
    one before.
    """

    events: int = 200
    gap: float = 0.05
    stamped: bool = False
    held: bool = False
    step: str = ""
    together: int = 1


STEPS: dict[str, asyncio.Event] = {}
"""Of each stream that goes step by step: its client has read all that was sent."""


class Upstream(asyncio.Protocol):
    """A server of chat completions that says the same to everybody.

    The load is read from the question's words.
    """

    def __init__(self) -> None:
        self._read = b""
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's: the connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """Asyncio's: the reader is behind."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Asyncio's: the reader has caught up."""
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Asyncio's: the connection is gone."""
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Asyncio's: bytes came."""
        self._read += data
        head, found, rest = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        lengths = [
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        ]
        length = int(lengths[0].split(b":")[1]) if lengths else 0
        if len(rest) < length:
            return
        body, self._read = rest[:length], rest[length:]
        self._task = asyncio.get_running_loop().create_task(self._answer(head, body))

    async def _answer(self, head: bytes, body: bytes) -> None:
        transport = cast("asyncio.Transport", self._transport)
        if head.startswith(b"GET"):
            listed = (
                b'{"object":"list","data":'
                b'[{"id":"gpt-4o-mini","object":"model","created":0,"owned_by":"x"}]}'
            )
            transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(listed), listed)
            )
            return
        load = Load(**json.loads(json.loads(body)["messages"][-1]["content"]))
        fixed = chunked(event(" mill") * load.together)
        transport.write(HEAD + chunked(event("", role=True)) + fixed)
        loop = asyncio.get_running_loop()
        due = loop.time()
        step = STEPS.get(load.step)
        for _ in range(load.events - 1):
            if step is not None:
                await step.wait()
                step.clear()
            elif load.gap:
                due += load.gap
                await asyncio.sleep(due - loop.time())
            else:
                await asyncio.sleep(0)
            await self._may_write.wait()
            transport.write(chunked(event(f"{time.monotonic_ns()} ")) if load.stamped else fixed)
        if load.held:
            await asyncio.Event().wait()
        transport.write(chunked(event("", "stop")) + chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def listen(port: int) -> asyncio.Server:
    """The upstream, in this loop."""
    return await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)


async def serve_upstream(port: int, _upstream: str = "") -> None:
    """Listen until the process ends."""
    await (await listen(port)).serve_forever()


@dataclass
class StreamClient(asyncio.Protocol):
    """One stream asked for and read to its end.

    How many `reads`, for stamped events their delays, and `first_after`: nanoseconds from the
    request to the first delta.
    """

    request: bytes
    stamped: bool = False
    step: str = ""
    reads: int = 0
    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    delays: list[int] = field(default_factory=list)
    sent_at: int = 0
    first_after: int = 0
    tail: bytes = b""
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's: the connection stands."""
        self.transport = cast("asyncio.Transport", transport)
        self.sent_at = time.monotonic_ns()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Asyncio's: bytes came."""
        now = time.monotonic_ns()
        if not self.reads and not data.startswith(b"HTTP/1.1 200"):
            self._end(RuntimeError(f"not a stream: {data[:600]!r}"))
            return
        self.reads += 1
        if b"mill" in data and not self.begun.is_set():
            self.first_after = now - self.sent_at
            self.begun.set()
        if self.step:
            STEPS[self.step].set()
        if self.stamped:
            # Events are small, and are read as they were written.
            self.delays += [now - int(stamp) for stamp in _STAMP.findall(data)]
        self.tail = (self.tail + data)[-64:]
        if b"[DONE]" in self.tail:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's: the connection is gone."""
        self._end(RuntimeError(f"the stream broke off: {self.tail!r} {exc}"))

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
        if self.transport is not None:
            self.transport.close()

    def leave(self) -> None:
        """Close the connection: what came is what was wanted."""
        self._end(None)
