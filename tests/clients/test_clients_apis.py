"""The replica's APIs of models, read by their owners' packages: openai, anthropic, google-genai and
ollama.

What a package makes of a reply is looked at, so its types judge the replica's records.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as gemini
from pydantic import BaseModel

from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(180)]

KEY = "sk-tailrace-0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n of no picture"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SEEN = f"I see 1 image (image/png, {len(PNG)} bytes)."
RESULT = "12 m, rising"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "at": {"type": "string", "description": "the gauge"},
        "unit": {"enum": ["m", "ft"]},
    },
    "required": ["at", "unit"],
    "additionalProperties": False,
}
ARGUMENTS = {"at": "at 1", "unit": "m"}
MORE_ARGUMENTS = {"at": "at 2", "unit": "ft"}


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float
    tags: list[str]


LEVEL = Level(gauge="gauge 1", metres=1, tags=["tags 1"])


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(api_key=KEY) as running:
        yield running


async def answer(text: str = "Hello") -> str:
    return await builtin_answer(Question("any", text))


# -- openai: chat completions ----------------------------------------------------------------------

OPENAI_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "level",
        "description": "reads a gauge",
        "parameters": SCHEMA,
        "strict": True,
    },
}


@pytest.fixture
async def chatgpt(replica: Replica) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"{replica.url('openai')}/v1"
    async with openai.AsyncOpenAI(
        base_url=url, api_key=KEY, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
async def lenient(replica: Replica) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client whose types do not judge: base64, and chunks of completions, break the package's."""
    url = f"{replica.url('openai')}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY) as client:
        yield client


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_openai_chat(chatgpt: openai.AsyncOpenAI) -> None:
    whole = await chatgpt.chat.completions.create(model="gpt-4o", messages=user("Hello"))
    assert whole.choices[0].message.content == await answer()
    assert whole.usage is not None
    assert whole.usage.prompt_tokens_details is not None
    assert whole.usage.prompt_tokens_details.cached_tokens == 0
    stream = await chatgpt.chat.completions.create(
        model="gpt-4o",
        messages=user("Hello"),
        stream=True,
        stream_options={"include_usage": True},
        logprobs=True,
        top_logprobs=2,
    )
    chunks = [chunk async for chunk in stream]
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == await answer()
    assert chunks[-1].usage == whole.usage
    logprobs = chunks[1].choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [each.token for each in logprobs.content] == [texts[1]]
    assert len(logprobs.content[0].top_logprobs) == 2


async def test_openai_chat_tools(chatgpt: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "gpt-4o", "tools": [OPENAI_TOOL]}
    async with chatgpt.chat.completions.stream(messages=user("go [[tools]]"), **asked) as stream:
        done = [each async for each in stream if each.type == "tool_calls.function.arguments.done"]
        final = (await stream.get_final_completion()).choices[0]
    assert [json.loads(each.arguments) for each in done] == [ARGUMENTS, MORE_ARGUMENTS]
    assert (final.finish_reason, final.message.content) == ("tool_calls", None)
    calls = final.message.tool_calls or []
    whole = (await chatgpt.chat.completions.create(messages=user("go [[tools]]"), **asked)).choices[
        0
    ]
    assert [each.function.arguments for each in whole.message.tool_calls or []] == [  # type: ignore[union-attr]
        each.function.arguments for each in calls
    ]
    messages = [
        *user("go [[tools]]"),
        {
            "role": "assistant",
            "tool_calls": [
                each.model_dump(exclude={"function": {"parsed_arguments"}}) for each in calls
            ],
        },
        *[{"role": "tool", "tool_call_id": each.id, "content": RESULT} for each in calls],
    ]
    ended = await chatgpt.chat.completions.create(messages=messages, **asked)
    assert f"level returned: {RESULT}" in (ended.choices[0].message.content or "")
    assert ended.choices[0].finish_reason == "stop"


