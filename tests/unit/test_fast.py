"""Objects of a package's classes that are read from JSON: what the core reads of them, at every
cut, and that they become the package's own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from vector_files import cuts, told

import tailrace
from tailrace import InvalidRequestError, LimitExceeded
from tailrace._fast.shapes import variants_of
from tailrace._native import _kept, _ObjectReader

openai = pytest.importorskip("openai")

from openai.types import Completion  # noqa: E402
from openai.types.chat import ChatCompletionChunk  # noqa: E402
from openai.types.responses import ResponseStreamEvent  # noqa: E402

CHUNK: dict[str, Any] = {
    "id": "1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "mill",
    "choices": [
        {"index": 0, "delta": {"content": "h\u00e9 \U0001f30a", "thought": "so"}},
        {"index": 1, "delta": {"role": "assistant"}, "finish_reason": "stop"},
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def events(*data: Any, name: str | None = None) -> bytes:
    named = f"event: {name}\n" if name else ""
    return "".join(f"{named}data: {json.dumps(each)}\n\n" for each in data).encode()


def reader(kind: Any = ChatCompletionChunk, **options: Any) -> _ObjectReader:
    variants = variants_of(kind)
    assert variants is not None
    settings = {"named": False, "max_event_bytes": 10_000, **options}
    return _ObjectReader(variants, kind_maker(kind), **settings)


def kind_maker(kind: Any) -> Any:
    client = openai.OpenAI(api_key="key")
    return lambda text: client._process_response_data(
        data=json.loads(text), cast_to=kind, response=None
    )


def read(data: list[bytes], **options: Any) -> list[Any]:
    """The objects, and the other events, one after the other."""
    made = reader(**options)
    found: list[Any] = []
    for chunk in data:
        for entry in made.feed(chunk):
            found.extend(entry if isinstance(entry, list) else [entry])
    made.close()
    return found


def seen(item: Any) -> Any:
    if isinstance(item, tuple):
        return item
    fields = [item.id, item.usage.total_tokens, type(item).__name__]
    return [
        *fields,
        *([choice.index, choice.delta.content, choice.delta.role] for choice in item.choices),
    ]


def test_a_cut_changes_nothing() -> None:
    data = b": hello\r\n\r\n" + events(CHUNK) + events({"error": {"message": "no"}}) + events(CHUNK)
    expected = [seen(item) for item in read([data])]
    assert expected[0][:4] == ["1", 5, "ChatCompletionChunk", [0, "h\u00e9 \U0001f30a", None]]
    assert expected[1] == (None, '{"error": {"message": "no"}}', "", None)
    for chunks in cuts(data):
        assert [seen(item) for item in read(chunks)] == expected, told(chunks)


def test_what_is_read_makes_nothing_whole() -> None:
    (item,) = read([events(CHUNK)])
    delta = item.choices[0].delta
    assert (delta.content, delta.role, delta.thought) == ("h\u00e9 \U0001f30a", None, "so")
    assert not hasattr(delta, "reasoning_content")
    assert item.service_tier is None
    assert item.usage.prompt_tokens_details is None
    assert None not in (_kept(item), _kept(delta), _kept(item.choices[1]), _kept(item.usage))


@pytest.mark.parametrize("touch", ["model_dump", "__repr__", "__eq__", "model_fields_set"])
def test_a_touch_makes_it_the_packages_own(touch: str) -> None:
    (item,) = read([events(CHUNK)])
    delta = item.choices[0].delta
    getattr(item, touch)
    if touch != "model_fields_set":
        assert item == kind_maker(ChatCompletionChunk)(json.dumps(CHUNK))
    assert type(item) is ChatCompletionChunk
    assert item.choices[0].delta is delta
    assert (_kept(item), _kept(delta)) == (None, None)


@pytest.mark.parametrize(
    "value",
    [
        "1",
        1,
        1.5,
        2**70,
        True,
        None,
        [],
        {},
        [None],
        [1],
        [[]],
        [{"index": "0"}],
        {"a": 1},
        "\ud83c",
    ],
)
@pytest.mark.parametrize("field", list(CHUNK))
def test_any_value_is_what_the_package_makes_of_it(field: str, value: Any) -> None:
    data = CHUNK | {field: value}
    (item,) = read([events(data)])
    real = kind_maker(ChatCompletionChunk)(json.dumps(data))
    assert type(getattr(item, field)) is not tuple
    assert repr(getattr(item, field)) == repr(getattr(real, field))
    assert repr(item) == repr(real)


@pytest.mark.parametrize(
    "data",
    [
        b"data: [DONE]\n\n",
        b"data: [1]\n\n",
        b"data: {]\n\n",
        b'data: {"a": "\t"}\n\n',
        b'data: {"_fields_set": 1}\n\n',
        b'data: {"error": "no"}\n\n',
        b"event: thread.message\ndata: {}\n\n",
    ],
)
def test_what_the_stream_must_look_at_itself(data: bytes) -> None:
    (item, *_) = read([events(CHUNK) + data])[1:]
    assert isinstance(item, tuple)


def test_nothing_is_read_behind_the_end() -> None:
    assert len(read([b"data: [DONE]\n\n" + events(CHUNK), events(CHUNK)])) == 1


def test_a_type_decides_the_class() -> None:
    data = {"type": "response.output_text.delta", "delta": "a", "sequence_number": 4}
    item, other = read([events(data, {"type": "response.not_known"})], kind=ResponseStreamEvent)
    assert (item.delta, item.sequence_number, item.item_id) == ("a", 4, None)
    assert type(item).__name__ == "ResponseTextDeltaEvent"
    assert isinstance(other, tuple)


def test_an_event_without_its_name_is_none_where_names_count() -> None:
    data = {"type": "response.output_text.delta", "delta": "a"}
    options: dict[str, Any] = {"kind": ResponseStreamEvent, "named": True}
    (other,) = read([events(data)], **options)
    assert isinstance(other, tuple)
    (item,) = read([events(data, name=data["type"])], **options)
    assert item.delta == "a"


def test_an_event_above_the_limit_is_an_error_after_those_before() -> None:
    made = reader(Completion)
    assert len(made.feed(events({"id": "1"}) + b"data: " + b"x" * 20_000)) == 1
    for again in (lambda: made.feed(b"x"), made.close):
        with pytest.raises(LimitExceeded, match="10000"):
            again()


def test_what_is_no_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequestError, match="must be of openai"):
        tailrace.openai.fast(object())
    monkeypatch.delitem(sys.modules, "openai")
    with pytest.raises(InvalidRequestError, match="must be of openai"):
        tailrace.openai.fast(object())


def test_streams_of_another_make_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    client = openai.OpenAI(api_key="key")
    monkeypatch.setattr(sys.modules["openai._streaming"].Stream, "__stream__", lambda _: iter(()))
    with pytest.raises(tailrace.MissingRequirementsError, match=r"openai [\d.]+ makes its streams"):
        tailrace.openai.fast(client)
