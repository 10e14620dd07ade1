"""One contender of `batch.py`, in a process of its own.

Counted is from the input's file, before it is opened, to the last answer: for ours on the disk, for
the others in memory. The result is one line of JSON: seconds and processor seconds of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["BARE", "CONTENDERS", "FLEET", "OPENAI", "OURS", "WORKERS"]

OURS = "tailrace.batch"
FLEET = "tailrace.batch, over a fleet"
BARE = "aiohttp, gather"
WORKERS = "aiohttp, workers"
OPENAI = "openai, gather with a semaphore"
CHAT = "/chat/completions"
HEADERS = {"Content-Type": "application/json"}


def bodies(path: Path) -> list[dict[str, Any]]:
    """The bodies of OpenAI's batch lines."""
    with path.open() as file:
        return [json.loads(line)["body"] for line in file]


async def ours(url: str, rows: Path, out: Path, at_once: int) -> int:
    """The whole run: input checked, each row read, asked and written once."""
    from tailrace import Site, batch  # noqa: PLC0415 - each contender has its own process

    site = Site(url, software="openai", model="bench")
    report = await batch.run(rows, out, site, batch.Plan(concurrency=at_once))
    return report.done


async def over_a_fleet(url: str, rows: Path, out: Path, at_once: int) -> int:
    """The same run, over a fleet."""
    from tailrace import Site, batch  # noqa: PLC0415

    site = Site(url, software="openai", model="bench")
    plan = batch.Plan(concurrency=at_once)
    report = await batch.run(rows, out, site, plan, engine="fleet")
    return report.done


async def bare(url: str, rows: Path, out: Path, at_once: int) -> int:
    """A task for each row, and as many connections as are to be under way."""
    del out
    import aiohttp  # noqa: PLC0415

    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:

        async def one(body: dict[str, Any]) -> Any:
            async with session.post(url + CHAT, json=body) as reply:
                return await reply.json()

        answers = await asyncio.gather(*map(one, bodies(rows)))
    return sum("choices" in answer for answer in answers)


async def workers(url: str, rows: Path, out: Path, at_once: int) -> int:
    """As many tasks as are to be under way, which take the rows in turn."""
    del out
    import aiohttp  # noqa: PLC0415

    waiting = iter(bodies(rows))
    answers: list[Any] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:

        async def work() -> None:
            for body in waiting:
                async with session.post(url + CHAT, json=body) as reply:
                    answers.append(await reply.json())

        await asyncio.gather(*(work() for _ in range(at_once)))
    return sum("choices" in answer for answer in answers)


async def openai_gather(url: str, rows: Path, out: Path, at_once: int) -> int:
    """What its users write."""
    del out
    from openai import AsyncOpenAI  # noqa: PLC0415

    gate = asyncio.Semaphore(at_once)
    async with AsyncOpenAI(base_url=url, api_key="none", timeout=300, max_retries=0) as client:

        async def one(body: dict[str, Any]) -> Any:
            async with gate:
                return await client.chat.completions.create(**body)

        answers = await asyncio.gather(*map(one, bodies(rows)))
    return sum(bool(answer.choices) for answer in answers)


CONTENDERS: dict[str, Callable[[str, Path, Path, int], Coroutine[Any, Any, int]]] = {
    OURS: ours,
    FLEET: over_a_fleet,
    BARE: bare,
    WORKERS: workers,
    OPENAI: openai_gather,
}


def main() -> None:
    """Run one contender, print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("url")
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("at_once", type=int)
    asked = parser.parse_args()
    contender = CONTENDERS[asked.contender]
    warmed(asked.contender)
    begun, processor = time.perf_counter(), time.process_time()
    done = asyncio.run(contender(asked.url, asked.rows, asked.out, asked.at_once))
    took = {
        "done": done,
        "seconds": time.perf_counter() - begun,
        "processor": time.process_time() - processor,
    }
    print(json.dumps(took))


def warmed(contender: str) -> None:
    """Import what a contender imports: a long run does not notice it."""
    if contender == OURS:
        import tailrace.batch  # noqa: PLC0415
        import tailrace.transport._over_aiohttp  # noqa: PLC0415
    elif contender == FLEET:
        import tailrace_fleet  # noqa: PLC0415, F401

        import tailrace.batch  # noqa: PLC0415, F401
    elif contender == OPENAI:
        import openai.resources.chat  # noqa: PLC0415, F401
    else:
        import aiohttp  # noqa: PLC0415, F401


if __name__ == "__main__":
    main()
