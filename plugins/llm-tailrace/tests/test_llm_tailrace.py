"""The plugin in the real `llm`: its command, and its Python API with asyncio and without."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import tomllib
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llm
import pytest
from aiohttp import web
from llm.parts import ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from mill import KEY, answer, async_model, model, sent
from pydantic import BaseModel

import tailrace
from llm_tailrace import _apis
from llm_tailrace._messages import chat_messages
from tailrace._streams.loop_thread import LoopThread
from tailrace.providers._responses import RESPONSE_OPTIONS
from tailrace.sites import SOFTWARE, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tailrace.replica import Replica

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("home")]

HERE = Path(__file__).parents[1]
PAGES = ("shop", "kit", "gem")
APIS = ("chat", "answers", "claude", "google", "llama")
RESULT = "12 m, rising"
PNG = b"\x89PNG\r\n\x1a\n of no picture"
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
RETRY = "[sites.told.retry]\nattempts = 2\nfirst_wait = 0"
THINKS: dict[str, dict[str, Any]] = {
    "chat": {},
    "answers": {"extra": {"include": ["reasoning.encrypted_content"], "store": False}},
    "claude": {
        "max_tokens": 4000,
        "extra": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    },
    "google": {"extra": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}},
    "llama": {"reasoning_effort": "high"},
}
"""By what each API has its model think aloud; all do at the word ``[[think]]``."""


def level(at: str) -> str:
    """Read a gauge."""
    return f"{RESULT}, {at}"


# -- what there is ---------------------------------------------------------------------------------


def test_the_version_is_that_of_tailrace() -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == tailrace.__version__
    assert f"tailrace=={tailrace.__version__}" in project["dependencies"]
    assert model("shop")  # which loads plugins
    (plugin,) = [each for each in llm.get_plugins() if each["name"] == "llm-tailrace"]
    assert plugin["version"] == tailrace.__version__
    licence = (HERE / "LICENSE").read_bytes()
    assert licence == (HERE.parents[1] / "LICENSE").read_bytes()


def test_every_site_is_a_model_and_every_model_of_its_profile() -> None:
    ids = [each.model_id for each in llm.get_models() if each.model_id.startswith("tailrace/")]
    own = [f"tailrace/{name}" for name in ("shop", "kit", "gem", *APIS)]
    named = ["tailrace/chat/gpt-4o", "tailrace/chat/gpt-4o-mini"]
    assert sorted(ids) == sorted([*own, *named])
    asynchronous = [each.model_id for each in llm.get_async_models()]
    assert [each for each in asynchronous if each.startswith("tailrace/")] == ids


def test_what_a_site_takes_is_what_its_api_has() -> None:
    for name in PAGES:
        page = model(name)
        assert (page.supports_tools, page.supports_schema) == (False, False)
        assert page.attachment_types == frozenset()
    for name in APIS:
        assert model(name).supports_tools
        assert "image/png" in model(name).attachment_types
    responses = set(model("answers").Options.model_fields) - {"json_object", "model"}
    offered = set(_apis._OPTIONS) & SOFTWARE["openai"].options & RESPONSE_OPTIONS
    assert responses == offered | {"extra"}


async def test_the_command_lists_them(command: Callable[..., Any]) -> None:
    code, output, errors = await command("models", "list", "--options", "-q", "tailrace/")
    assert (code, errors) == (0, "")
    assert "Tailrace: tailrace/shop" in output
    assert "temperature" in output


def test_models_of_one_software_share_their_options() -> None:
    """Making a class takes longer than all else, and a server may have hundreds of models."""
    assert model("chat").Options is async_model("chat").Options
    assert model("chat/gpt-4o").Options is model("chat/gpt-4o-mini").Options


async def test_a_command_that_asks_no_model_imports_none_of_tailrace(home: Path) -> None:
    code = "import sys, llm.cli; print('llm_tailrace' in sys.modules, 'tailrace' in sys.modules)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), cwd=home, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output == b"True False\n"


# -- text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PAGES, *APIS])
def test_an_answer(name: str) -> None:
    response = model(name).prompt("Hello")
    pieces = list(response)
    assert "".join(pieces) == response.text() == answer()
    assert len(pieces) > 5 or name == "gem"  # which sends all at once
    assert model(name).prompt("Hello", stream=False).text() == answer()


@pytest.mark.parametrize("name", [*PAGES, *APIS])
async def test_an_answer_with_asyncio(name: str) -> None:
    response = async_model(name).prompt("Hello")
    pieces = [piece async for piece in response]
    expected = await asyncio.to_thread(answer)
    assert "".join(pieces) == await response.text() == expected
    assert len(pieces) > 5 or name == "gem"


async def test_an_answer_for_blocking_code_in_a_running_loop() -> None:
    """As in a notebook, where everything runs in a loop."""
    assert model("shop").prompt("Hello").text() == await asyncio.to_thread(answer)


@pytest.mark.parametrize("options", [[], ["--no-stream"], ["--async"]])
async def test_an_answer_of_the_command(command: Callable[..., Any], options: list[str]) -> None:
    expected = await asyncio.to_thread(answer)
    for name in ("shop", "chat/gpt-4o"):
        code, output, errors = await command("-m", f"tailrace/{name}", *options, "Hello")
        assert (code, output) == (0, f"{expected}\n"), errors
        assert errors == ""


def test_an_answer_that_is_left_leaves_nothing() -> None:
    before = set(threading.enumerate())
    pieces: Iterator[str] = iter(model("shop").prompt("Hello [[stall]]"))
    next(pieces)
    assert set(threading.enumerate()) - before
    pieces.close()  # type: ignore[attr-defined]
    assert not set(threading.enumerate()) - before


# -- conversations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PAGES, *APIS])
def test_a_conversation(name: str, replica: Replica) -> None:
    conversation = model(name).conversation()
    first = conversation.prompt("Hello", system="Be brief.").text()
    assert conversation.prompt("I am back").text() != first
    roles = [message.role for message in conversation.responses[-1].prompt.messages]
    assert roles == ["system", "user", "assistant", "user"]
    posted = [each for each in replica.exchanges if each.method == "POST"][-1]
    dialogue = json.dumps([posted.form, posted.json], ensure_ascii=False)
    for said in ("Be brief.", "Hello", "You asked", "I am back"):
        assert said in dialogue


@pytest.mark.parametrize("name", APIS)
async def test_a_conversation_with_asyncio(name: str) -> None:
    conversation = async_model(name).conversation()
    await conversation.prompt("Hello").text()
    assert "(2 earlier turns)" in await conversation.prompt("And now?").text()


async def test_a_conversation_of_the_command(command: Callable[..., Any]) -> None:
    await command("-m", "tailrace/claude", "-s", "Be brief.", "Hello")
    code, output, errors = await command("-c", "And now?")
    assert (code, errors) == (0, "")
    assert "“And now?” (2 earlier turns)" in output
    code, output, _ = await command("logs", "-n", "1", "--json")
    (logged,) = json.loads(output)
    assert logged["model"] == "tailrace/claude"
    assert logged["response"].startswith("You asked: “And now?”")


async def test_a_conversation_typed_into_the_command(command: Callable[..., Any]) -> None:
    code, output, errors = await command(
        "chat", "-m", "tailrace/llama", typed="Hello\n[[err500]]\nAnd now?\nexit\n"
    )
    assert (code, output.count("You asked")) == (1, 1), errors  # a failure ends it, as any model's
    assert "Error: tailrace/llama: the site reported an error (HTTP 500)" in errors
    code, output, errors = await command(
        "chat", "-m", "tailrace/llama", typed="Hello\nAnd now?\nexit\n"
    )
    assert code == 0, errors
    assert "“And now?” (2 earlier turns)" in output


async def test_the_command_tells_usage(command: Callable[..., Any]) -> None:
    code, _, errors = await command("-m", "tailrace/claude", "-u", "Hello")
    assert code == 0
    assert "Token usage:" in errors


# -- tools -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize("marker", ["tool", "tools"])
def test_a_loop_with_tools(name: str, marker: str) -> None:
    chain = model(name).chain(f"How high? [[{marker}]]", tools=[level])
    text = chain.text()
    assert f"{RESULT}, at 1" in text
    assert (f"{RESULT}, at 2" in text) == (marker == "tools")
    first, last = chain._responses
    assert [call.arguments["at"] for call in first.tool_calls()] == (
        ["at 1", "at 2"] if marker == "tools" else ["at 1"]
    )
    ids = [call.tool_call_id for call in first.tool_calls()]
    parts = [part for message in first.messages() for part in message.parts]
    assert [part.tool_call_id for part in parts if isinstance(part, ToolCallPart)] == ids
    assert last.text() == text


@pytest.mark.parametrize("name", APIS)
async def test_a_loop_with_tools_and_asyncio(name: str) -> None:
    text = await async_model(name).chain("How high? [[tools]]", tools=[level]).text()
    assert f"{RESULT}, at 2" in text


async def test_a_loop_with_tools_of_the_command(command: Callable[..., Any]) -> None:
    function = f"def level(at: str) -> str:\n    return f'{RESULT}, {{at}}'\n"
    for name in ("google", "claude"):
        code, output, errors = await command(
            "-m", f"tailrace/{name}", "--functions", function, "How high? [[tool]]"
        )
        assert code == 0, errors
        assert f"{RESULT}, at 1" in output
        code, output, errors = await command("-c", "-m", f"tailrace/{name}", "And now?")
        assert code == 0, errors
        assert "And now?" in output


def test_a_page_refuses_tools_and_schemas() -> None:
    with pytest.raises(ValueError, match="does not support tools"):
        model("shop").prompt("Hello", tools=[level])
    with pytest.raises(ValueError, match="does not support schemas"):
        model("shop").prompt("Hello", schema=SCHEMA)


def test_calls_of_a_dialogue_are_refused_by_a_page_by_name() -> None:
    messages = [
        llm.user("How high?"),
        llm.assistant(ToolCallPart("level", {"at": "x"}, "call-1")),
        llm.tool_message(ToolResultPart("level", RESULT, "call-1")),
    ]
    with pytest.raises(llm.ModelError, match="tailrace/shop: message 1 holds tool_calls"):
        model("shop").prompt(messages=messages).text()
    with pytest.raises(llm.ModelError, match="a tool call or reasoning"):
        model("chat").prompt(messages=[llm.user(ToolCallPart("level", {}, "call-1"))]).text()


@pytest.mark.parametrize("name", APIS)
def test_calls_and_results_without_ids_get_some(name: str) -> None:
    """Other plugins' models may have left them out of a dialogue that is gone on with here."""
    messages = [
        llm.user("How high?"),
        llm.assistant(
            ToolCallPart("level", {"at": "x"}),
            ToolCallPart("tide", {"at": "x"}),
            ToolCallPart("level", {"at": "y"}),
        ),
        llm.tool_message(
            ToolResultPart("level", "1 m"), ToolResultPart("level", "2 m"), ToolResultPart("tide")
        ),
    ]
    assert model(name).prompt("And now?", messages=messages).text()
    first, tide, second = [part.tool_call_id for part in messages[1].parts]
    assert (first, tide, second) == (None, None, None)  # the caller's own stay as they are