async def test_openai_chat_obeys_the_choice(chatgpt: openai.AsyncOpenAI) -> None:
    for choice, reason in (("required", "tool_calls"), ("none", "stop"), ("auto", "stop")):
        text = "Hello [[tool]]" if choice == "none" else "Hello"
        reply = await chatgpt.chat.completions.create(
            model="gpt-4o",
            messages=user(text),
            tools=[OPENAI_TOOL],
            tool_choice=choice,  # type: ignore[call-overload]
        )
        assert (choice, reply.choices[0].finish_reason) == (choice, reason)
    named: Any = {"type": "function", "function": {"name": "level"}}
    stream = await chatgpt.chat.completions.create(
        model="gpt-4o", messages=user("Hello"), tools=[OPENAI_TOOL], tool_choice=named, stream=True
    )
    chunks = [chunk.choices[0] async for chunk in stream]
    calls = [each for chunk in chunks for each in chunk.delta.tool_calls or []]
    arguments = "".join((each.function and each.function.arguments) or "" for each in calls)
    assert json.loads(arguments) == ARGUMENTS
    assert len(calls) > 2


async def test_openai_chat_of_a_form(chatgpt: openai.AsyncOpenAI) -> None:
    parsed = await chatgpt.chat.completions.parse(
        model="gpt-4o", messages=user("Hello"), response_format=Level
    )
    assert parsed.choices[0].message.parsed == LEVEL
    refused = await chatgpt.chat.completions.parse(
        model="gpt-4o", messages=user("[[refuse]]"), response_format=Level
    )
    assert (refused.choices[0].message.parsed, refused.choices[0].message.content) == (None, None)
    assert (refused.choices[0].message.refusal or "").startswith("I am sorry")
    loose = await chatgpt.chat.completions.create(
        model="gpt-4o", messages=user("as JSON"), response_format={"type": "json_object"}
    )
    assert json.loads(loose.choices[0].message.content or "") == {"answer": await answer("as JSON")}


async def test_openai_chat_thinks_and_sees(chatgpt: openai.AsyncOpenAI) -> None:
    content = [
        {"type": "text", "text": "What is it? [[think]]"},
        {"type": "image_url", "image_url": {"url": PNG_URL}},
    ]
    messages: Any = [{"role": "user", "content": content}]
    stream = await chatgpt.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream]
    reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    whole = await chatgpt.chat.completions.create(model="gpt-4o", messages=messages)
    assert reasoning == whole.choices[0].message.reasoning_content != ""  # type: ignore[attr-defined]
    assert (whole.choices[0].message.content or "").startswith(SEEN)
    assert whole.usage is not None
    assert whole.usage.completion_tokens_details is not None
    assert (whole.usage.completion_tokens_details.reasoning_tokens or 0) > 5


OPENAI_ERRORS = {
    "err401": openai.AuthenticationError,
    "err429": openai.RateLimitError,
    "err500": openai.InternalServerError,
    "too-long": openai.BadRequestError,
    "midfail": openai.APIError,
}


@pytest.mark.parametrize("marker", OPENAI_ERRORS)
async def test_openai_errors(chatgpt: openai.AsyncOpenAI, marker: str) -> None:
    with pytest.raises(OPENAI_ERRORS[marker]):
        async for _ in await chatgpt.chat.completions.create(
            model="gpt-4o", messages=user(f"[[{marker}]]"), stream=True
        ):
            pass
    with pytest.raises(OPENAI_ERRORS[marker]):
        async for _ in await chatgpt.responses.create(
            model="gpt-4o", input=f"[[{marker}]]", stream=True
        ):
            pass


async def test_openai_models_embeddings_completions(
    chatgpt: openai.AsyncOpenAI, lenient: openai.AsyncOpenAI
) -> None:
    names = [model.id async for model in chatgpt.models.list()]
    assert "gpt-4o" in names
    model = "text-embedding-3-small"
    assert model in names
    packed = await lenient.embeddings.create(model=model, input=["one", "two"])
    plain = await chatgpt.embeddings.create(model=model, input="one", encoding_format="float")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert (len(packed.data), len(plain.data[0].embedding)) == (2, 1536)
    asked: Any = {"model": "gpt-3.5-turbo-instruct", "prompt": ["one", "two"], "max_tokens": 40}
    whole = await chatgpt.completions.create(**asked, logprobs=1)
    stream = await lenient.completions.create(**asked, stream=True)
    texts = ["", ""]
    async for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert [choice.text for choice in whole.choices] == texts
    assert [choice.finish_reason for choice in whole.choices] == ["length", "length"]


