"""A real server: llama.cpp's, from PyPI, with a tiny model of random weights. What it answers means
nothing; how it answers is what is looked at.
"""

from __future__ import annotations

import json
import re
import subprocess
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from gateway_app import RunningGateway, serving

from tailrace import Site
from tailrace.errors import ResponseStatusError, StreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(180)]

HERE = Path(__file__).parent
PYTHON = HERE.parents[2] / ".venv-llama" / "bin" / "python"
MODEL = "tiny.gguf"
CONTEXT = 512  # tokens
SAME: dict[str, Any] = {"temperature": 0.0, "seed": 7, "max_tokens": 24}
"""Options with which the model says the same each time."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"rising": {"type": "boolean"}},
    "required": ["rising"],
    "additionalProperties": False,
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "level",
        "description": "reads a gauge",
        "parameters": SCHEMA,
        "strict": True,
    },
}
CHOICE: dict[str, Any] = {"type": "function", "function": {"name": "level"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's base URL."""
    model = tmp_path_factory.mktemp("model") / MODEL
    subprocess.run([PYTHON, HERE / "tiny_model.py", model], check=True)  # noqa: S603
    command = [PYTHON, "-m", "llama_cpp.server", "--model", model, "--host", "127.0.0.1"]
    options = ["--model_alias", MODEL, "--port", "0", "--n_ctx", str(CONTEXT), "--verbose", "false"]
    with subprocess.Popen(  # noqa: S603
        [*command, *options], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = chain.from_iterable(map(_PORT.findall, process.stderr))
            yield f"http://127.0.0.1:{next(said)}/v1"
        finally:
            process.terminate()
            process.communicate()


_PORT = re.compile(r"running on http://127\.0\.0\.1:([0-9]{1,5})")


@pytest.fixture
def site(server: str) -> Site:
    return Site(server, software="openai", model=MODEL, name="llama")


@pytest.fixture
async def gateway(site: Site) -> AsyncIterator[RunningGateway]:
    async with serving([site]) as running:
        yield running


@pytest.fixture
async def theirs(server: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client of the server itself."""
    async with openai.AsyncOpenAI(base_url=server, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def through(gateway: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client of the gateway in front of the server."""
    url = gateway.base_url
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def user(text: str = "How high?") -> list[Any]:
    return [{"role": "user", "content": text}]


async def said(client: openai.AsyncOpenAI, model: str, **more: Any) -> str:
    whole = await client.chat.completions.create(model=model, messages=user(), **{**SAME, **more})
    return whole.choices[0].message.content or ""


# -- a site ----------------------------------------------------------------------------------------


async def test_its_models(site: Site) -> None:
    assert await site.models() == [MODEL]


async def test_an_answer(site: Site, theirs: openai.AsyncOpenAI) -> None:
    answer = await said(theirs, MODEL)
    assert answer
    assert await site.ask("How high?", **SAME) == answer
    async with site.stream("How high?", **SAME) as stream:
        texts = [text async for text in stream]
    assert "".join(texts) == answer
    assert len(texts) > 3
    assert (stream.end, stream.finish_reason) == ("done", "length")
    assert stream.ids["model"] == MODEL
    assert stream.bad_events == 0
    async with site.stream("How high?", **SAME) as stream:
        deltas = [delta async for delta in stream.deltas()]
    assert {delta.kind for delta in deltas} == {"text"}
    assert "".join(delta.text for delta in deltas) == answer


async def test_where_it_stops(site: Site, theirs: openai.AsyncOpenAI) -> None:
    answer = await said(theirs, MODEL)
    middle = answer[len(answer) // 2]
    async with site.stream("How high?", **{**SAME, "stop": [middle]}) as stream:
        assert await stream.text() == answer[: answer.index(middle)]
    assert stream.finish_reason == "stop"
    async with site.stream("How high?", **{**SAME, "max_tokens": 1}) as stream:
        assert answer.startswith(await stream.text())
    assert stream.finish_reason == "length"


async def test_a_call_of_a_tool_that_it_writes_in_two_forms_is_one(site: Site) -> None:
    async with site.stream("How high?", tools=[TOOL], tool_choice=CHOICE, max_tokens=99) as stream:
        assert await stream.text() == ""
    (call,) = stream.tool_calls
    assert call.name == "level"
    assert call.id
    assert call.parsed()["rising"] in (True, False)
    assert stream.finish_reason == "tool_calls"


async def test_a_dialogue_goes_on_with_a_result(site: Site) -> None:
    talk = site.conversation("Be brief.", tools=[TOOL], tool_choice=CHOICE, max_tokens=99)
    async with talk.send("How high?") as stream:
        await stream.text()
    result = {"role": "tool", "tool_call_id": stream.tool_calls[0].id, "content": "12 m"}
    async with talk.send(result) as stream:
        await stream.text()
    assert [message["role"] for message in talk.messages] == [
        *("system", "user", "assistant", "tool", "assistant")
    ]


async def test_a_form_that_is_its_own(site: Site) -> None:
    form = {"type": "json_object", "schema": SCHEMA}
    answer = await site.ask("How high?", response_format=form, max_tokens=99)
    assert json.loads(answer)["rising"] in (True, False)


async def test_what_it_refuses(site: Site) -> None:
    with pytest.raises(ResponseStatusError, match="temperature") as caught:
        await site.ask("How high?", extra={"n": 1}, temperature="warm")  # type: ignore[arg-type]
    assert caught.value.status == 500  # as it says it
    form = {"type": "json_schema", "json_schema": {"name": "level", "schema": SCHEMA}}
    with pytest.raises(ResponseStatusError, match="json_schema"):
        await site.ask("How high?", response_format=form)


async def test_too_long_a_question(site: Site) -> None:
    """It answers 200, and then nothing at all."""
    with pytest.raises(StreamError, match="the body is empty"):
        await site.ask("".join(repeat("high ", CONTEXT)))


async def test_fields_that_nobody_knows_are_its_own_to_judge(site: Site) -> None:
    assert await site.ask("How high?", extra={"frobnicate": 1, "min_p": 0.1}, max_tokens=4)


# -- the gateway in front of it --------------------------------------------------------------------


async def test_the_gateway_lists_it(through: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in through.models.list()] == [f"llama/{MODEL}"]


async def test_an_answer_through_the_gateway(
    theirs: openai.AsyncOpenAI, through: openai.AsyncOpenAI
) -> None:
    answer = await said(theirs, MODEL)
    assert await said(through, f"llama/{MODEL}") == answer
    stream = await through.chat.completions.create(
        model=f"llama/{MODEL}", messages=user(), stream=True, **SAME
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == answer
    assert chunks[-1].choices[0].finish_reason == "length"
    middle = answer[len(answer) // 2]
    assert await said(through, f"llama/{MODEL}", stop=middle) == answer[: answer.index(middle)]


async def test_a_call_and_a_form_through_the_gateway(through: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {"model": f"llama/{MODEL}", "messages": user(), "max_tokens": 99}
    async with through.chat.completions.stream(**asked, tools=[TOOL], tool_choice=CHOICE) as stream:
        (call,) = (await stream.get_final_completion()).choices[0].message.tool_calls or []
    assert call.function.name == "level"
    assert json.loads(call.function.arguments)["rising"] in (True, False)
    whole = await through.chat.completions.create(**asked, tools=[TOOL], tool_choice=CHOICE)
    assert whole.choices[0].finish_reason == "tool_calls"
    assert len(whole.choices[0].message.tool_calls or []) == 1
    form: Any = {"type": "json_object", "schema": SCHEMA}
    formed = await through.chat.completions.create(**asked, response_format=form)
    assert json.loads(formed.choices[0].message.content or "")["rising"] in (True, False)


async def test_too_long_a_question_through_the_gateway(through: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="empty"):
        await through.chat.completions.create(
            model=f"llama/{MODEL}", messages=user("".join(repeat("high ", CONTEXT)))
        )


@pytest.mark.parametrize("said", [{"content": None}, {}])
async def test_a_call_without_content_through_the_gateway(
    through: openai.AsyncOpenAI, said: dict[str, None]
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "level", "arguments": "{}"}}
    messages: list[Any] = [
        *user(),
        {"role": "assistant", "tool_calls": [call], **said},
        {"role": "tool", "tool_call_id": "c", "content": "yes"},
    ]
    answer = await through.chat.completions.create(
        model=f"llama/{MODEL}", messages=messages, **SAME
    )
    assert answer.choices[0].message.content
