"""The `openai` package asks, Tailrace reads: the same client, its bytes instead of its objects.

Runs against the replica on loopback; `pip install openai` first.
"""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI, OpenAI

from tailrace import stream_deltas
from tailrace.replica import Replica


def ask(base_url: str, question: str) -> None:
    """Without asyncio."""
    with OpenAI(base_url=base_url, api_key="unused") as client:
        request = client.chat.completions.with_streaming_response.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": question}],
            stream=True,
            stream_options={"include_usage": True},
        )
        with request as response, stream_deltas(response) as deltas:
            for text in deltas:
                print(text, end="", flush=True)
        print(f"\n\n    [{deltas.end}, {deltas.finish_reason}, {deltas.usage}]\n")


async def ask_async(base_url: str, question: str) -> None:
    """With asyncio."""
    async with AsyncOpenAI(base_url=base_url, api_key="unused") as client:
        request = client.chat.completions.with_streaming_response.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": question}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async with request as response, stream_deltas(response) as deltas:
            async for text in deltas:
                print(text, end="", flush=True)
        print(f"\n\n    [{deltas.end}, {deltas.finish_reason}, {deltas.usage}]\n")


async def main() -> None:
    """Ask the replica's OpenAI-compatible server both ways."""
    async with Replica(pace=0.005) as replica:
        base_url = replica.url("openai") + "/v1"
        await ask_async(base_url, "What runs off below the mill?")
        await asyncio.to_thread(ask, base_url, "And above it?")


if __name__ == "__main__":
    asyncio.run(main())
