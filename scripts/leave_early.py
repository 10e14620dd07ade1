"""What clients that leave early leave behind.

N of them, at every point of a call, against a gateway and its upstream.

``python scripts/leave_early.py [N]``: the gateway and the replica run in this process, the clients
in another one. What is printed is counted before, while they come and go, and after: connections,
tasks, descriptors, memory. It ends with 1 where anything is left.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from pathlib import Path

from tailrace.gateway import Gateway, ModelRegistry, Settings, base_urls, open_sockets
from tailrace.gateway._sockets import raise_descriptor_limit
from tailrace.providers import WordPressChatProvider
from tailrace.replica import Replica

AT_ONCE = 200
SETTLE_SECONDS = 30
SEED = 5

Row = tuple[str, int, int, int, int, int, int]


def main() -> int:
    """Run as the parent, or as the clients that it starts."""
    if sys.argv[1:2] == ["--clients"]:
        asyncio.run(clients(int(sys.argv[2]), int(sys.argv[3])))
        return 0
    return asyncio.run(measure(int(sys.argv[1]) if sys.argv[1:] else 10_000))


async def measure(count: int) -> int:
    """Start all, count, and print."""
    settings = Settings(port=0)
    raise_descriptor_limit(settings)
    async with Replica(pace=0.01) as replica:
        url = replica.page("ai-power", "stream")
        shop = type("shop", (WordPressChatProvider,), {"url": url, "__module__": __name__})
        gateway = Gateway(settings, ModelRegistry([shop], created=1))
        sockets = open_sockets("127.0.0.1", 0)
        await gateway.start(sockets)
        port = base_urls(sockets)[0].rpartition(":")[2]
        rows: list[Row] = []
        await run_clients(
            port, AT_ONCE
        )  # what is made once and kept: page tokens, a thread, a kept connection
        await settled(gateway, replica)
        rows.append(counted("before", gateway, replica))
        begun = time.monotonic()
        coming = asyncio.create_task(run_clients(port, count))
        most = counted("most while", gateway, replica)
        while not coming.done():
            await asyncio.sleep(0.05)
            now = counted("most while", gateway, replica)
            most = ("most while", *(max(pair) for pair in zip(most[1:], now[1:], strict=True)))  # type: ignore[assignment]
        passed = time.monotonic() - begun
        last = time.monotonic()
        await settled(gateway, replica)
        settling = time.monotonic() - last
        rows += [most, counted("after", gateway, replica)]
        outcomes = gateway.context.stream_figures.snapshot().figures[0].outcomes
        await gateway.stop()
    show(
        rows,
        f"{count} clients in {passed:.1f} s, all gone {settling:.2f} s after the last; "
        f"calls ended: {outcomes}",
    )
    return int(
        any(after > before for before, after in zip(rows[0][1:6], rows[2][1:6], strict=True))
    )


async def run_clients(port: str, count: int) -> None:
    """The clients, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--clients", port, str(count)
    )
    if await process.wait():
        raise RuntimeError("the clients failed")


async def settled(gateway: Gateway, replica: Replica) -> None:
    """Wait until nothing is under way any more, and not for ever."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while any(counted("", gateway, replica)[1:4]):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


def counted(when: str, gateway: Gateway, replica: Replica) -> Row:
    """Connections, streams, upstream exchanges, tasks, descriptors, and the most memory in KiB."""
    return (
        when,
        gateway.context.request_figures.connections,
        gateway.context.stream_figures.snapshot().open_streams,
        replica.exchanges.open,
        len(asyncio.all_tasks()),
        len(list(Path("/proc/self/fd").iterdir())),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )


def show(rows: list[Row], words: str) -> None:
    """Print the table."""
    heads = ("", "connections", "streams", "upstream", "tasks", "descriptors", "max RSS KiB")
    for row in (heads, *rows):
        sys.stdout.write("".join(f"{each:>13}" for each in row) + "\n")
    sys.stdout.write(words + "\n")


# -- the clients -----------------------------------------------------------------------------------


async def clients(port: int, count: int) -> None:
    """So many, some hundred at once, each leaving at a point of its own."""
    chance = random.Random(SEED)  # noqa: S311 - where to leave is no secret
    places = asyncio.Semaphore(AT_ONCE)

    async def one(point: int, *, rudely: bool) -> None:
        async with places:
            await leave(port, point, rudely=rudely)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one(chance.randrange(7), rudely=chance.random() < 0.5))  # noqa: PLR2004


async def leave(port: int, point: int, *, rudely: bool) -> None:
    """Connect, go on up to `point`, and leave: with a FIN, or rudely with a reset."""
    body = json.dumps(
        {
            "model": "shop/default",
            "stream": True,
            "messages": [{"role": "user", "content": "hello"}],
        }
    )
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
    ]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    request = (head + body).encode()
    sent = (0, 10, len(head), len(request) - 3, len(request), len(request), len(request))[point]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request[:sent])
        if point > 4:  # noqa: PLR2004 - the last two see the answer begin, and a part of it
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1 if point == 5 else 3000)  # noqa: PLR2004
    finally:
        if rudely:
            writer.transport.abort()
        else:
            writer.close()


if __name__ == "__main__":
    sys.exit(main())
