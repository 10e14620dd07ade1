"""Other people's clients in front of the gateway, and the replica behind it: the packages of OpenAI
and Anthropic, litellm, LangChain and the command llm.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from gateway_app import RunningGateway, replicas_sites, serving
from pydantic import BaseModel

from tailrace import Site
from tailrace.gateway import Key
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(180)]

KEY = "sk-tailrace-0123456789abcdef"
MODELS = ["shop/default", "kit/default", "gem/default", "open/mini"]
TOOLING = {
    "openai": "chat/gpt-4o",
    "responses": "answers/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-6",
    "gemini": "gemini/gemini-2.5-flash",
    "ollama": "ollama/llama3.2:latest",
}
"""A model of a site with each API."""

RESULT = "12 m, rising"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"at": {"type": "string"}},
    "required": ["at"],
    "additionalProperties": False,
}
FUNCTION: dict[str, Any] = {
    "name": "level",
    "description": "reads a gauge",
    "parameters": SCHEMA,
    "strict": True,
}
TOOLS: list[Any] = [{"type": "function", "function": FUNCTION}]
HIGH: list[Any] = [{"role": "user", "content": "How high? [[tool]]"}]
TWICE: list[Any] = [{"role": "user", "content": "How high? [[tools]]"}]
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float


LEVEL = Level(gauge="gauge 1", metres=1)

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
    sites = [*replicas_sites(replica), *apis(replica)]
    async with serving(sites, keys=(Key.of("test", KEY),)) as running:
        yield running


def apis(replica: Replica) -> list[Site]:
    """A site of each API."""
    url = f"{replica.url('openai')}/v1"
    return [
        Site(url, software="openai", name="chat"),
        Site(url, software="openai", api="responses", name="answers"),
        Site(replica.url("anthropic"), software="anthropic", name="anthropic"),
        Site(replica.url("gemini"), software="gemini", name="gemini"),
        Site(replica.url("ollama"), software="ollama", name="ollama"),
    ]


@pytest.fixture(params=TOOLING)
def tooling(request: pytest.FixtureRequest) -> str:
    return TOOLING[request.param]


async def answer() -> str:
    return await builtin_answer(Question("any", "Hello"))


def valid(value: Any) -> None:
    """Hold an object of a client against its own type, which the client itself does not."""
    type(value).model_validate(value.model_dump(by_alias=True), strict=True)


# -- openai ----------------------------------------------------------------------------------------


@pytest.fixture
async def chatgpt(gateway: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    url = gateway.base_url
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        yield client


async def test_openai_chat_whole(chatgpt: openai.AsyncOpenAI, tooling: str) -> None:
    whole = await chatgpt.chat.completions.create(model=tooling, messages=HELLO)
    valid(whole)
    assert whole.choices[0].message.content == await answer()
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0


async def test_openai_chat_streamed(chatgpt: openai.AsyncOpenAI, tooling: str) -> None:
    stream = await chatgpt.chat.completions.create(model=tooling, messages=HELLO, stream=True)
    texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(texts) == await answer()
    async with chatgpt.chat.completions.stream(model=tooling, messages=HELLO) as helped:
        final = await helped.get_final_completion()
    assert final.choices[0].message.content == await answer()


async def test_openai_chat_tools(chatgpt: openai.AsyncOpenAI, tooling: str) -> None:
    asked: dict[str, Any] = {"model": tooling, "tools": TOOLS}
    async with chatgpt.chat.completions.stream(messages=TWICE, **asked) as stream:
        told = (await stream.get_final_completion()).choices[0]
    assert told.finish_reason == "tool_calls"
    calls = told.message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"at": "at 1"},
        {"at": "at 2"},
    ]
    results = [{"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in calls]
    messages: list[Any] = [*TWICE, told.message.model_dump(), *results]
    final = await chatgpt.chat.completions.create(messages=messages, **asked)
    assert RESULT in (final.choices[0].message.content or "")


async def test_openai_chat_structured(chatgpt: openai.AsyncOpenAI, tooling: str) -> None:
    parsed = await chatgpt.chat.completions.parse(
        model=tooling, messages=HELLO, response_format=Level
    )
    assert parsed.choices[0].message.parsed == LEVEL
    async with chatgpt.chat.completions.stream(
        model=tooling, messages=HELLO, response_format=Level
    ) as stream:
        streamed = await stream.get_final_completion()
    assert streamed.choices[0].message.parsed == LEVEL


async def test_openai_responses_whole(chatgpt: openai.AsyncOpenAI, tooling: str) -> None:
    whole = await chatgpt.responses.create(model=tooling, input="Hello")
    valid(whole)
    assert whole.output_text == await answer()
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0


async def test_openai_responses_streamed(chatgpt: openai.AsyncOpenAI, tooling: str) -> None:
    async with chatgpt.responses.stream(model=tooling, input="Hello") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    for event in events:
        valid(event)
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == final.output_text == await answer()
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_openai_responses_tools(chatgpt: openai.AsyncOpenAI, tooling: str) -> None:
    tools: list[Any] = [{"type": "function", **FUNCTION}]
    asked: dict[str, Any] = {"model": tooling, "tools": tools}
    async with chatgpt.responses.stream(input=HIGH, **asked) as stream:
        response = await stream.get_final_response()
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"at": "at 1"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
    given: list[Any] = [*HIGH, *(item.to_dict() for item in response.output), result]
    final = await chatgpt.responses.create(input=given, **asked)
    assert RESULT in final.output_text


async def test_openai_responses_structured(chatgpt: openai.AsyncOpenAI, tooling: str) -> None:
    parsed = await chatgpt.responses.parse(model=tooling, input="Hello", text_format=Level)
    assert parsed.output_parsed == LEVEL


# -- anthropic -------------------------------------------------------------------------------------


@pytest.fixture
async def claude(gateway: RunningGateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = gateway.url
    async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        yield client


def to_claude(model: str, messages: list[Any] = HELLO, **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 4096, "messages": messages, **more}


async def test_anthropic_whole(claude: anthropic.AsyncAnthropic, tooling: str) -> None:
    whole = await claude.messages.create(**to_claude(tooling))
    valid(whole)
    assert [block.text for block in whole.content] == [await answer()]  # type: ignore[union-attr]
    assert whole.stop_reason == "end_turn"
    assert whole.usage.output_tokens > 0


async def test_anthropic_streamed(claude: anthropic.AsyncAnthropic, tooling: str) -> None:
    async with claude.messages.stream(**to_claude(tooling)) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(texts) == await answer()
    assert final.stop_reason == "end_turn"


async def test_anthropic_tools(claude: anthropic.AsyncAnthropic, tooling: str) -> None:
    tools = [{"name": "level", "description": "reads a gauge", "input_schema": SCHEMA}]
    async with claude.messages.stream(**to_claude(tooling, HIGH, tools=tools)) as stream:
        message = await stream.get_final_message()
    assert message.stop_reason == "tool_use"
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert call.input == {"at": "at 1"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
    messages = [*HIGH, message.to_param(), {"role": "user", "content": [result]}]
    final = await claude.messages.create(**to_claude(tooling, messages, tools=tools))
    assert RESULT in final.content[-1].text  # type: ignore[union-attr]


async def test_anthropic_structured(claude: anthropic.AsyncAnthropic, tooling: str) -> None:
    parsed = await claude.messages.parse(**to_claude(tooling), output_format=Level)
    assert parsed.parsed_output == LEVEL


@pytest.mark.parametrize("display", ["summarized", "omitted"])
async def test_anthropic_thinks_between_its_calls(
    claude: anthropic.AsyncAnthropic, display: Any
) -> None:
    """The server refuses results behind a call whose thoughts do not come back signed."""
    asked: dict[str, Any] = {
        "model": TOOLING["anthropic"],
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 2048, "display": display},
        "tools": [{"name": "level", "description": "reads a gauge", "input_schema": SCHEMA}],
    }
    async with claude.messages.stream(messages=HIGH, **asked) as stream:
        told = await stream.get_final_message()
    thought, call = told.content
    assert isinstance(thought, anthropic.types.ThinkingBlock)
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert bool(thought.thinking) == (display != "omitted")
    assert thought.signature
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
    dialogue: list[Any] = [
        *HIGH,
        {"role": "assistant", "content": told.content},
        {"role": "user", "content": [result]},
    ]
    answered = await claude.messages.create(messages=dialogue, **asked)
    said = answered.content[-1]
    assert isinstance(said, anthropic.types.TextBlock)
    assert RESULT in said.text


async def test_anthropic_is_told_what_is_wrong(claude: anthropic.AsyncAnthropic) -> None:
    def asked(text: str, model: str = "chat/gpt-4o") -> dict[str, Any]:
        return to_claude(model, [{"role": "user", "content": text}])

    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.create(**asked("Hello", "nowhere/x"))
    with pytest.raises(anthropic.RateLimitError):
        await claude.messages.create(**asked("[[err429]]"))
    with pytest.raises(anthropic.AuthenticationError):
        await claude.with_options(api_key="sk-another-key-0123456789").messages.create(
            **asked("Hello")
        )
    async with claude.messages.stream(**asked("[[midfail]]")) as stream:
        with pytest.raises(anthropic.APIStatusError, match="The server met an error"):
            await stream.until_done()
    counted = await claude.messages.count_tokens(model=TOOLING["anthropic"], messages=HELLO)
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


async def test_litellm_tools(gateway: RunningGateway, litellm: Any, tooling: str) -> None:
    asked = at(gateway, tooling, tools=TOOLS)
    stream = await litellm.acompletion(**{**asked, "messages": HIGH, "stream": True})
    chunks = [chunk async for chunk in stream]
    message = litellm.stream_chunk_builder(chunks).choices[0].message
    (call,) = message.tool_calls
    assert json.loads(call.function.arguments) == {"at": "at 1"}
    result = {"role": "tool", "tool_call_id": call.id, "content": RESULT}
    messages = [*HIGH, message.model_dump(), result]
    final = await litellm.acompletion(**{**asked, "messages": messages})
    assert RESULT in final.choices[0].message.content


async def test_litellm_structured(gateway: RunningGateway, litellm: Any, tooling: str) -> None:
    whole = await litellm.acompletion(**at(gateway, tooling, response_format=Level))
    assert Level.model_validate_json(whole.choices[0].message.content) == LEVEL


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


async def test_langchain_tools(gateway: RunningGateway, tooling: str) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage  # noqa: PLC0415 - as above

    chat = chat_openai(gateway, tooling).bind_tools(TOOLS)
    asked: list[Any] = [HumanMessage(HIGH[0]["content"])]
    message = await chat.ainvoke(asked)
    (call,) = message.tool_calls
    assert (call["name"], call["args"]) == ("level", {"at": "at 1"})
    result = ToolMessage(RESULT, tool_call_id=call["id"])
    final = await chat.ainvoke([*asked, message, result])
    assert RESULT in final.content


async def test_langchain_structured(gateway: RunningGateway, tooling: str) -> None:
    chat = chat_openai(gateway, tooling).with_structured_output(Level)
    assert await chat.ainvoke("Hello") == LEVEL


async def test_langchain_is_told_what_is_wrong(gateway: RunningGateway) -> None:
    with pytest.raises(openai.NotFoundError):
        await chat_openai(gateway, "nowhere/x").ainvoke("Hello")
    with pytest.raises(openai.RateLimitError):
        await chat_openai(gateway, "open/mini").ainvoke("[[err429]]")
    with pytest.raises(openai.APIError, match="The server met an error"):
        _ = [chunk async for chunk in chat_openai(gateway, "open/mini").astream("[[midfail]]")]


# -- the command llm -------------------------------------------------------------------------------


@pytest.fixture
def llm(gateway: RunningGateway, tmp_path: Path) -> Any:
    models = ["shop/default", "open/mini", "nowhere/x", *TOOLING.values()]
    (tmp_path / "extra-openai-models.yaml").write_text(
        "".join(
            f"- model_id: {model.replace('/', '-')}\n  model_name: {model}\n"
            f"  api_base: {gateway.base_url}\n"
            "  api_key_name: gateway\n  supports_tools: true\n  supports_schema: true\n"
            for model in models
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

    return llm


async def test_llm(llm: Any) -> None:
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


async def test_llm_tools(llm: Any, tooling: str) -> None:
    function = f"def level(at: str) -> str:\n    return f'{RESULT}, {{at}}'\n"
    model = tooling.replace("/", "-")
    code, output, errors = await llm("-m", model, "--functions", function, "How high? [[tool]]")
    assert code == 0, errors
    assert f"{RESULT}, at 1" in output


async def test_llm_structured(llm: Any, tooling: str) -> None:
    model = tooling.replace("/", "-")
    code, output, errors = await llm("-m", model, "--schema", json.dumps(SCHEMA), "How high?")
    assert code == 0, errors
    assert json.loads(output) == {"at": "at 1"}