# -- openai: responses -----------------------------------------------------------------------------

RESPONSES_TOOL: Any = {"type": "function", "name": "level", "parameters": SCHEMA, "strict": False}


async def test_openai_responses(chatgpt: openai.AsyncOpenAI) -> None:
    whole = await chatgpt.responses.create(model="gpt-4o", input="Hello", instructions="Be brief.")
    assert (whole.output_text, whole.status) == (await answer(), "completed")
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    async with chatgpt.responses.stream(model="gpt-4o", input="Hello") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == await answer()
    assert list(dict.fromkeys(kinds)) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_openai_responses_tools(chatgpt: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "gpt-4o", "tools": [RESPONSES_TOOL]}
    async with chatgpt.responses.stream(input="go [[think]] [[tools]]", **asked) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_response()
    assert "response.function_call_arguments.delta" in kinds
    thought, *calls = final.output
    assert thought.type == "reasoning"
    assert [json.loads(each.arguments) for each in calls] == [ARGUMENTS, MORE_ARGUMENTS]  # type: ignore[union-attr]
    items: Any = [
        *user("go [[think]] [[tools]]"),
        *[
            each.model_dump(exclude_none=True, exclude={"parsed_arguments"})
            for each in final.output
        ],
        *[
            {"type": "function_call_output", "call_id": each.call_id, "output": RESULT}  # type: ignore[union-attr]
            for each in calls
        ],
    ]
    ended = await chatgpt.responses.create(input=items, **asked)
    assert f"level returned: {RESULT}" in ended.output_text
    choice: Any = {"type": "function", "name": "level"}
    forced = await chatgpt.responses.create(input="Hello", tool_choice=choice, **asked)
    assert [each.type for each in forced.output] == ["function_call"]


async def test_openai_responses_forms_reasoning_refusals(chatgpt: openai.AsyncOpenAI) -> None:
    parsed = await chatgpt.responses.parse(model="gpt-4o", input="Hello", text_format=Level)
    assert parsed.output_parsed == LEVEL
    asked: Any = {"model": "gpt-4o", "reasoning": {"effort": "low", "summary": "auto"}}
    async with chatgpt.responses.stream(input="Hello", **asked) as stream:
        deltas = [
            event.delta
            async for event in stream
            if event.type == "response.reasoning_summary_text.delta"
        ]
        final = await stream.get_final_response()
    assert final.output[0].summary[0].text == "".join(deltas) != ""  # type: ignore[union-attr]
    refused = await chatgpt.responses.create(model="gpt-4o", input="[[refuse]]")
    assert refused.output[0].content[0].type == "refusal"  # type: ignore[union-attr]
    cut = await chatgpt.responses.create(model="gpt-4o", input="Hello", max_output_tokens=16)
    assert (cut.status, cut.incomplete_details and cut.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    content = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": PNG_URL, "detail": "auto"},
    ]
    seen = await chatgpt.responses.create(
        model="gpt-4o",
        input=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
    )
    assert seen.output_text.startswith(SEEN)


# -- anthropic -------------------------------------------------------------------------------------

CLAUDE_TOOL: Any = {"name": "level", "description": "reads a gauge", "input_schema": SCHEMA}


@pytest.fixture
async def claude(replica: Replica) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=replica.url("anthropic"),
        api_key=KEY,
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client


