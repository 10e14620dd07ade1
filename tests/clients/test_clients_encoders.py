"""The official clients of each wire, over what our encoders write: they put together the answer
that was encoded, streamed and whole.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from tailrace import (
    ChunkEncoder,
    CompletionEncoder,
    Delta,
    MessageEncoder,
    ResponseEncoder,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("default")

USAGE = Usage(40, 12, cached_tokens=30, reasoning_tokens=5)
TOOLS: list[Any] = [
    {"type": "function", "name": "tide", "parameters": {"type": "object"}, "strict": False}
]
REQUEST = json.dumps(
    {
        "model": "mill",
        "input": "When is high water?",
        "stream": True,
        "instructions": "Say it in short.\u2028<b>",
        "tools": TOOLS,
        "metadata": {"pond": "upper"},
        "temperature": 0.5,
    }
).encode()


@dataclass
class Answer:
    """One answer: what it is made of, and what is to be read of it."""

    deltas: list[Delta]
    reason: str
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[tuple[str, Any], ...] = ()


def piece(text: str, index: int = 0, **of: str) -> Delta:
    return Delta("tool_call", text, index=index, **of)


ANSWERS = {
    "text": Answer([Delta("text", "Nine\n"), Delta("text", "o'clock")], "stop", "Nine\no'clock"),
    "cut": Answer([Delta("text", "Nine ")], "length", "Nine "),
    "nothing": Answer([], "stop"),
    "reasoning": Answer(
        [Delta("reasoning", "The moon "), Delta("reasoning", "is full."), Delta("text", "Nine")],
        "stop",
        "Nine",
        "The moon is full.",
    ),
    "refusal": Answer(
        [Delta("refusal", "I would "), Delta("refusal", "rather not")],
        "stop",
        refusal="I would rather not",
    ),
    "a call": Answer(
        [
            Delta("text", "Let me look."),
            piece("", 3, id="call_a", name="tide"),
            piece('{"at":', 3),
            piece('"Dover"}', 3),
        ],
        "tool_calls",
        "Let me look.",
        calls=(("tide", {"at": "Dover"}),),
    ),
    "calls side by side": Answer(
        [
            piece("", 0, id="call_a", name="tide"),
            piece("", 1, id="call_b", name="moon"),
            piece('{"at":', 0),
            piece('{"on":', 1),
            piece("1}", 0),
            piece("2}", 1),
            Delta("text", "Both."),
        ],
        "tool_calls",
        "Both.",
        calls=(("tide", {"at": 1}), ("moon", {"on": 2})),
    ),
    "calls without ids": Answer(
        [piece("{}", 0, name="tide"), piece("{}", 1, name="tide")],
        "tool_calls",
        calls=(("tide", {}), ("tide", {})),
    ),
}
EACH = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)


class Told(ThreadingHTTPServer):
    """A server that answers every request with the same bytes."""

    body = b""
    kind = "text/event-stream"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def tells(self, body: bytes, kind: str = "text/event-stream") -> None:
        self.body, self.kind = body, kind


class _Handler(BaseHTTPRequestHandler):
    server: Told
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    with Told(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(told: Told) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=told.url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(told: Told) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=told.url, api_key="k", max_retries=0) as client:
        yield client


def valid(value: Any) -> None:
    """Hold an object of a client against its own type, which the client itself does not."""
    type(value).model_validate(value.model_dump(by_alias=True), strict=True)


# -- chat completions ------------------------------------------------------------------------------


@EACH
def test_chat_completions(told: Told, client: openai.OpenAI, answer: Answer) -> None:
    encoder = ChunkEncoder(
        id="chatcmpl-1", created=1, model="mill", system_fingerprint=None, include_usage=True
    )
    events = encoder.role() + encoder.keep_alive() + encoder.events(answer.deltas)
    events += encoder.finish(answer.reason) + encoder.usage(40, 12, cached=30, reasoning=5)
    told.tells(events + encoder.done())
    with client.chat.completions.stream(model="mill", messages=[]) as stream:
        read = list(stream)
        completion = stream.current_completion_snapshot
    assert [event.chunk.id for event in read if event.type == "chunk"] == ["chatcmpl-1"] * (
        len(answer.deltas) + 3
    )
    choice = completion.choices[0]
    assert choice.finish_reason == answer.reason
    assert (choice.message.content or "", choice.message.refusal or "") == (
        answer.text,
        answer.refusal,
    )
    assert (getattr(choice.message, "reasoning_content", None) or "") == answer.reasoning
    calls = choice.message.tool_calls or []
    assert tuple((c.function.name, json.loads(c.function.arguments)) for c in calls) == answer.calls
    assert len({call.id for call in calls}) == len(calls)
    assert completion.usage is not None
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 30
    valid(completion)


def test_legacy_completions(told: Told, client: openai.OpenAI) -> None:
    encoder = CompletionEncoder(id="cmpl-1", created=1, model="mill", system_fingerprint="f")
    events = encoder.deltas(["Nine "]) + encoder.keep_alive()
    events += encoder.events([Delta("text", "o'clock"), Delta("reasoning", "Moon")])
    told.tells(events + encoder.finish("stop") + encoder.usage(4, 2) + encoder.done())
    read = list(client.completions.create(model="mill", prompt="When?", stream=True))
    texts = [choice.text for each in read for choice in each.choices]
    assert "".join(texts) == "Nine o'clock"
    assert [each.object for each in read] == ["text_completion"] * 5
    assert read[-2].choices[0].finish_reason == "stop"
    assert read[-1].usage is not None
    assert read[-1].usage.total_tokens == 6


# -- Responses -------------------------------------------------------------------------------------


def responses() -> ResponseEncoder:
    return ResponseEncoder(id="resp_1", created_at=1, model="mill", request=REQUEST)


def check_response(response: Any, answer: Answer) -> None:
    valid(response)
    assert response.output_text == answer.text
    items = response.output
    assert tuple(
        (item.name, json.loads(item.arguments)) for item in items if item.type == "function_call"
    ) == (answer.calls)
    summaries = [part.text for item in items if item.type == "reasoning" for part in item.summary]
    assert "".join(summaries) == answer.reasoning
    parts = [part for item in items if item.type == "message" for part in item.content]
    assert "".join(part.refusal for part in parts if part.type == "refusal") == answer.refusal
    assert response.instructions == "Say it in short.\u2028<b>"
    assert (response.temperature, response.metadata) == (0.5, {"pond": "upper"})
    assert [tool.name for tool in response.tools] == ["tide"]
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (40, 12, 52)
    assert usage.input_tokens_details.cached_tokens == 30
    assert usage.output_tokens_details.reasoning_tokens == 5
    if answer.reason == "length":
        assert (response.status, items[-1].status) == ("incomplete", "incomplete")
        assert response.incomplete_details.reason == "max_output_tokens"
    else:
        assert response.status == "completed"
        assert {item.status for item in items} <= {"completed", None}


@EACH
def test_responses(told: Told, client: openai.OpenAI, answer: Answer) -> None:
    encoder = responses()
    events = encoder.start() + encoder.keep_alive() + encoder.events(answer.deltas)
    told.tells(events + encoder.finish(answer.reason, USAGE))
    with client.responses.stream(model="mill", input="When?", tools=TOOLS) as stream:
        read = list(stream)
    assert [event.sequence_number for event in read] == list(range(len(read)))
    for event in read[:2] + read[-1:]:
        assert event.response.id == "resp_1"
    check_response(read[-1].response, answer)
    if answer.reason != "length":
        assert stream.get_final_response().output == read[-1].response.output
    # What was told piece by piece is what the end tells again.
    texts = [event.delta for event in read if event.type == "response.output_text.delta"]
    done = [event.text for event in read if event.type == "response.output_text.done"]
    assert "".join(texts) == "".join(done) == answer.text
    snapshots = {
        event.output_index: event.snapshot
        for event in read
        if event.type == "response.function_call_arguments.delta"
    }
    assert tuple(json.loads(each) for each in snapshots.values()) == tuple(
        arguments for _, arguments in answer.calls
    )
    raw: list[Any] = list(client.responses.create(model="mill", input="When?", stream=True))
    for event in raw:
        valid(event)
    items = [event.item for event in raw if event.type == "response.output_item.done"]
    assert items == raw[-1].response.output


@EACH
def test_a_whole_response(told: Told, client: openai.OpenAI, answer: Answer) -> None:
    whole = responses().whole(answer.deltas, answer.reason, USAGE)
    told.tells(whole, "application/json")
    check_response(client.responses.create(model="mill", input="When?"), answer)


def test_a_failed_response(told: Told, client: openai.OpenAI) -> None:
    encoder = responses()
    events = encoder.start() + encoder.events([Delta("text", "Nine")])
    told.tells(events + encoder.error("the site is gone", kind="upstream_error", code="gone"))
    last = list(client.responses.create(model="mill", input="When?", stream=True))[-1]
    valid(last.response.output[0])
    assert last.type == "response.failed"
    assert last.response.output_text == "Nine"
    assert last.response.error is not None
    assert (last.response.error.code, last.response.error.message) == ("gone", "the site is gone")


# -- messages --------------------------------------------------------------------------------------

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def check_message(message: Any, answer: Answer) -> None:
    valid(message)
    blocks = message.content
    text = "".join(block.text for block in blocks if block.type == "text")
    assert text == answer.text + answer.refusal
    assert "".join(b.thinking for b in blocks if b.type == "thinking") == answer.reasoning
    assert {block.signature for block in blocks if block.type == "thinking"} <= {""}
    calls = [block for block in blocks if block.type == "tool_use"]
    assert tuple((block.name, block.input) for block in calls) == answer.calls
    assert len({block.id for block in calls}) == len(calls)
    refuses = answer.refusal and answer.reason == "stop"
    assert message.stop_reason == ("refusal" if refuses else STOP_REASONS[answer.reason])
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 12)
    assert message.usage.cache_read_input_tokens == 30
    assert message.usage.output_tokens_details.thinking_tokens == 5


@EACH
def test_messages(told: Told, claude: anthropic.Anthropic, answer: Answer) -> None:
    encoder = MessageEncoder(id="msg_1", model="mill")
    events = encoder.start(40) + encoder.keep_alive() + encoder.events(answer.deltas)
    told.tells(events + encoder.finish(answer.reason, USAGE))
    with claude.messages.stream(model="mill", max_tokens=9, messages=[]) as stream:
        read = list(stream)
        message = stream.get_final_message()
    check_message(message, answer)
    starts = [event.index for event in read if event.type == "content_block_start"]
    stops = [event.index for event in read if event.type == "content_block_stop"]
    assert starts == stops == list(range(len(message.content)))
    for event in claude.messages.create(model="mill", max_tokens=9, messages=[], stream=True):
        valid(event)


@EACH
def test_a_whole_message(told: Told, claude: anthropic.Anthropic, answer: Answer) -> None:
    whole = MessageEncoder(id="msg_1", model="mill").whole(answer.deltas, answer.reason, USAGE)
    told.tells(whole, "application/json")
    message = claude.messages.create(model="mill", max_tokens=9, messages=[])
    check_message(message, answer)


def test_a_stop_sequence(told: Told, claude: anthropic.Anthropic) -> None:
    encoder = MessageEncoder(id="msg_1", model="mill")
    events = encoder.start() + encoder.deltas(["Nine"])
    told.tells(events + encoder.finish("stop", USAGE, stop_sequence="\n\n"))
    with claude.messages.stream(model="mill", max_tokens=9, messages=[]) as stream:
        message = stream.get_final_message()
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "\n\n")


def test_a_failed_message(told: Told, claude: anthropic.Anthropic) -> None:
    encoder = MessageEncoder(id="msg_1", model="mill")
    events = encoder.start() + encoder.events([Delta("text", "Nine")])
    told.tells(events + encoder.error("the site is busy", kind="overloaded_error"))
    with (
        claude.messages.stream(model="mill", max_tokens=9, messages=[]) as stream,
        pytest.raises(anthropic.APIStatusError, match="the site is busy"),
    ):
        stream.until_done()
