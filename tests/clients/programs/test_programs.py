"""Other people's commands in front of the gateway: aider, and litellm's proxy with clients of its
own.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from gateway_app import RunningGateway, serving

from tailrace import Site
from tailrace.gateway import Key
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(180)]

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KEY = "sk-tailrace-0123456789abcdef"
RESULT = "12 m, rising"
MODELS = {
    "openai": "openai/gpt-4o",
    "responses": "answers/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-6",
    "gemini": "gemini/gemini-2.5-flash",
    "ollama": "ollama/llama3.2:latest",
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"at": {"type": "string"}},
    "required": ["at"],
    "additionalProperties": False,
}
EDIT = """\
level.py
```python
<<<<<<< SEARCH
LEVEL = 11
=======
LEVEL = 12
>>>>>>> REPLACE
```
"""


async def answer(question: Question) -> str:
    """Edit aider's file for whoever asks for a higher level; else the built-in answer."""
    return EDIT if "Raise the level" in question.message else await builtin_answer(question)


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(answers=answer) as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    url = f"{replica.url('openai')}/v1"
    sites = [
        Site(url, software="openai", name="openai"),
        Site(url, software="openai", api="responses", name="answers", model="gpt-4o"),
        Site(replica.url("anthropic"), software="anthropic", name="anthropic"),
        Site(replica.url("gemini"), software="gemini", name="gemini"),
        Site(replica.url("ollama"), software="ollama", name="ollama"),
    ]
    async with serving(sites, keys=(Key.of("test", KEY),)) as running:
        yield running


async def start(
    name: str, *command: str, home: Path, **variables: str
) -> asyncio.subprocess.Process:
    """Start a command of the environment ``.venv-NAME``."""
    python = ROOT / f".venv-{name}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"`make test-programs` makes {python.parent.parent.name}")
    return await asyncio.create_subprocess_exec(
        *(python, HERE / "only_loopback.py", *command),
        cwd=home,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            **variables,
        },
    )


# -- aider -----------------------------------------------------------------------------------------

QUIET = (
    *("--yes-always", "--no-git", "--no-pretty", "--no-check-update", "--no-analytics"),
    *("--no-show-release-notes", "--no-show-model-warnings", "--no-gitignore"),
)


@pytest.mark.skipif(
    not (ROOT / ".venv-aider" / "bin" / "aider").exists(), reason="aider is not for this Python"
)
@pytest.mark.parametrize(
    ("api", "way"), [("openai", "whole"), *((api, "streamed") for api in MODELS)]
)
async def test_aider(gateway: RunningGateway, tmp_path: Path, api: str, way: str) -> None:
    (tmp_path / "level.py").write_text("LEVEL = 11\n")
    prices = tmp_path / ".aider" / "caches" / "model_prices_and_context_window.json"
    prices.parent.mkdir(parents=True)
    prices.write_text("{}")  # else it asks for them
    options = ("--edit-format", "diff", "--stream" if way == "streamed" else "--no-stream")
    process = await start(
        *("aider", "aider", "--model", f"openai/{MODELS[api]}", *options, *QUIET),
        *("--message", "Raise the level.", "level.py"),
        home=tmp_path,
        OPENAI_API_BASE=gateway.base_url,
        OPENAI_API_KEY=KEY,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert (tmp_path / "level.py").read_text() == "LEVEL = 12\n", said.decode()


# -- litellm's proxy -------------------------------------------------------------------------------

CONFIG = """
model_list:
{models}
litellm_settings: {{telemetry: false}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""
ROW = """
  - model_name: {name}
    litellm_params: {{model: "{provider}/{model}", api_base: "{base}", api_key: "{key}"}}
"""


@asynccontextmanager
async def proxy(gateway: RunningGateway, home: Path) -> AsyncIterator[str]:
    """Litellm's proxy in front of the gateway: ``openai-NAME`` asks it as OpenAI's API,
    ``anthropic-NAME`` as Anthropic's.
    """
    bases = {"openai": gateway.base_url, "anthropic": gateway.url}
    rows = [
        ROW.format(name=f"{provider}-{api}", provider=provider, model=model, base=base, key=KEY)
        for provider, base in bases.items()
        for api, model in MODELS.items()
    ]
    (home / "config.yaml").write_text(CONFIG.format(models="".join(rows)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await start(
        *("gateways", "litellm", "--config", "config.yaml", "--telemetry", "False"),
        *("--host", "127.0.0.1", "--port", str(port)),
        home=home,
    )
    try:
        assert process.stdout is not None
        said = ""
        while not re.search(r"running on http://", said):
            line = await process.stdout.readline()
            assert line, said
            said += line.decode()
        reading = asyncio.create_task(process.stdout.read())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
    await reading


async def check_chat(client: openai.AsyncOpenAI, model: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "Hello"}]
    more: Any = {"model": model, "max_tokens": 999}  # else it takes what its own table has
    whole = await client.chat.completions.create(messages=messages, **more)
    assert "“Hello”" in (whole.choices[0].message.content or "")
    stream = await client.chat.completions.create(messages=messages, stream=True, **more)
    texts = [part.choices[0].delta.content or "" async for part in stream if part.choices]
    assert "".join(texts) == whole.choices[0].message.content
    function = {"name": "level", "description": "reads a gauge", "parameters": SCHEMA}
    tools: list[Any] = [{"type": "function", "function": function}]
    asked: list[Any] = [{"role": "user", "content": "How high? [[tool]]"}]
    called = await client.chat.completions.create(messages=asked, tools=tools, **more)
    message = called.choices[0].message
    (call,) = message.tool_calls or []
    result = {"role": "tool", "tool_call_id": call.id, "content": RESULT}
    asked += [message.model_dump(exclude_none=True), result]
    final = await client.chat.completions.create(messages=asked, tools=tools, **more)
    assert RESULT in (final.choices[0].message.content or "")


async def check_messages(client: anthropic.AsyncAnthropic, model: str) -> None:
    asking: dict[str, Any] = {"model": model, "max_tokens": 4096}
    hello: list[Any] = [{"role": "user", "content": "Hello"}]
    whole = await client.messages.create(**asking, messages=hello)
    assert "“Hello”" in whole.content[0].text  # type: ignore[union-attr]
    async with client.messages.stream(**asking, messages=hello) as stream:
        assert await stream.get_final_text() == whole.content[0].text  # type: ignore[union-attr]
    tools = [{"name": "level", "description": "reads a gauge", "input_schema": SCHEMA}]
    asked: list[Any] = [{"role": "user", "content": "How high? [[tool]]"}]
    called = await client.messages.create(**asking, messages=asked, tools=tools)
    assert called.stop_reason == "tool_use"
    (call,) = [block for block in called.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
    asked += [
        {"role": "assistant", "content": [block.model_dump() for block in called.content]},
        {"role": "user", "content": [result]},
    ]
    final = await client.messages.create(**asking, messages=asked, tools=tools)
    assert RESULT in final.content[-1].text  # type: ignore[union-attr]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_litellm_proxy(gateway: RunningGateway, tmp_path: Path, provider: str) -> None:
    failed: dict[str, str] = {}
    async with (
        proxy(gateway, tmp_path) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as chat,
        anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as messages,
    ):
        for api in MODELS:
            name = f"{provider}-{api}"
            for check in (check_chat(chat, name), check_messages(messages, name)):
                try:
                    await check
                except (openai.APIError, anthropic.APIError, AssertionError, ValueError) as error:
                    failed[f"{check.__name__} {name}"] = str(error)[:1500]
    assert not failed, "\n".join(map(str, failed.items()))