def asking_claude(text: Any, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-sonnet-4-6", "max_tokens": 4096, "messages": messages, **more}


async def test_anthropic(claude: anthropic.AsyncAnthropic) -> None:
    whole = await claude.messages.create(**asking_claude("Hello"))
    assert whole.content[0].text == await answer()  # type: ignore[union-attr]
    async with claude.messages.stream(**asking_claude("Hello")) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(texts) == await answer()
    assert len(texts) > 10
    assert (final.stop_reason, final.usage.output_tokens) == (
        "end_turn",
        whole.usage.output_tokens,
    )
    counted = await claude.messages.count_tokens(
        model="claude-sonnet-4-6", messages=[{"role": "user", "content": "Hello"}]
    )
    assert counted.input_tokens == whole.usage.input_tokens


async def test_anthropic_tools_and_thoughts(claude: anthropic.AsyncAnthropic) -> None:
    asked = asking_claude(
        "go [[tools]]", tools=[CLAUDE_TOOL], thinking={"type": "enabled", "budget_tokens": 1024}
    )
    async with claude.messages.stream(**asked) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_message()
    assert {"thinking", "signature", "input_json"} <= kinds
    thought, *calls = final.content
    assert thought.type == "thinking"
    assert [each.input for each in calls] == [ARGUMENTS, MORE_ARGUMENTS]  # type: ignore[union-attr]
    whole = await claude.messages.create(**asked)
    assert [each.type for each in whole.content] == [each.type for each in final.content]
    results = [
        {"type": "tool_result", "tool_use_id": each.id, "content": RESULT}  # type: ignore[union-attr]
        for each in calls
    ]
    asked["messages"] += [final.to_param(), {"role": "user", "content": results}]
    ended = await claude.messages.create(**asked)
    assert ended.stop_reason == "end_turn"
    assert f"level returned: {RESULT}" in ended.content[-1].text  # type: ignore[union-attr]
    forced = await claude.messages.create(
        **asking_claude("Hello", tools=[CLAUDE_TOOL], tool_choice={"type": "any"})
    )
    assert forced.stop_reason == "tool_use"


async def test_anthropic_forms_images_refusals(claude: anthropic.AsyncAnthropic) -> None:
    parsed = await claude.messages.parse(**asking_claude("Hello"), output_format=Level)
    assert parsed.parsed_output == LEVEL
    source = {
        "type": "base64",
        "media_type": "image/png",
        "data": base64.b64encode(PNG).decode(),
    }
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    seen = await claude.messages.create(**asking_claude(content))
    assert seen.content[0].text.startswith(SEEN)  # type: ignore[union-attr]
    refused = await claude.messages.create(**asking_claude("[[refuse]]"))
    assert (refused.stop_reason, refused.content) == ("refusal", [])
    assert refused.stop_details is not None


async def test_anthropic_models(claude: anthropic.AsyncAnthropic) -> None:
    names = [model.id async for model in claude.models.list()]
    assert names == ["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5"]
    assert (await claude.models.retrieve(names[0])).id == names[0]


CLAUDE_ERRORS = {
    "err401": anthropic.AuthenticationError,
    "err429": anthropic.RateLimitError,
    "err500": anthropic.InternalServerError,
    "err529": anthropic.InternalServerError,
    "too-long": anthropic.BadRequestError,
    "midfail": anthropic.APIStatusError,
}


@pytest.mark.parametrize("marker", CLAUDE_ERRORS)
async def test_anthropic_errors(claude: anthropic.AsyncAnthropic, marker: str) -> None:
    with pytest.raises(CLAUDE_ERRORS[marker]) as caught:
        async with claude.messages.stream(**asking_claude(f"[[{marker}]]")) as stream:
            await stream.until_done()
    if marker in ("err529", "midfail"):
        assert caught.value.type == "overloaded_error"  # type: ignore[attr-defined]


# -- google-genai ----------------------------------------------------------------------------------

GEMINI_TOOL = gemini.Tool(
    function_declarations=[
        gemini.FunctionDeclaration(name="level", description="reads", parameters_json_schema=SCHEMA)
    ]
)
BY_HAND = gemini.AutomaticFunctionCallingConfig(disable=True)
FLASH = "gemini-2.5-flash"


@pytest.fixture
def google(replica: Replica) -> genai.Client:
    options = gemini.HttpOptions(base_url=replica.url("gemini"))
    return genai.Client(api_key=KEY, http_options=options)


def tooled(**more: Any) -> gemini.GenerateContentConfig:
    return gemini.GenerateContentConfig(
        tools=[GEMINI_TOOL], automatic_function_calling=BY_HAND, **more
    )


async def test_gemini(google: genai.Client) -> None:
    models = google.aio.models
    whole = await models.generate_content(model=FLASH, contents="Hello")
    assert whole.text == await answer()
    stream = await models.generate_content_stream(model=FLASH, contents="Hello")
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text or "" for chunk in chunks) == await answer()
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason == gemini.FinishReason.STOP
    assert chunks[-1].usage_metadata == whole.usage_metadata
    counted = await models.count_tokens(model=FLASH, contents="Hello")
    assert whole.usage_metadata is not None
    assert counted.total_tokens == whole.usage_metadata.prompt_token_count


