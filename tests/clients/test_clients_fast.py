"""Fast clients against the clients they are copies of, over every vector: the same objects,
attribute by attribute, and the same errors.
"""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from anthropic.types import RawMessageStreamEvent
from anthropic.types.beta import BetaRawMessageStreamEvent
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

import tailrace.anthropic
import tailrace.openai
from tailrace._fast.streams import fast_stream
from tailrace.errors import InvalidRequestError, LimitExceeded

sys.path.append(str(Path(__file__).parents[1] / "unit"))

from vector_files import cases, cuts, reply_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.filterwarnings("default")

Read = tuple[list[Any], BaseException | None]

OPENAI = openai.OpenAI(api_key="key"), openai.AsyncOpenAI(api_key="key")
ANTHROPIC = anthropic.Anthropic(api_key="key"), anthropic.AsyncAnthropic(api_key="key")
WIRES: dict[str, tuple[Any, Any, Any]] = {
    "chat": (openai, OPENAI, ChatCompletionChunk),
    "completions": (openai, OPENAI, Completion),
    "responses": (openai, OPENAI, ResponseStreamEvent),
    "messages": (anthropic, ANTHROPIC, RawMessageStreamEvent),
    "messages beta": (anthropic, ANTHROPIC, BetaRawMessageStreamEvent),
}
FAST = {
    client: {openai: tailrace.openai, anthropic: tailrace.anthropic}[module].fast(client)
    for module, clients in ((openai, OPENAI), (anthropic, ANTHROPIC))
    for client in clients
}
ALL = [*cases("deltas"), *cases("field")]


def library(client: Any) -> Any:
    """The HTTP library that a client of this version uses."""
    (base,) = (
        each
        for each in type(client._client).__mro__
        if each.__module__.partition(".")[0] in {"httpx", "httpx2"}
        and each.__name__ in {"Client", "AsyncClient"}
    )
    return sys.modules[base.__module__.partition(".")[0]]


def stream(wire: str, client: Any, *, fast: bool, content: Any) -> Any:
    """A stream over these bytes, made as the package makes it."""
    module, (blocking, _), kind = WIRES[wire]
    http = library(client)
    response = http.Response(
        200,
        headers={"content-type": "text/event-stream"},
        content=content,
        request=http.Request("POST", "http://127.0.0.1/"),
    )
    stream_class = (module.Stream if client is blocking else module.AsyncStream)[kind]
    if fast:
        client, stream_class = FAST[client], fast_stream(stream_class)
    return stream_class(cast_to=kind, response=response, client=client)


