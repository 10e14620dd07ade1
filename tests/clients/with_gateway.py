"""Run a command beside a gateway in front of the replica: ``with_gateway.py COMMAND…``.

The command has the gateway's base URL in ``TAILRACE_GATEWAY`` and a key for it in
``TAILRACE_GATEWAY_KEY``; its exit code is this one's. Other people's programs so need nothing of
ours in their environment.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from typing import TYPE_CHECKING

from tailrace import Site
from tailrace.gateway import Gateway, Key, ModelRegistry, Settings, base_urls, open_sockets
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = "sk-tailrace-0123456789abcdef"


def sites(replica: Replica) -> list[Site]:
    """Return a site of each API, and one that takes text alone."""
    openai = f"{replica.url('openai')}/v1"
    return [
        Site(openai, software="openai", name="openai", model="gpt-4o"),
        Site(openai, software="openai", api="responses", name="answers", model="gpt-4o"),
        Site(replica.url("anthropic"), software="anthropic", name="anthropic"),
        Site(replica.url("gemini"), software="gemini", name="gemini"),
        Site(replica.url("ollama"), software="ollama", name="ollama"),
        Site(replica.page("ai-power", "stream"), name="shop"),
    ]


async def run(command: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    async with Replica(answers=answer) as replica:
        sockets = open_sockets("127.0.0.1", 0)
        settings = Settings(keys=(Key.of("test", KEY),), grace=0.0)
        gateway = Gateway(settings, ModelRegistry(sites(replica), created=int(time.time())))
        await gateway.start(sockets)
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment(base_urls(sockets)[0])
            )
            return await process.wait()
        finally:
            await gateway.stop()


async def answer(question: Question) -> str:
    """Answer as the built-in model does, and DSPy in its own form: 1 for each field."""
    fields = _FIELD.findall(question.message.partition("Respond with the corresponding output")[2])
    if not fields:
        return await builtin_answer(question)
    return "\n\n".join(f"[[ ## {field} ## ]]\n1" for field in fields)


_FIELD = re.compile(r"\[\[ ## (\w{1,99}) ## \]\]")


def environment(url: str) -> dict[str, str]:
    """Return the process's variables without proxies, and with the gateway at `url`."""
    own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**own, "TAILRACE_GATEWAY": url, "TAILRACE_GATEWAY_KEY": KEY}


if __name__ == "__main__":
    sys.exit(asyncio.run(run(sys.argv[1:])))
