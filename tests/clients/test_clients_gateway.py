"""Other people's clients in front of the gateway, and the replica behind it: the official packages,
litellm, LangChain and the command llm.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pydantic
import pytest
from gateway_app import RunningGateway, replicas_sites, serving

from tailrace.gateway import Key
from tailrace.replica import Question, Replica, builtin_answer
from tailrace.sites import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(180)]

KEY = "sk-tailrace-0123456789abcdef"
MODELS = ["shop/default", "kit/default", "gem/default", "open/mini"]
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]

strangers: list[object] = []
"""Addresses beyond loopback that somebody wanted to reach."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    address = (
        arguments[1]
        if event == "socket.connect"
        else arguments[0]
        if event == "socket.getaddrinfo"
        else None
    )
    host = address[0] if isinstance(address, tuple) else address
    if (
        isinstance(host, str)
        and host not in ("127.0.0.1", "::1", "localhost")
        and not host.startswith("/")
    ):
        strangers.append(address)
        raise PermissionError(f"a test asks nobody but loopback, not {host}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the clients send home is off, and a connection to anybody else fails the test."""
    for name in [
        name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("LANG")
    ]:
        monkeypatch.delenv(name)
    for name in (
        "LITELLM_LOCAL_MODEL_COST_MAP",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS",
        "DO_NOT_TRACK",
    ):
        monkeypatch.setenv(name, "True")
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    strangers.clear()
    yield
    assert strangers == []


@pytest.fixture
async def no_task_left() -> None:
    """Litellm leaves a task of its own, which writes its log."""


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    async with serving(replicas_sites(replica), keys=(Key.of("test", KEY),)) as running:
        yield running


async def answer() -> str:
    return await builtin_answer(Question("any", "Hello"))


# -- the official packages -------------------------------------------------------------------------

APIS = [
    "openai/gpt-4o",
    "claude/claude-sonnet-4-6",
    "gemini/gemini-2.5-flash",
    "ollama/qwen3-vl:8b",
]
PARAMETERS = {
    "type": "object",
    "properties": {"at": {"type": "string"}},
    "required": ["at"],
    "additionalProperties": False,
}


class Tide(pydantic.BaseModel):
    """A structured answer."""

    model_config = pydantic.ConfigDict(extra="forbid")

    at: str
    hour: int


@pytest.fixture
async def apis(replica: Replica) -> AsyncIterator[RunningGateway]:
    """A gateway over a server of each API."""
    sites = [
        Site(f"{replica.url('openai')}/v1", software="openai", name="openai"),
        Site(replica.url("anthropic"), software="anthropic", name="claude"),
        Site(replica.url("gemini"), software="gemini", name="gemini"),
        Site(replica.url("ollama"), software="ollama", name="ollama"),
    ]
    async with serving(sites, keys=(Key.of("test", KEY),)) as running:
        yield running


@pytest.fixture
async def client(apis: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=apis.base_url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
async def claude(apis: RunningGateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=apis.url, api_key=KEY, max_retries=0) as made:
        yield made


def valid(value: Any) -> None:
    """Hold an object of a client against its own type, which the client itself does not."""
    type(value).model_validate(value.model_dump(by_alias=True), strict=True)


@pytest.mark.parametrize("model", APIS)
async def test_openai_parses_an_answer(client: openai.AsyncOpenAI, model: str) -> None:
    asked: Any = {"model": model, "messages": [{"role": "user", "content": "When?"}]}
    valid(await client.chat.completions.create(**asked))
    completion = await client.chat.completions.parse(response_format=Tide, **asked)
    assert isinstance(completion.choices[0].message.parsed, Tide)
    async with client.chat.completions.stream(response_format=Tide, **asked) as stream:
        streamed = await stream.get_final_completion()
    assert streamed.choices[0].message.parsed == completion.choices[0].message.parsed
    valid(await client.responses.create(model=model, input="When?"))
    response = await client.responses.parse(model=model, input="When?", text_format=Tide)
    assert response.output_parsed == completion.choices[0].message.parsed


@pytest.mark.parametrize("model", APIS)
async def test_openai_gathers_calls(client: openai.AsyncOpenAI, model: str) -> None:
    tool: Any = {"type": "function", "function": {"name": "tide", "parameters": PARAMETERS}}
    messages: list[Any] = [{"role": "user", "content": "[[tools]] When?"}]
    async with client.chat.completions.stream(
        model=model, messages=messages, tools=[tool]
    ) as stream:
        told = (await stream.get_final_completion()).choices[0]
    assert told.finish_reason == "tool_calls"
    calls = told.message.tool_calls or []
    assert [call.function.name for call in calls] == ["tide", "tide"]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "nine"} for call in calls]
    messages += [told.message.model_dump(exclude_none=True), *results]
    again = await client.chat.completions.create(model=model, messages=messages, tools=[tool])
    assert "tide returned: " in (again.choices[0].message.content or "")