def read(wire: str, chunks: list[bytes], *, fast: bool) -> Read:
    """What a client reads, and with what it ends."""
    found: list[Any] = []
    client = WIRES[wire][1][0]
    try:
        found.extend(stream(wire, client, fast=fast, content=iter(chunks)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other must have it, too
        return found, error
    return found, None


async def read_async(wire: str, chunks: list[bytes], *, fast: bool) -> Read:
    """What a client of asyncio reads, and with what it ends."""

    async def content() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    found: list[Any] = []
    client = WIRES[wire][1][1]
    try:
        async for item in stream(wire, client, fast=fast, content=content()):
            found.append(item)  # noqa: PERF401 - then it may raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the other must have it, too
        return found, error
    return found, None


def agree(fast: Read, real: Read, compare: Callable[[Any, Any], None]) -> None:
    """What was read fast is what the package reads, as far as that does not fail by mistake."""
    objects, error = fast
    expected, real_error = real
    for one, other in zip(objects, expected, strict=False):
        compare(one, other)
    assert len(objects) >= len(expected)
    if is_fault(real_error):
        return
    assert len(objects) == len(expected)
    assert type(error) is type(real_error)
    assert str(error) == str(real_error)
    assert getattr(error, "body", None) == getattr(real_error, "body", None)


def is_fault(error: BaseException | None) -> bool:
    """Whether a package stumbled over events that have no data, or bytes that are no UTF-8."""
    is_empty = "Expecting value: line 1 column 1 (char 0)" in str(error)
    return is_empty or isinstance(error, UnicodeDecodeError)


def same_attributes(one: Any, other: Any) -> None:
    """Each field and each extra one by one, down to the last; then all that can be asked."""
    same_value(one, other)
    same_whole(one, other)


def same_value(one: Any, other: Any) -> None:
    if not hasattr(type(other), "model_fields"):
        assert type(one) is type(other)
        if isinstance(other, list):
            for each, real in zip_longest(one, other):
                same_value(each, real)
        else:
            assert one == other or other != other  # noqa: PLR0124 - NaN
        return
    assert isinstance(one, type(other))
    for name in (*type(other).model_fields, *(other.model_extra or {})):
        same_value(getattr(one, name), getattr(other, name))
    assert getattr(one, "no_such_name", None) is None


def same_whole(one: Any, other: Any) -> None:
    assert repr(one) == repr(other)
    if not hasattr(type(other), "model_fields"):  # an event that is a list or a number
        return
    if "nan" not in repr(other):
        assert one == other
        assert other == one
    assert type(one) is type(other)
    assert one.model_fields_set == other.model_fields_set
    assert repr(one.model_dump()) == repr(other.model_dump())
    assert as_json(one) == as_json(other)


def as_json(made: Any) -> str:
    """The JSON; where half a character cannot be written, what the package says of that."""
    try:
        return str(made.to_json())
    except Exception as error:  # noqa: BLE001 - whatever it is, the other must have it, too
        return str(error)


def same_when_dumped(one: Any, other: Any) -> None:
    if not hasattr(type(other), "model_fields"):
        assert repr(one) == repr(other)
        return
    assert repr(one.model_dump(exclude_unset=True)) == repr(other.model_dump(exclude_unset=True))


def same_when_copied(one: Any, other: Any) -> None:
    for made in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301 - ours
        assert type(made) is type(other)
        assert repr(made) == repr(other)


def same_when_changed(one: Any, other: Any) -> None:
    if not hasattr(type(other), "model_fields"):
        return
    for name in type(other).model_fields:
        getattr(one, name)
        setattr(one, name, getattr(other, name))
        setattr(other, name, getattr(other, name))
    one.added = other.added = "added"
    assert repr(one) == repr(other)


COMPARED = same_attributes, same_when_dumped, same_when_copied, same_when_changed


LONG = 20_000  # bytes, above which an input is read in whole reads alone

OWN = {
    "openai_completions": "completions",
    "openai_responses": "responses",
    "anthropic": "messages",
}


@pytest.mark.parametrize("case", ALL)
def test_an_object_is_what_the_package_makes(
    case: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    data = reply_bytes(case)
    for wire in WIRES:
        for compare in COMPARED if wire == own_wire(request) else COMPARED[:1]:
            agree(read(wire, [data], fast=True), as_the_package(wire, data), compare)


@pytest.mark.parametrize("case", ALL)
async def test_asyncio_changes_nothing(
    case: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    data, wire = reply_bytes(case), own_wire(request)
    fast = await read_async(wire, [data], fast=True)
    agree(fast, await read_async(wire, [without_mark(data)], fast=False), same_when_dumped)


def own_wire(request: pytest.FixtureRequest) -> str:
    return OWN.get(request.node.callspec.id.partition("/")[0], "chat")


def as_the_package(wire: str, data: bytes) -> Read:
    return read(wire, [without_mark(data)], fast=False)


def without_mark(data: bytes) -> bytes:
    """The bytes behind a byte order mark, with which the packages lose the first line."""
    return data.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("case", ALL)
def test_a_cut_changes_nothing(case: dict[str, Any], request: pytest.FixtureRequest) -> None:
    data, wire = reply_bytes(case), own_wire(request)
    whole, error = read(wire, [data], fast=True)
    expected = [repr(each) for each in whole]
    for chunks in cuts(data) if len(data) < LONG else cuts(data)[-1:]:
        found, end = read(wire, chunks, fast=True)
        assert [repr(each) for each in found] == expected
        assert (type(end), str(end)) == (type(error), str(error))


# -- over HTTP -------------------------------------------------------------------------------------


CHAT = (
    b"".join(
        b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"mill","choices":'
        b'[{"index":0,"delta":{"content":"%d "},"finish_reason":%s}]}\n\n' % (number, reason)
        for number, reason in enumerate([b"null", b"null", b'"stop"'])
    )
    + b"data: [DONE]\n\n"
)
FAILING = CHAT[: CHAT.index(b"data: [DONE]")] + (
    b'data: {"error":{"message":"the wheel broke","type":"server_error"}}\n\n'
)
MESSAGE = b"".join(
    b"event: %s\ndata: %s\n\n" % (data.split(b'"')[3], data)
    for data in (
        (
            b'{"type":"message_start","message":{"id":"m1","type":"message","role":"assistant",'
            b'"model":"mill","content":[],"stop_reason":null,"stop_sequence":null,'
            b'"usage":{"input_tokens":3,"output_tokens":1}}}'
        ),
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        b'{"type":"ping"}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"High "}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"tide"}}',
        b'{"type":"content_block_stop","index":0}',
        (
            b'{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
            b'"usage":{"output_tokens":4}}'
        ),
        b'{"type":"message_stop"}',
    )
)
OVERLOADED = (
    MESSAGE[: MESSAGE.index(b"event: content_block_stop")]
    + b"event: error\n"
    + b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)


class Mill(BaseHTTPRequestHandler):
    """Answers as the model's name says; counts connections and requests by it."""

    protocol_version = "HTTP/1.1"
    answers: dict[bytes, tuple[int, bytes]]
    connections: set[Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.connections.add(self.client_address)
        status, answer = next(
            made for name, made in self.answers.items() if b'"model":"%s"' % name in body
        )
        if status == 503:
            self.answers[b"retried"] = 200, CHAT
        self.send_response(status)
        kind = "text/event-stream" if status == 200 else "application/json"
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in (answer[:100], answer[100:], b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def mill() -> Iterator[tuple[str, type[Mill]]]:
    """The origin of a server, and what it counts."""
    kind = type("Counting", (Mill,), {"connections": set(), "answers": {
        b"chat": (200, CHAT),
        b"failing": (200, FAILING),
        b"message": (200, MESSAGE),
        b"overloaded": (200, OVERLOADED),
        b"retried": (503, b'{"error":{"message":"later"}}'),
        b"refused": (400, b'{"error":{"message":"no such wheel","code":"wheel"}}'),
    }})  # fmt: skip
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", kind
        server.shutdown()


ASKED: Any = [{"role": "user", "content": "When is high tide?"}]


@pytest.fixture
def chat(mill: tuple[str, type[Mill]]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="key", base_url=f"{mill[0]}/v1") as client:
        yield tailrace.openai.fast(client)


@pytest.fixture
def messages(mill: tuple[str, type[Mill]]) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="key", base_url=mill[0], max_retries=0) as client:
        yield tailrace.anthropic.fast(client)


def test_a_stream_over_http(chat: openai.OpenAI) -> None:
    made = chat.chat.completions.create(model="chat", messages=ASKED, stream=True)
    assert isinstance(made, openai.Stream)
    assert made.response.status_code == 200
    with made as chunks:
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["0 ", "1 ", "2 "]


async def test_a_stream_over_http_with_asyncio(mill: tuple[str, type[Mill]]) -> None:
    async with openai.AsyncOpenAI(api_key="key", base_url=f"{mill[0]}/v1") as client:
        fast = tailrace.openai.fast(client).with_options(timeout=30)
        made = await fast.chat.completions.create(model="chat", messages=ASKED, stream=True)
        assert isinstance(made, openai.AsyncStream)
        first = await made.__anext__()
        rest = [chunk.choices[0].finish_reason async for chunk in made]
    assert (first.choices[0].delta.content, rest) == ("0 ", [None, "stop"])


def test_a_loop_that_goes_on_later_misses_nothing(chat: openai.OpenAI) -> None:
    chunks = chat.chat.completions.create(model="chat", messages=ASKED, stream=True)
    found = [next(chunks)]
    for chunk in chunks:
        found.append(chunk)
        break
    found += list(chunks)
    assert [chunk.choices[0].delta.content for chunk in found] == ["0 ", "1 ", "2 "]
    with pytest.raises(StopIteration):
        next(chunks)


def test_connections_are_used_as_the_package_uses_them(mill: tuple[str, type[Mill]]) -> None:
    used = []
    for made in (lambda client: client, tailrace.openai.fast):
        mill[1].connections.clear()
        with openai.OpenAI(api_key="key", base_url=f"{mill[0]}/v1") as client:
            for _ in range(3):
                list(made(client).chat.completions.create(
                    model="chat", messages=ASKED, stream=True
                ))  # fmt: skip
        used.append(len(mill[1].connections))
    assert used[0] == used[1]


async def test_connections_are_used_as_the_package_uses_them_with_asyncio(
    mill: tuple[str, type[Mill]],
) -> None:
    used = []
    for made in (lambda client: client, tailrace.openai.fast):
        mill[1].connections.clear()
        async with openai.AsyncOpenAI(api_key="key", base_url=f"{mill[0]}/v1") as client:
            for _ in range(3):
                chunks = await made(client).chat.completions.create(
                    model="chat", messages=ASKED, stream=True
                )
                assert len([chunk async for chunk in chunks]) == 3
        used.append(len(mill[1].connections))
    assert used[0] == used[1]


def test_errors_are_the_packages_own(chat: openai.OpenAI, messages: anthropic.Anthropic) -> None:
    found: list[Any] = []
    chunks = chat.chat.completions.create(model="failing", messages=ASKED, stream=True)
    with pytest.raises(openai.APIError, match="the wheel broke") as broke:
        found.extend(chunk.choices[0].delta.content for chunk in chunks)
    assert found == ["0 ", "1 ", "2 "]
    assert broke.value.body == {"message": "the wheel broke", "type": "server_error"}
    with pytest.raises(openai.BadRequestError, match="no such wheel"):
        chat.chat.completions.create(model="refused", messages=ASKED, stream=True)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(messages.messages.create(
            model="overloaded", max_tokens=9, messages=ASKED, stream=True
        ))  # fmt: skip


def test_a_refused_request_is_asked_again(chat: openai.OpenAI) -> None:
    chunks = chat.chat.completions.create(model="retried", messages=ASKED, stream=True)
    assert len(list(chunks)) == 3


def test_the_packages_other_ways_to_read_a_stream(
    chat: openai.OpenAI, messages: anthropic.Anthropic
) -> None:
    create = chat.chat.completions.with_raw_response.create
    raw = create(model="chat", messages=ASKED, stream=True)
    assert len(list(raw.parse())) == 3
    assert len(list(create(model="chat", messages=ASKED, stream=True).parse(
        to=openai.Stream[ChatCompletionChunk]
    ))) == 3  # fmt: skip
    with chat.chat.completions.with_streaming_response.create(
        model="chat", messages=ASKED, stream=True
    ) as response:
        assert b"".join(response.iter_bytes()) == CHAT
    with chat.chat.completions.stream(model="chat", messages=ASKED) as events:
        assert events.get_final_completion().choices[0].message.content == "0 1 2 "
    with messages.messages.stream(model="message", max_tokens=9, messages=ASKED) as told:
        assert "".join(told.text_stream) == "High tide"
        assert told.get_final_message().usage.output_tokens == 4


def test_events_of_messages(messages: anthropic.Anthropic) -> None:
    made = messages.messages.create(model="message", max_tokens=9, messages=ASKED, stream=True)
    events = list(made)
    assert [event.type for event in events][:3] == [
        "message_start", "content_block_start", "content_block_delta"
    ]  # fmt: skip
    assert "".join(
        event.delta.text for event in events if event.type == "content_block_delta"
    ) == "High tide"  # fmt: skip
    assert events[-2].usage.output_tokens == 4


# -- what is not as it may seem --------------------------------------------------------------------


def chunk(text: str = "x") -> Any:
    data = CHAT.partition(b"\n\n")[0].replace(b"0 ", text.encode()) + b"\n\n"
    ((made,), _) = read("chat", [data], fast=True)
    return made


def test_an_object_that_was_changed_stays_so() -> None:
    made = chunk()
    made.choices[0].delta.content = "y"
    assert made.choices[0].delta.content == "y"
    assert made.to_dict()["choices"][0]["delta"] == {"content": "y"}
    made.choices.append("more")
    assert made.choices[1] == "more"


def test_the_same_object_is_given_again() -> None:
    made = chunk()
    choices, delta = made.choices, made.choices[0].delta
    assert made.choices is choices
    made.model_dump()
    assert made.choices is choices
    assert made.choices[0].delta is delta
    del made.choices
    assert not hasattr(made, "choices")


def test_a_type_is_the_packages_once_asked() -> None:
    made = chunk()
    assert issubclass(type(made), ChatCompletionChunk)
    assert made.__class__ is ChatCompletionChunk
    assert isinstance(made.choices[0].delta, type(made.choices[0].delta).__mro__[1])
    match made:
        case ChatCompletionChunk(id="1", choices=[one]):
            assert one.index == 0
        case _:
            pytest.fail("it matches its class")
    made.model_fields_set  # noqa: B018 - to ask is all
    assert type(made) is ChatCompletionChunk
    assert type(made.choices[0]) is not None


def test_a_part_that_outlives_its_object_becomes_the_packages_own() -> None:
    delta = chunk().choices[0].delta
    assert delta.model_dump(exclude_unset=True) == {"content": "x"}
    assert pickle.loads(pickle.dumps(chunk().choices))[0].delta.content == "x"  # noqa: S301 - ours


def test_threads_that_fill_one_object() -> None:
    made = chunk()
    together = threading.Barrier(8)
    found: list[Any] = []

    def fill(number: int) -> None:
        together.wait()
        setattr(made, f"of_{number}", number)
        found.append(made.to_dict())

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert {f"of_{number}" for number in range(8)} <= set(made.to_dict())


def test_an_event_above_the_limit() -> None:
    client = OPENAI[0]
    fast = tailrace.openai.fast(client, max_event_bytes=1000)
    http = library(client)
    data = CHAT.replace(b"2 ", b"2" * 2000)
    response = http.Response(200, content=iter([data]), request=http.Request("POST", "http://x/"))
    made = fast_stream(openai.Stream[ChatCompletionChunk])(
        cast_to=ChatCompletionChunk, response=response, client=fast
    )
    found: list[Any] = []
    with pytest.raises(LimitExceeded):
        found.extend(made)
    assert len(found) == 2


@pytest.mark.parametrize("client", [None, ANTHROPIC[0], openai, "client"])
def test_another_client_is_refused(client: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"must be of openai\.OpenAI or openai\.Async"):
        tailrace.openai.fast(client)


def test_a_client_that_reads_streams_its_own_way_is_refused() -> None:
    class Own(openai.OpenAI):
        def _make_sse_decoder(self) -> Any:
            return object()

    with pytest.raises(InvalidRequestError, match="Own reads streams in a way of its own"):
        tailrace.openai.fast(Own(api_key="key"))


def test_a_client_that_cannot_be_copied_is_refused() -> None:
    class Named(openai.OpenAI):
        def __init__(self, name: str) -> None:
            super().__init__(api_key=name)

    with pytest.raises(InvalidRequestError, match=r"Named cannot be copied by with_options.*argu"):
        tailrace.openai.fast(Named("key"))


def test_other_clients_of_a_package_are_read_as_far_as_they_read_events() -> None:
    vertex = anthropic.AnthropicVertex(region="here", project_id="mill", access_token="key")
    assert isinstance(tailrace.anthropic.fast(vertex), anthropic.AnthropicVertex)
    bedrock = anthropic.AnthropicBedrock(
        aws_region="here", aws_access_key="key", aws_secret_key="key"
    )
    with pytest.raises(InvalidRequestError, match="AnthropicBedrock reads streams in a way of its"):
        tailrace.anthropic.fast(bedrock)


def test_a_client_is_left_as_it_was_and_a_fast_one_stays_fast() -> None:
    client = openai.AzureOpenAI(
        api_key="key", azure_endpoint="http://127.0.0.1:9/", api_version="1"
    )
    fast = tailrace.openai.fast(client)
    assert type(client) is openai.AzureOpenAI
    assert isinstance(fast, openai.AzureOpenAI)
    assert type(tailrace.openai.fast(fast)) is type(fast) is type(fast.with_options(timeout=1))
    assert fast._client is client._client


def test_a_strict_client_checks_each_event() -> None:
    client = openai.OpenAI(api_key="key", _strict_response_validation=True)
    fast = tailrace.openai.fast(client)
    http = library(client)
    response = http.Response(
        200, content=iter([b'data: {"id":1}\n\n']), request=http.Request("POST", "http://x/")
    )
    made = fast_stream(openai.Stream[ChatCompletionChunk])(
        cast_to=ChatCompletionChunk, response=response, client=fast
    )
    with pytest.raises(openai.APIResponseValidationError):
        next(made)