def test_results_without_ids_answer_calls_in_their_order() -> None:
    calls = [ToolCallPart(name, {}) for name in ("level", "tide", "level")]
    results = [ToolResultPart(name, str(at)) for at, name in enumerate(("level", "level", "tide"))]
    messages = [llm.user("?"), llm.assistant(*calls), llm.tool_message(*results)]
    _, answer, *answered = chat_messages(messages, "chat")
    first, tide, second = [each["id"] for each in answer["tool_calls"]]
    assert len({first, tide, second}) == 3
    assert [each["tool_call_id"] for each in answered] == [first, second, tide]


async def test_what_is_no_message_is_named() -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    with pytest.raises(llm.ModelError, match=r"message 0 must be an llm\.Message, not dict"):
        await async_model("chat").prompt(messages=messages).text()


def test_a_call_that_no_tool_was_given_for_is_told(caplog: pytest.LogCaptureFixture) -> None:
    tool = {"type": "function", "function": {"name": "tide", "parameters": SCHEMA}}
    asked = model("chat")
    asked.site = asked.site.replace(tools=[tool])
    response = asked.prompt("How high? [[tool]]")
    assert response.text() == ""
    assert [call.name for call in response.tool_calls()] == ["tide"]
    assert "calls tools that it was not given: tide" in caplog.text


