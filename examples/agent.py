"""An agent: a model asks for a tool, is told what it returned, and answers.

Through the gateway, the same loop works at a server of any API. Runs against the replica on
loopback; `pip install openai` first.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from openai import AsyncOpenAI

from tailrace import Site
from tailrace.gateway import Gateway, ModelRegistry, Settings, base_urls, open_sockets
from tailrace.replica import Replica

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "high_water",
        "description": "Say when the water is high at a place",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}
MODELS = [
    "chat/gpt-4o",
    "responses/gpt-4o",
    "anthropic/claude-sonnet-4-6",
    "gemini/gemini-2.5-flash",
    "ollama/qwen3-vl:8b",
]
MOST_TURNS = 4


def high_water(place: str) -> str:
    """Say when the water is high."""
    return f"at nine at {place}"


async def answer(client: AsyncOpenAI, model: str, question: str) -> str:
    """Ask, call what the model asks for, and go on until it answers."""
    messages: list[Any] = [{"role": "user", "content": question}]
    for _ in range(MOST_TURNS):
        completion = await client.chat.completions.create(
            model=model, messages=messages, tools=[TOOL]
        )
        message = completion.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content or ""
        messages += [result(call) for call in message.tool_calls]
    raise RuntimeError(f"{model} did not answer in {MOST_TURNS} turns")


def result(call: Any) -> dict[str, str]:
    """Call the tool that the model asks for; what is wrong with the call is told to the model."""
    try:
        returned = high_water(**json.loads(call.function.arguments))
    except (TypeError, ValueError) as error:
        returned = f"error: {error}"
    print(f"  {call.function.name}({call.function.arguments}) -> {returned}")
    return {"role": "tool", "tool_call_id": call.id, "content": returned}


def sites(replica: Replica) -> list[Site]:
    """Return a site of each API."""
    openai = f"{replica.url('openai')}/v1"
    return [
        Site(openai, software="openai", name="chat"),
        Site(openai, software="openai", api="responses", name="responses"),
        Site(replica.url("anthropic"), software="anthropic", name="anthropic"),
        Site(replica.url("gemini"), software="gemini", name="gemini"),
        Site(replica.url("ollama"), software="ollama", name="ollama"),
    ]


async def main() -> None:
    """Run the agent at every site."""
    async with Replica() as replica:
        gateway = Gateway(Settings(), ModelRegistry(sites(replica), created=int(time.time())))
        sockets = open_sockets("127.0.0.1", 0)
        await gateway.start(sockets)
        url = f"{base_urls(sockets)[0]}/v1"
        async with AsyncOpenAI(base_url=url, api_key="unused") as client:
            for model in MODELS:
                print(model)
                text = await answer(client, model, "When is high water? [[tool]]")
                print(f"  {text.splitlines()[0]}")
        await gateway.stop()


if __name__ == "__main__":
    asyncio.run(main())