@pytest.mark.parametrize("model", [FLASH, "gemini-3-pro-preview"])
async def test_gemini_tools_and_thoughts(google: genai.Client, model: str) -> None:
    models = google.aio.models
    config = tooled(thinking_config=gemini.ThinkingConfig(include_thoughts=True))
    asked = gemini.Content(role="user", parts=[gemini.Part(text="go [[tools]]")])
    whole = await models.generate_content(model=model, contents=asked, config=config)
    assert [call.args for call in whole.function_calls or []] == [ARGUMENTS, MORE_ARGUMENTS]
    stream = await models.generate_content_stream(model=model, contents=asked, config=config)
    chunks = [chunk async for chunk in stream]
    calls = [call for chunk in chunks for call in chunk.function_calls or []]
    assert [call.args for call in calls] == [ARGUMENTS, MORE_ARGUMENTS]
    assert whole.candidates is not None
    content = whole.candidates[0].content
    assert content is not None
    assert (content.parts or [])[0].thought
    results = [
        gemini.Part(
            function_response=gemini.FunctionResponse(
                id=call.id, name=call.name, response={"result": RESULT}
            )
        )
        for call in whole.function_calls or []
    ]
    contents: list[Any] = [asked, content, gemini.Content(role="user", parts=results)]
    ended = await models.generate_content(model=model, contents=contents, config=config)
    assert f'level returned: {{"result": "{RESULT}"}}' in (ended.text or "")


async def test_gemini_calls_python_by_itself(google: genai.Client) -> None:
    asked: list[str] = []

    def level(at: str) -> str:
        """Read the gauge."""
        asked.append(at)
        return RESULT

    reply = await google.aio.models.generate_content(
        model=FLASH,
        contents="go [[tool]]",
        config=gemini.GenerateContentConfig(tools=[level]),
    )
    assert asked == ["at 1"]
    assert RESULT in (reply.text or "")


async def test_gemini_forms_images_choices(google: genai.Client) -> None:
    models = google.aio.models
    form = gemini.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Level
    )
    parsed = await models.generate_content(model=FLASH, contents="Hello", config=form)
    assert parsed.parsed == LEVEL
    contents: list[Any] = ["What is it?", gemini.Part.from_bytes(data=PNG, mime_type="image/png")]
    seen = await models.generate_content(model=FLASH, contents=contents)
    assert (seen.text or "").startswith(SEEN)
    calling = gemini.FunctionCallingConfig(mode=gemini.FunctionCallingConfigMode.ANY)
    must = tooled(tool_config=gemini.ToolConfig(function_calling_config=calling))
    forced = await models.generate_content(model=FLASH, contents="Hello", config=must)
    assert [call.name for call in forced.function_calls or []] == ["level"]
    blocked = await models.generate_content(model=FLASH, contents="[[refuse]]")
    assert blocked.prompt_feedback is not None
    assert blocked.candidates is None


async def test_gemini_models_and_embeddings(google: genai.Client) -> None:
    names = [model.name async for model in await google.aio.models.list()]
    assert names == [
        "models/gemini-2.5-flash",
        "models/gemini-3-pro-preview",
        "models/gemini-embedding-001",
    ]
    embedded = await google.aio.models.embed_content(
        model="gemini-embedding-001", contents=["one", "two"]
    )
    assert [len(each.values or ()) for each in embedded.embeddings or ()] == [3072, 3072]