# -- reasoning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", APIS)
def test_reasoning_comes_as_events(name: str) -> None:
    response = model(name).prompt("Hello [[think]]", **THINKS[name])
    kinds = [event.type for event in response.stream_events()]
    assert kinds[0] == "reasoning"
    assert kinds[-1] in ("text", "reasoning")
    (message,) = response.messages()
    thoughts = [part for part in message.parts if isinstance(part, ReasoningPart)]
    assert any(part.text for part in thoughts)
    assert [part for part in message.parts if isinstance(part, TextPart)]


@pytest.mark.parametrize("name", APIS)
def test_signed_thoughts_go_back(name: str, replica: Replica) -> None:
    """The services refuse results whose calls come without what they signed."""
    text = model(name).chain("How high? [[tools]] [[think]]", tools=[level], options=THINKS[name])
    assert f"{RESULT}, at 2" in text.text()
    conversation = model(name).conversation()
    conversation.prompt("Hello [[think]]", **THINKS[name]).text()
    assert "“And now?”" in conversation.prompt("And now?", **THINKS[name]).text()
    if name == "claude":
        (blocks,) = [each["content"] for each in sent(replica, "anthropic")["messages"][1:2]]
        assert [each["type"] for each in blocks] == ["thinking", "text"]


def test_a_signature_without_text_goes_back(server: Server) -> None:
    """Gemini signs a text that may be empty, and `llm` keeps no text that is."""
    parts = (
        {"functionCall": {"name": "level", "args": {"at": "x"}}},
        {"text": "", "thoughtSignature": "c2lnbmVk"},
    )
    server.say(*({"candidates": [{"content": {"parts": [each]}}]} for each in parts))
    first = model("gemma").prompt("How high?", tools=[level])
    assert [call.name for call in first.tool_calls()] == ["level"]
    server.say({"candidates": [{"content": {"parts": [{"text": "High"}]}}]})
    assert first.reply().text() == "High"
    (said,) = [each["parts"] for each in server.asked[-1]["contents"] if each["role"] == "model"]
    assert said[0] == parts[1]
    assert said[1]["functionCall"]["args"] == {"at": "x"}