@pytest.mark.parametrize("model", APIS)
async def test_openai_streams_a_response(client: openai.AsyncOpenAI, model: str) -> None:
    tool: Any = {"type": "function", "name": "tide", "parameters": PARAMETERS, "strict": True}
    async with client.responses.stream(model=model, input="[[tool]] When?", tools=[tool]) as stream:
        for event in [event async for event in stream]:
            valid(event)
        told = await stream.get_final_response()
    (call,) = [item for item in told.output if item.type == "function_call"]
    assert set(json.loads(call.arguments)) == {"at"}


@pytest.mark.parametrize("model", APIS)
async def test_anthropic(claude: anthropic.AsyncAnthropic, model: str) -> None:
    hello: Any = {"model": model, "max_tokens": 1000, "messages": HELLO}
    whole = await claude.messages.create(**hello)
    valid(whole)
    assert [block.type for block in whole.content] == ["text"]
    async with claude.messages.stream(**hello) as stream:
        text = "".join([text async for text in stream.text_stream])
        told = await stream.get_final_message()
    assert (text, told.stop_reason) == (await answer(), "end_turn")
    assert [block.text for block in told.content] == [block.text for block in whole.content]


@pytest.mark.parametrize("model", APIS)
async def test_anthropic_uses_a_tool(claude: anthropic.AsyncAnthropic, model: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "[[tool]] When?"}]
    more: Any = {
        "model": model,
        "max_tokens": 1000,
        "tools": [{"name": "tide", "description": "When?", "input_schema": PARAMETERS}],
    }
    async with claude.messages.stream(messages=messages, **more) as stream:
        told = await stream.get_final_message()
    assert told.stop_reason == "tool_use"
    (use,) = [block for block in told.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "nine"}
    messages += [
        {"role": "assistant", "content": told.content},
        {"role": "user", "content": [result]},
    ]
    again = await claude.messages.create(messages=messages, **more)
    (said,) = again.content
    assert said.type == "text"
    assert said.text.startswith("tide returned: ")


async def test_anthropic_is_told_what_is_wrong(claude: anthropic.AsyncAnthropic) -> None:
    def asked(model: str, text: str) -> Any:
        messages = [{"role": "user", "content": text}]
        return {"model": model, "max_tokens": 100, "messages": messages}

    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.create(**asked("nowhere/x", "Hello"))
    with pytest.raises(anthropic.RateLimitError):
        await claude.messages.create(**asked("openai/gpt-4o", "[[err429]]"))
    with pytest.raises(anthropic.AuthenticationError):
        await claude.with_options(api_key="sk-another-key-0123456789").messages.create(
            **asked("openai/gpt-4o", "Hello")
        )
    async with claude.messages.stream(**asked("openai/gpt-4o", "[[midfail]]")) as stream:
        with pytest.raises(anthropic.APIStatusError, match="The server met an error"):
            await stream.until_done()
    counted = await claude.messages.count_tokens(model=APIS[1], messages=HELLO)
    assert counted.input_tokens > 0


# -- litellm ---------------------------------------------------------------------------------------


@pytest.fixture
def litellm() -> Any:
    import litellm as module  # noqa: PLC0415 - it warns, and looks at its environment

    module.telemetry = False
    module.suppress_debug_info = True
    return module


def at(gateway: RunningGateway, model: str, text: str = "Hello", **more: Any) -> dict[str, Any]:
    """The arguments of litellm's calls."""
    messages = [{"role": "user", "content": text}]
    return {
        "model": f"openai/{model}",
        "messages": messages,
        "api_base": gateway.base_url,
        "api_key": KEY,
        **more,
    }