GEMINI_ERRORS = {
    "err401": (genai_errors.ClientError, "INVALID_ARGUMENT"),
    "err429": (genai_errors.ClientError, "RESOURCE_EXHAUSTED"),
    "err500": (genai_errors.ServerError, "INTERNAL"),
    "err503": (genai_errors.ServerError, "UNAVAILABLE"),
    "midfail": (genai_errors.APIError, "UNAVAILABLE"),
}


@pytest.mark.parametrize("marker", GEMINI_ERRORS)
async def test_gemini_errors(google: genai.Client, marker: str) -> None:
    kind, status = GEMINI_ERRORS[marker]
    with pytest.raises(kind) as caught:
        async for _ in await google.aio.models.generate_content_stream(
            model=FLASH, contents=f"[[{marker}]]"
        ):
            pass
    assert caught.value.status == status


# -- ollama ----------------------------------------------------------------------------------------

QWEN = "qwen3-vl:8b"
OLLAMA_TOOL: Any = {
    "type": "function",
    "function": {"name": "level", "description": "reads a gauge", "parameters": SCHEMA},
}


@pytest.fixture
async def llama(replica: Replica) -> AsyncIterator[ollama.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    client = ollama.AsyncClient(host=replica.url("ollama"), headers=headers)
    yield client
    await client.close()


async def test_ollama(llama: ollama.AsyncClient) -> None:
    whole = await llama.chat(QWEN, user("Hello"))
    assert whole.message.content == await answer()
    lines = [line async for line in await llama.chat(QWEN, user("Hello"), stream=True)]
    assert "".join(line.message.content or "" for line in lines) == await answer()
    assert (lines[-1].done_reason, lines[-1].eval_count) == ("stop", whole.eval_count)
    assert [model.model for model in (await llama.list()).models] == [
        QWEN,
        "llama3.2:latest",
        "gemma3:latest",
        "all-minilm:latest",
    ]
    embedded = await llama.embed("all-minilm", ["the mill", "the pond"], dimensions=3)
    assert [len(vector) for vector in embedded.embeddings] == [3, 3]


async def test_ollama_tools_and_thoughts(llama: ollama.AsyncClient) -> None:
    asked: Any = {"model": QWEN, "tools": [OLLAMA_TOOL], "think": True}
    messages: list[Any] = user("go [[tools]]")
    whole = await llama.chat(messages=messages, **asked)
    assert whole.message.thinking
    calls = whole.message.tool_calls or []
    assert [call.function.arguments for call in calls] == [ARGUMENTS, MORE_ARGUMENTS]
    stream = await llama.chat(messages=messages, stream=True, **asked)
    found = [call async for line in stream for call in line.message.tool_calls or []]
    assert found == calls
    results = [
        {"role": "tool", "tool_name": call.function.name, "content": RESULT} for call in calls
    ]
    ended = await llama.chat(messages=[*messages, whole.message, *results], **asked)
    assert f"level returned: {RESULT}" in (ended.message.content or "")


async def test_ollama_forms_images_logprobs(llama: ollama.AsyncClient) -> None:
    formed = await llama.chat(QWEN, user("Hello"), format=Level.model_json_schema())
    assert Level.model_validate_json(formed.message.content or "") == LEVEL
    messages = [{"role": "user", "content": "What is it?", "images": [PNG]}]
    seen = await llama.chat(QWEN, messages, logprobs=True, top_logprobs=2)
    assert (seen.message.content or "").startswith(f"I see 1 image ({len(PNG)} bytes).")
    assert seen.logprobs is not None
    assert "".join(each.token for each in seen.logprobs) == seen.message.content


OLLAMA_ERRORS = {"err401": 401, "err429": 429, "err500": 500, "err503": 503, "midfail": -1}


@pytest.mark.parametrize("marker", OLLAMA_ERRORS)
async def test_ollama_errors(llama: ollama.AsyncClient, marker: str) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        async for _ in await llama.chat(QWEN, user(f"[[{marker}]]"), stream=True):
            pass
    assert caught.value.status_code == OLLAMA_ERRORS[marker]