def test_thoughts_stay_with_their_api() -> None:
    conversation = model("claude").conversation()
    conversation.prompt("Hello [[think]]", **THINKS["claude"]).text()
    messages = conversation.responses[-1].prompt.messages + conversation.responses[-1].messages()
    for name in ("google", "answers", "llama", "chat", "shop"):
        assert model(name).prompt("And now?", messages=messages).text()


# -- forms, options, attachments -------------------------------------------------------------------


class Level(BaseModel):
    """A level, read at a gauge."""

    gauge: str
    metres: float


@pytest.mark.parametrize("name", APIS)
def test_an_answer_in_the_form_of_a_schema(name: str) -> None:
    assert json.loads(model(name).prompt("Hello", schema=SCHEMA).text()) == {"at": "at 1"}
    told = json.loads(model(name).prompt("Hello", schema=Level).text())
    assert Level.model_validate(told) == Level(gauge="gauge 1", metres=1)


def test_options_are_those_of_the_request(replica: Replica) -> None:
    model("chat").prompt("Hello", temperature=0.5, max_tokens=900, stop=["@"], seed=7).text()
    body = sent(replica, "openai")
    told = {name: body[name] for name in ("temperature", "max_tokens", "stop", "seed", "model")}
    assert told == {
        "temperature": 0.5,
        "max_tokens": 900,
        "stop": ["@"],
        "seed": 7,
        "model": "gpt-4o",
    }
    model("chat").prompt("Hello, as JSON", model="gpt-4o-mini", json_object=True).text()
    body = sent(replica, "openai")
    assert (body["model"], body["response_format"]) == ("gpt-4o-mini", {"type": "json_object"})
    model("chat/gpt-4o-mini").prompt("Hello").text()
    assert sent(replica, "openai")["model"] == "gpt-4o-mini"