@pytest.mark.parametrize("model", MODELS)
async def test_litellm(gateway: RunningGateway, litellm: Any, model: str) -> None:
    stream = await litellm.acompletion(
        **at(gateway, model, stream=True, stream_options={"include_usage": True})
    )
    chunks = [chunk async for chunk in stream]
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == await answer()
    )
    assert "stop" in [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert any(getattr(chunk, "usage", None) for chunk in chunks)
    whole = await litellm.acompletion(**at(gateway, model))
    assert whole.choices[0].message.content == await answer()
    assert whole.usage.total_tokens > 0
    blocking = await asyncio.to_thread(litellm.completion, **at(gateway, model, temperature=0.5))
    assert blocking.choices[0].message.content == await answer()


@pytest.mark.parametrize(
    ("model", "text", "kind"),
    [
        ("open/mini", "[[err429]]", "RateLimitError"),
        ("open/mini", "[[too-long]]", "BadRequestError"),
        ("open/mini", "[[err500]]", "APIError"),
        ("nowhere/x", "Hello", "NotFoundError"),
    ],
)
async def test_litellm_is_told_what_is_wrong(
    gateway: RunningGateway, litellm: Any, model: str, text: str, kind: str
) -> None:
    with pytest.raises(Exception, match=r"(?s).+") as caught:
        await litellm.acompletion(**at(gateway, model, text, num_retries=0, max_retries=0))
    assert kind in {each.__name__ for each in type(caught.value).__mro__}


async def test_litellm_is_told_of_a_failure_in_the_middle(
    gateway: RunningGateway, litellm: Any
) -> None:
    stream = await litellm.acompletion(
        **at(gateway, "open/mini", "[[midfail]]", stream=True, max_retries=0)
    )
    with pytest.raises(Exception, match="The server met an error"):
        _ = [chunk async for chunk in stream]


# -- LangChain -------------------------------------------------------------------------------------


def chat_openai(gateway: RunningGateway, model: str, **more: Any) -> Any:
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - it takes its time

    return ChatOpenAI(model=model, base_url=gateway.base_url, api_key=KEY, max_retries=0, **more)


@pytest.mark.parametrize("model", MODELS)
async def test_langchain(gateway: RunningGateway, model: str) -> None:
    chat = chat_openai(gateway, model, temperature=0.5, stream_usage=True)
    whole = await chat.ainvoke("Hello")
    assert whole.content == await answer()
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata["total_tokens"] > 0
    chunks = [chunk async for chunk in chat.astream([("system", "Be brief."), ("user", "Hello")])]
    assert "".join(chunk.content for chunk in chunks).endswith((await answer())[-200:])
    assert any(chunk.usage_metadata for chunk in chunks)
    assert (await asyncio.to_thread(chat.invoke, "Hello")).content == await answer()
    stopped = await chat.ainvoke("Hello", stop=["earlier"])
    assert stopped.content == "You asked: “Hello” (0 "


async def test_langchain_is_told_what_is_wrong(gateway: RunningGateway) -> None:
    import openai  # noqa: PLC0415

    with pytest.raises(openai.NotFoundError):
        await chat_openai(gateway, "nowhere/x").ainvoke("Hello")
    with pytest.raises(openai.RateLimitError):
        await chat_openai(gateway, "open/mini").ainvoke("[[err429]]")
    with pytest.raises(openai.APIError, match="The server met an error"):
        _ = [chunk async for chunk in chat_openai(gateway, "open/mini").astream("[[midfail]]")]


# -- the command llm -------------------------------------------------------------------------------


async def test_llm(gateway: RunningGateway, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        "".join(
            f"- model_id: {model.replace('/', '-')}\n  model_name: {model}\n"
            f"  api_base: {gateway.base_url}\n"
            "  api_key_name: gateway\n"
            for model in ("shop/default", "open/mini", "nowhere/x")
        )
    )
    (tmp_path / "keys.json").write_text(json.dumps({"gateway": KEY}))

    async def llm(*arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llm", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "LC_ALL": "C.UTF-8",
                "LLM_USER_PATH": str(tmp_path),
                "HOME": str(tmp_path),
            },
        )
        output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()

    for options in ([], ["--no-stream"]):
        for model in ("shop-default", "open-mini"):
            code, output, errors = await llm("-m", model, *options, "Hello")
            assert (code, output) == (0, await answer() + "\n"), errors
    code, output, errors = await llm(
        "-m", "open-mini", "-s", "Be brief.", "-o", "temperature", "0.5", "Hello"
    )
    assert (code, output) == (0, await answer() + "\n"), errors
    code, output, errors = await llm("-m", "nowhere-x", "Hello")
    assert (code, output) == (1, "")
    assert "there is no model 'nowhere/x' here" in errors
    code, output, errors = await llm("-m", "open-mini", "[[midfail]]")
    assert code == 1
    assert "The server met an error" in errors