async def test_options_of_the_command(command: Callable[..., Any], replica: Replica) -> None:
    code, _, errors = await command(
        *("-m", "tailrace/llama", "-o", "temperature", "0.5", "-o", "stop", '["@"]'),
        *("-o", "extra", '{"options": {"num_ctx": 8192}}', "Hello"),
    )
    assert code == 0, errors
    options = sent(replica, "ollama")["options"]
    assert options == {"temperature": 0.5, "stop": ["@"], "num_ctx": 8192}
    code, _, errors = await command("-m", "tailrace/llama", "-o", "extra", "{", "Hello")
    assert (code, "no JSON" in errors) == (1, True)
    code, _, errors = await command("-m", "tailrace/shop", "-o", "temperature", "1", "Hello")
    assert (code, "temperature" in errors) == (1, True)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_chooses_its_model_itself_is_not_asked_for_one(name: str) -> None:
    with pytest.raises(ValueError, match=r"model\n.*Extra inputs are not permitted"):
        model(name).prompt("Hello", model="gpt-4o")


@pytest.mark.parametrize(
    ("given", "stop"),
    [
        ("[/INST]", "[/INST]"),
        ("{end}", "{end}"),
        ("[", "["),
        (' ["a", "[b]"]', ["a", "[b]"]),
        ("[ ]", []),
    ],
)
def test_a_stop_may_look_like_json(given: str, stop: object) -> None:
    assert model("chat").Options(stop=given).stop == stop  # type: ignore[attr-defined]


def test_a_list_of_stops_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="no JSON"):
        model("chat").prompt("Hello", stop='["a", "b"')
    with pytest.raises(ValueError, match="nested too deeply"):
        model("chat").prompt("Hello", extra="[" * 100_000)


def test_objects_of_a_schema_are_closed_for_anthropic_and_nothing_else(replica: Replica) -> None:
    place = {"type": ["object", "null"], "properties": {"default": dict(SCHEMA)}}
    schema = {
        "type": "object",
        "properties": {"place": place, "kind": {"enum": [dict(SCHEMA)]}},
        "default": dict(SCHEMA),
    }
    model("claude").prompt("Hello", schema=schema).text()
    closed = sent(replica, "anthropic")["output_config"]["format"]["schema"]
    assert closed["additionalProperties"] is False
    assert closed["properties"]["place"]["additionalProperties"] is False
    assert closed["properties"]["place"]["properties"]["default"]["additionalProperties"] is False
    assert closed["properties"]["kind"] == {"enum": [SCHEMA]}
    assert closed["default"] == SCHEMA


def test_a_schema_and_a_json_object_cannot_both_be_had() -> None:
    with pytest.raises(llm.ModelError, match="json_object and a schema"):
        model("chat").prompt("Hello", schema=SCHEMA, json_object=True).text()


def test_log_probabilities_are_kept() -> None:
    response = model("llama").prompt("Hello", logprobs=True)
    text = response.text()
    tokens = [
        each["token"] for told in response.response_json["logprobs"] for each in told["content"]
    ]
    assert "".join(tokens) == text


@pytest.mark.parametrize("name", APIS)
def test_an_image_is_sent(name: str) -> None:
    picture = llm.Attachment(type="image/png", content=PNG)
    assert (
        model(name).prompt("What is it?", attachments=[picture]).text().startswith("I see 1 image")
    )


async def test_an_image_is_sent_with_asyncio() -> None:
    picture = llm.Attachment(type="image/png", content=PNG)
    response = async_model("claude").prompt("What is it?", attachments=[picture])
    assert (await response.text()).startswith("I see 1 image")


@pytest.mark.parametrize(("name", "key"), [("chat", "input_audio"), ("google", "inlineData")])
def test_a_sound_is_sent(name: str, key: str, replica: Replica) -> None:
    sound = llm.Attachment(type="audio/wav", content=b"RIFF")
    model(name).prompt("What is it?", attachments=[sound]).text()
    assert key in json.dumps(sent(replica, {"chat": "openai", "google": "gemini"}[name]))


def test_an_attachment_is_refused_where_there_is_no_place_for_it() -> None:
    picture = llm.Attachment(type="image/png", content=PNG)
    sound = llm.Attachment(type="audio/wav", content=b"RIFF")
    with pytest.raises(ValueError, match="does not support attachments"):
        model("shop").prompt("What is it?", attachments=[picture])
    with pytest.raises(ValueError, match="attachments of type 'audio/wav'"):
        model("claude").prompt("What is it?", attachments=[sound])
    with pytest.raises(llm.ModelError, match="message 0 holds a part of the type 'image_url'"):
        model("shop").prompt(messages=[llm.user("What is it?", picture)]).text()


# -- what is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", APIS)
def test_usage_is_told(name: str) -> None:
    response = model(name).prompt("Hello")
    usage = response.usage()
    assert (usage.input or 0) > 0
    assert (usage.output or 0) > 0
    assert response.resolved_model
    assert response.response_json["end"] in ("done", "stopped")


def test_an_answer_that_is_cut_says_so(caplog: pytest.LogCaptureFixture) -> None:
    response = model("chat").prompt("Hello", max_tokens=5)
    assert response.text()
    assert response.response_json["finish_reason"] == "length"
    assert "the answer is not whole: its end is 'length'" in caplog.text


def test_a_refusal_is_what_the_model_says() -> None:
    response = model("chat").prompt("[[refuse]]")
    assert response.text() == response.response_json["refusal"] != ""


@dataclass
class Server:
    """A server of a test's own: it sends the newest of its replies, and keeps what it is asked."""

    replies: list[bytes] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def say(self, *events: dict[str, Any]) -> None:
        texts = [*map(json.dumps, events), "[DONE]"]
        self.replies.append("".join(f"data: {each}\n\n" for each in texts).encode())

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        headers = {"Content-Type": "text/event-stream", **self.headers}
        return web.Response(body=self.replies[-1], status=self.status, headers=headers)


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    """A server that is two sites: ``told`` with chat completions, ``gemma`` with Gemini's API."""
    served = Server()
    with LoopThread() as loop:
        app = web.Application()
        app.router.add_post("/{path:.*}", served.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        loop.run(runner.setup())
        loop.run(web.TCPSite(runner, "127.0.0.1", 0).start())
        served.url = url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        with (home / "tailrace.toml").open("a", encoding="utf-8") as file:
            for name, at, software in (("told", "/v1", "openai"), ("gemma", "", "gemini")):
                file.write(f"""
[sites.{name}]
url = "{url}{at}"
software = "{software}"
default_model = "any"
""")
        yield served
        loop.run(runner.cleanup())


@pytest.fixture
def said(server: Server) -> Callable[..., llm.Model]:
    """A model whose server says what a test tells it to, as deltas of a chat completion."""

    def saying(*deltas: dict[str, Any], **last: Any) -> llm.Model:
        server.say(*({"choices": [{"delta": each}]} for each in deltas), {"choices": [], **last})
        return model("told")

    return saying


def test_what_is_not_shown_is_told(
    said: Callable[..., llm.Model], caplog: pytest.LogCaptureFixture
) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    response = said({"content": "Here it is."}, {"images": [picture]}).prompt("Draw")
    assert response.text() == "Here it is."
    assert response.response_json["passed_over"] == {"image": 1}
    assert "the answer also holds what is not shown: image" in caplog.text


ASKED: dict[str, Callable[[str], object]] = {
    "whole": lambda name: model(name).prompt("Hello", stream=False).text(),
    "streamed": lambda name: model(name).prompt("Hello").text(),
    "async": lambda name: asyncio.run(_text_of(async_model(name))),
}


async def _text_of(asked: llm.AsyncModel) -> str:
    return await asked.prompt("Hello").text()


@pytest.mark.parametrize("way", ASKED)
def test_no_error_tells_the_key_that_a_server_says_again(
    server: Server, home: Path, way: str
) -> None:
    with (home / "tailrace.toml").open("a", encoding="utf-8") as file:
        file.write(f"""
[sites.keyed]
url = "{server.url}/v1"
software = "openai"
default_model = "any"
api_key_env = "MILL_KEY"
""")
    server.status = 401
    server.say({"error": {"message": f"Incorrect API key provided: {KEY}.", "code": KEY}})
    with pytest.raises(llm.ModelError) as raised:
        ASKED[way]("keyed")
    assert "Incorrect API key provided: [secret]." in str(raised.value)
    assert KEY not in "".join(traceback.format_exception(raised.value))


def test_calls_without_ids_get_some(said: Callable[..., llm.Model]) -> None:
    calls = [
        {"index": index, "function": {"name": "level", "arguments": f'{{"at": "{index}"}}'}}
        for index in range(2)
    ]
    response = said({"tool_calls": calls}).prompt("How high?", tools=[level])
    ids = [call.tool_call_id for call in response.tool_calls()]
    assert len({each for each in ids if each}) == 2
    (message,) = response.messages()
    assert [(part.tool_call_id, part.arguments) for part in message.parts] == [
        (ids[0], {"at": "0"}),
        (ids[1], {"at": "1"}),
    ]


def test_what_a_terminal_would_obey_is_shown(
    said: Callable[..., llm.Model], caplog: pytest.LogCaptureFixture
) -> None:
    call = {"index": 0, "id": "call-1", "function": {"name": "a\x1b[2J", "arguments": "{}"}}
    said({"tool_calls": [call]}).prompt("How high?").text()
    assert r"not given: a\u001b[2J" in caplog.text
    failing = said({"content": "Hello"}, error={"message": "over\x1b[2Jloaded"})
    with pytest.raises(llm.ModelError, match=r"over\\u001b\[2Jloaded"):
        failing.prompt("Hello").text()


def test_counts_that_were_left_out_are_not_told(said: Callable[..., llm.Model]) -> None:
    response = said({"content": "Hello"}, usage={"total_tokens": 12}).prompt("Hello")
    usage = response.usage()
    assert (usage.input, usage.output, usage.details) == (None, None, {"total": 12})
    response = said({"content": "Hello"}, usage={"prompt_tokens": 3}).prompt("Hello")
    assert (response.usage().input, response.usage().output) == (3, None)


def test_calls_with_one_id_get_two(said: Callable[..., llm.Model]) -> None:
    calls = [
        {"index": index, "id": "call-1", "function": {"name": "level", "arguments": "{}"}}
        for index in range(2)
    ]
    response = said({"tool_calls": calls}).prompt("How high?", tools=[level])
    first, second = [call.tool_call_id for call in response.tool_calls()]
    assert (first, second != first) == ("call-1", True)


def test_arguments_that_are_no_object_are_told(said: Callable[..., llm.Model]) -> None:
    call = {"index": 0, "id": "call-1", "function": {"name": "level", "arguments": "[1]"}}
    with pytest.raises(llm.ModelError, match="arguments of the tool level are no JSON object"):
        said({"tool_calls": [call]}).prompt("How high?", tools=[level]).text()


# -- keys ------------------------------------------------------------------------------------------


def test_the_key_is_the_profiles_unless_one_is_given(home: Path) -> None:
    with pytest.raises(llm.ModelError, match=r"tailrace/chat: .*401"):
        model("chat").prompt("Hello", key="sk-wrong").text()
    (home / "keys.json").write_text(json.dumps({"mill": KEY}))
    assert model("chat").prompt("Hello", key="mill").text() == answer()
    with pytest.raises(llm.ModelError, match="tailrace/shop takes no key"):
        model("shop").prompt("Hello", key="sk-wrong").text()
    with pytest.raises(llm.ModelError, match="tailrace/chat: the key that was given is empty"):
        model("chat").prompt("Hello", key="").text()


def test_a_key_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILL_KEY")
    with pytest.raises(llm.ModelError, match=r"sites\.chat\.api_key_env: .*MILL_KEY is not set"):
        model("chat").prompt("Hello").text()
    assert isinstance(model("chat").site.api_key, Secret)


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chat", "claude", "shop"])
def test_text_before_a_failure_is_delivered(name: str) -> None:
    pieces: list[str] = []
    with pytest.raises(llm.ModelError, match=f"tailrace/{name}: ") as raised:
        pieces.extend(model(name).prompt("[[midfail]]"))
    assert "".join(pieces)
    assert isinstance(raised.value.__cause__, tailrace.StreamError)


async def test_text_before_a_failure_is_delivered_with_asyncio() -> None:
    pieces: list[str] = []
    with pytest.raises(llm.ModelError, match="tailrace/chat: "):  # noqa: PT012
        async for piece in async_model("chat").prompt("[[midfail]]"):
            pieces.append(piece)  # noqa: PERF401 - what came before is what is looked at
    assert "".join(pieces)


async def test_a_warning_of_the_command_stands_apart(command: Callable[..., Any]) -> None:
    code, _, errors = await command("-m", "tailrace/chat", "-o", "max_tokens", "5", "Hello")
    assert (code, errors) == (0, "llm-tailrace: the answer is not whole: its end is 'length'\n")


async def test_another_attempt_is_told_apart(
    home: Path, server: Server, command: Callable[..., Any]
) -> None:
    server.say({"error": {"message": "bu\x1b[2Jsy"}})
    server.status = 503
    with (home / "tailrace.toml").open("a", encoding="utf-8") as file:
        file.write(f"{RETRY}\n")
    code, output, errors = await command("-m", "tailrace/told", "Hello")
    assert (code, output, len(server.asked)) == (1, "", 2)
    assert errors.startswith("llm-tailrace: attempt 1 of 2 failed")
    assert errors.count(r"bu\u001b[2Jsy") == 2


async def test_when_to_ask_again_is_told(server: Server, command: Callable[..., Any]) -> None:
    server.say({"error": {"message": "too many"}})
    server.status, server.headers = 429, {"Retry-After": "7"}
    code, output, errors = await command("-m", "tailrace/told", "Hello")
    assert (code, output) == (1, "")
    assert "HTTP 429" in errors
    assert errors.endswith("(it may be asked again after 7 s)\n")


async def test_a_failure_of_the_command(command: Callable[..., Any]) -> None:
    code, output, errors = await command("-m", "tailrace/chat", "[[cut]]")
    assert code == 1
    assert output.startswith("You asked")
    assert "Error: tailrace/chat: the reply broke off" in errors
    code, output, errors = await command("-m", "tailrace/chat", "[[err429]]")
    assert (code, output) == (1, "")
    assert "HTTP 429" in errors


def test_arguments_that_are_no_json_are_told() -> None:
    with pytest.raises(llm.ModelError, match="the arguments of the tool") as raised:
        model("chat").prompt("Hello [[tool]]", tools=[level], max_tokens=2).tool_calls()
    assert isinstance(raised.value.__cause__, tailrace.ToolArgumentsError)


# -- files -----------------------------------------------------------------------------------------


async def test_a_file_with_an_error_is_told_and_others_go_on(
    home: Path, command: Callable[..., Any]
) -> None:
    (home / "tailrace.toml").write_text("[sites.shop]\nurl = 5\n")
    code, output, errors = await command("models", "list")
    assert code == 0
    assert "OpenAI" in output
    assert "llm-tailrace: no site of this file is a model:" in errors
    assert "sites.shop.url" in errors


def test_a_file_that_came_with_a_folder_wants_trust(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(home / name))
    monkeypatch.delenv("TAILRACE_CONFIG")
    monkeypatch.chdir(home)
    assert model("shop").prompt("Hello").text() == answer()
    with pytest.raises(llm.ModelError, match="run `tailrace trust`"):
        model("chat").prompt("Hello").text()


async def test_models_that_servers_tell_are_kept(home: Path, command: Callable[..., Any]) -> None:
    code, output, errors = await command("tailrace", "refresh")
    assert code == 0, errors
    told = dict(line.split(": ") for line in output.splitlines())
    assert set(told) == {"answers", "claude", "google", "llama"}
    assert model("claude/claude-opus-4-8").prompt("Hello").text()
    code, output, errors = await command("tailrace", "refresh", "chat", "shop")
    assert (code, output) == (1, "chat: 4 models\n")
    assert "chat: those that its profile names count" in errors
    assert "shop: sites of the software wordpress tell no list of models" in errors
    code, output, errors = await command("tailrace", "refresh", "nowhere")
    assert (code, "has a site 'nowhere'" in errors) == (1, True)
    (home / "tailrace-models.json").write_text("[")
    code, output, errors = await command("models", "list", "-q", "tailrace/")
    assert (code, "is not read" in errors) == (0, True)
    assert "tailrace/claude" in output
