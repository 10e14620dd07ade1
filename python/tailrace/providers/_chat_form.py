"""Messages, tools and formats as OpenAI's chat completions have them, read into typed records.

The protocols of other APIs translate these records. Whatever a record has no place for is refused
by name, so that a translation loses nothing that it does not know of. Source: OpenAI's API
reference, "Create chat completion".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from tailrace._json import read_json
from tailrace._messages import SYSTEM_ROLES, browser_text
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

__all__ = [
    "CALL_KEYS",
    "FUNCTION_KEYS",
    "PART_KEYS",
    "TOOL_KEYS",
    "AudioPart",
    "ChatMessage",
    "FilePart",
    "FunctionCall",
    "FunctionTool",
    "ImagePart",
    "JSONFormat",
    "Part",
    "TextPart",
    "ToolChoice",
    "arguments_object",
    "check_no_detail",
    "parse_chat",
    "parse_format",
    "parse_tool_choice",
    "parse_tools",
    "system_texts",
    "take_turns",
    "text_alone",
]

Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part of a message that is text, such as UTF-8 can encode."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image: by its `url`, or by its `media_type` and its bytes as base64, the `data`.

    `detail`: how closely the model is to look, None where the message does not say.
    """

    url: str | None = None
    media_type: str = ""
    data: str = ""
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AudioPart:
    """A recording: its bytes as base64, the `data`, and its `format`, such as ``wav``."""

    data: str
    format: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A document: by the server's own `file_id`, or its `media_type` and `data` as base64."""

    file_id: str | None = None
    media_type: str = ""
    data: str = ""
    filename: str | None = None


Part: TypeAlias = TextPart | ImagePart | AudioPart | FilePart
"""A part of a message's content."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call that an assistant's message makes: its `id`, the function's name, its arguments.

    `arguments`: a JSON text. `extra`: what the server that made the call wants to have back with
    it (``extra_content``), None without.
    """

    id: str
    name: str
    arguments: str
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message, parsed: the `place` it has in errors, its role, its parts.

    `calls`: those that an assistant makes. `call_id`: of a tool's message, the call it answers, and
    `name` the function's, empty where neither the message nor an earlier call names it. `thinking`:
    the blocks of an assistant's signed reasoning, in the form of their API. `extra`: what the
    server that said it wants to have back with the text, None without.
    """

    place: str
    role: Role
    parts: tuple[Part, ...]
    calls: tuple[FunctionCall, ...] = ()
    call_id: str = ""
    name: str = ""
    thinking: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] | None = None

    @property
    def text(self) -> str:
        """The text of all parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that the model may call; `parameters`: the JSON schema of its arguments."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether tools are to be called, and for the mode ``function`` which one."""

    mode: Literal["none", "auto", "required", "function"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class JSONFormat:
    """An answer in JSON; `schema`: the schema it is to follow, None for any object."""

    schema: Mapping[str, Any] | None = None
    name: str = ""
    description: str | None = None
    strict: bool | None = None


# -- messages --------------------------------------------------------------------------------------


def parse_chat(messages: object, *, thinking: Container[str] = ()) -> list[ChatMessage]:
    """Parse a list of messages; `thinking`: the types of reasoning that the API takes back.

    Raises InvalidRequestError, which names the first message that has not OpenAI's form, or that
    holds what only OpenAI's own API has a place for.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise InvalidRequestError(
            f"messages must be a list of messages, not {type(messages).__name__}"
        )
    parsed: list[ChatMessage] = []
    names: dict[str, str] = {}  # of functions, by the ids of their calls
    keys = {**_KEYS, "assistant": _KEYS["assistant"] | {_THINKING}} if thinking else _KEYS
    for position, message in enumerate(messages):
        place = f"message {position}"
        parsed.append(_message(place, _mapping(place, message), names, keys))
        _check_thinking(parsed[-1], thinking)
        names.update({call.id: call.name for call in parsed[-1].calls})
    return parsed


def text_alone(message: ChatMessage, api: str) -> str:
    """Return the text of a message that may hold nothing else for `api`, the API's name."""
    for part in message.parts:
        if not isinstance(part, TextPart):
            kind = _KINDS[type(part)]
            raise InvalidRequestError(
                f"{message.place} of the role {message.role!r} holds {kind}: {api} takes text there"
            )
    return message.text


def system_texts(messages: Iterable[ChatMessage], api: str) -> list[str]:
    """Return the texts of the system messages that have one; errors are those of `text_alone`."""
    texts = (text_alone(each, api) for each in messages if each.role in SYSTEM_ROLES)
    return [text for text in texts if text]


def take_turns(
    messages: Iterable[ChatMessage],
    translate: Callable[[ChatMessage], Iterable[dict[str, Any]]],
) -> list[tuple[bool, list[dict[str, Any]]]]:
    """Return the dialogue as APIs want it in which the two sides take turns.

    `translate` returns a message's parts in the API's own form. A turn is whether the assistant
    speaks, and the parts of all its messages; tools speak for the user, system messages are left
    out, and so are messages without a part.
    """
    turns: list[tuple[bool, list[dict[str, Any]]]] = []
    for message in messages:
        parts = [] if message.role in SYSTEM_ROLES else list(translate(message))
        is_assistant = message.role == "assistant"
        if parts and turns and turns[-1][0] == is_assistant:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((is_assistant, parts))
    return turns


def check_no_detail(message: ChatMessage, image: ImagePart, api: str) -> None:
    """Raise InvalidRequestError where an image says how closely to look, which `api` has not."""
    if image.detail not in (None, "auto"):
        raise InvalidRequestError(f"{message.place}: {api} has no detail of images")


_KINDS: Mapping[type, str] = {
    TextPart: "text",
    ImagePart: "an image",
    AudioPart: "audio",
    FilePart: "a file",
}


def _message(
    place: str,
    message: Mapping[str, Any],
    names: Mapping[str, str],
    keys: Mapping[Role, frozenset[str]],
) -> ChatMessage:
    role = _role(place, message)
    _refuse_others(place, message, keys[role])
    parts = tuple(_parts(place, message.get("content")))
    if message.get("refusal"):
        parts = (*parts, TextPart(_text(f"the refusal of {place}", message["refusal"])))
    calls = tuple(_calls(place, message.get("tool_calls")))
    if message.get("content") is None and not parts and not calls:
        raise InvalidRequestError(f"{place} has no content")
    if role != "tool":
        thinking = tuple(_thinking(place, message.get(_THINKING)))
        extra = _extra(f"the extra_content of {place}", message)
        return ChatMessage(place, role, parts, calls, thinking=thinking, extra=extra)
    call_id = _text(f"the tool_call_id of {place}", message.get("tool_call_id"))
    name = message.get("name") or names.get(call_id, "")
    return ChatMessage(place, role, parts, (), call_id, _text(f"the name of {place}", name))


def _role(place: str, message: Mapping[str, Any]) -> Role:
    role = message.get("role")
    role = role.strip().lower() if isinstance(role, str) else role
    if role == "function":
        raise InvalidRequestError(
            f"{place} has the role 'function', OpenAI's former form: a result has the role 'tool'"
        )
    for known in get_args(Role):
        if role == known:
            return known  # type: ignore[no-any-return]
    raise InvalidRequestError(
        f"{place} has no role that is known: expected one of {', '.join(get_args(Role))}"
    )


_COMMON = frozenset({"role", "content"})
_KEYS: Mapping[Role, frozenset[str]] = {
    "system": _COMMON,
    "developer": _COMMON,
    "user": _COMMON,
    "assistant": _COMMON | {"refusal", "tool_calls", "extra_content"},
    "tool": _COMMON | {"tool_call_id", "name"},
}
"""The keys of a message that a translation carries over, by its role."""

_THINKING = "thinking_blocks"
"""The key of an assistant's signed reasoning, which some APIs take back."""


def _refuse_others(place: str, record: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise InvalidRequestError for a key with a value that no translation has a place for."""
    for key, value in record.items():
        if key not in known and value not in (None, "", [], {}, ()) and value is not False:
            raise InvalidRequestError(
                f"{place} holds {str(key)[:80]!r}, which has no place in the API of this site"
            )


def _thinking(place: str, blocks: object) -> Iterable[Mapping[str, Any]]:
    for number, block in enumerate(_list(f"the {_THINKING} of {place}", blocks)):
        where = f"thinking block {number} of {place}"
        yield _mapping(where, block)


def _check_thinking(message: ChatMessage, known: Container[str]) -> None:
    """Raise InvalidRequestError for reasoning that another API has signed."""
    for number, block in enumerate(message.thinking):
        kind = block.get("type")
        if not isinstance(kind, str) or kind not in known:
            raise InvalidRequestError(
                f"thinking block {number} of {message.place} is of the type {str(kind)[:80]!r}, "
                "which the API of this site does not take back"
            )


def _calls(place: str, calls: object) -> Iterable[FunctionCall]:
    for number, call in enumerate(_list(f"the tool_calls of {place}", calls)):
        where = f"tool call {number} of {place}"
        record = _mapping(where, call)
        if record.get("type", "function") != "function":
            raise InvalidRequestError(f"{where} is no call of a function, and cannot be sent")
        _refuse_others(where, record, CALL_KEYS)
        function = _mapping(where, record.get("function"))
        arguments = function.get("arguments")
        yield FunctionCall(
            _text(f"the id of {where}", record.get("id")),
            _text(f"the name of {where}", function.get("name")),
            "" if arguments is None else _text(f"the arguments of {where}", arguments),
            _extra(f"the extra_content of {where}", record),
        )


def _extra(name: str, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    extra = record.get("extra_content")
    return _mapping(name, extra) if extra else None


CALL_KEYS = frozenset({"id", "type", "function", "index", "extra_content"})
"""The keys of a tool call that a translation carries over."""


def arguments_object(place: str, call: FunctionCall) -> dict[str, Any]:
    """Return the arguments of a call as an object, as APIs want them that take no JSON text.

    Raises InvalidRequestError, which names `place`, for any other text; no text is no arguments.
    """
    try:
        value = read_json(call.arguments or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidRequestError(
            f"{place}: the arguments of the call of {call.name!r} are no JSON object"
        )
    return value


# -- parts of a content ----------------------------------------------------------------------------


def _parts(place: str, content: object) -> Iterable[Part]:
    if content is None:
        return
    if isinstance(content, str):
        yield TextPart(browser_text(content))
        return
    parts = [content] if isinstance(content, Mapping) else _list(f"the content of {place}", content)
    for number, part in enumerate(parts):
        where = f"part {number} of {place}"
        if isinstance(part, str):
            yield TextPart(browser_text(part))
        else:
            yield _part(where, _mapping(where, part))


def _part(place: str, part: Mapping[str, Any]) -> Part:
    kind = part.get("type", "text")
    if not isinstance(kind, str) or kind not in _PARTS:
        raise InvalidRequestError(
            f"{place} is of the type {str(kind)[:80]!r}: expected one of {', '.join(_PARTS)}"
        )
    key, read = _PARTS[kind]
    _refuse_others(place, part, PART_KEYS[kind])
    return read(place, part.get(key), part)


def _text_part(place: str, value: object, part: Mapping[str, Any]) -> Part:
    del part
    return TextPart(_text(f"the text of {place}", value))


def _image_part(place: str, value: object, part: Mapping[str, Any]) -> Part:
    record = {"url": value, "detail": part.get("detail")} if isinstance(value, str) else value
    image = _mapping(f"the image of {place}", record)
    _refuse_others(f"the image of {place}", image, frozenset({"url", "detail"}))
    url = _text(f"the URL of {place}", image.get("url"))
    detail = image.get("detail")
    if not url.startswith("data:"):
        return ImagePart(url, detail=detail)
    media_type, data = _data_url(place, url)
    return ImagePart(None, media_type, data, detail)


def _audio_part(place: str, value: object, part: Mapping[str, Any]) -> Part:
    del part
    audio = _mapping(f"the audio of {place}", value)
    _refuse_others(f"the audio of {place}", audio, frozenset({"data", "format"}))
    return AudioPart(
        _text(f"the data of {place}", audio.get("data")),
        _text(f"the format of {place}", audio.get("format")),
    )


def _file_part(place: str, value: object, part: Mapping[str, Any]) -> Part:
    del part
    file = _mapping(f"the file of {place}", value)
    _refuse_others(f"the file of {place}", file, frozenset({"file_id", "file_data", "filename"}))
    filename = file.get("filename")
    if file.get("file_id"):
        return FilePart(_text(f"the file_id of {place}", file["file_id"]), filename=filename)
    media_type, data = _data_url(place, _text(f"the data of {place}", file.get("file_data")))
    return FilePart(None, media_type, data, filename)


_PARTS: Mapping[str, tuple[str, Callable[[str, object, Mapping[str, Any]], Part]]] = {
    "text": ("text", _text_part),
    "input_text": ("text", _text_part),
    "output_text": ("text", _text_part),
    "refusal": ("refusal", _text_part),
    "image_url": ("image_url", _image_part),
    "input_image": ("image_url", _image_part),
    "input_audio": ("input_audio", _audio_part),
    "file": ("file", _file_part),
}
"""The types of parts: the key that holds the part, and the function that reads it."""

_BESIDE: Mapping[str, tuple[str, ...]] = {"input_image": ("detail",), "image_url": ("detail",)}
"""Keys that may stand beside the one of `_PARTS`."""

PART_KEYS: Mapping[str, frozenset[str]] = {
    kind: frozenset({"type", key, *_BESIDE.get(kind, ())}) for kind, (key, _) in _PARTS.items()
}
"""The keys of a part that a translation carries over, by its type."""


def _data_url(place: str, url: str) -> tuple[str, str]:
    """Return the media type and the base64 of a data URL (RFC 2397)."""
    found = _DATA_URL.match(url)
    if found is None:
        raise InvalidRequestError(
            f"{place} is no data URL with base64: data:image/png;base64,… is expected"
        )
    return found[1].lower(), url[found.end() :]


_DATA_URL = re.compile(
    r"data:([\w.+-]{1,64}/[\w.+-]{1,128})(?:;[\w=.+-]{1,64}){0,4};base64,", re.IGNORECASE
)


# -- tools and formats -----------------------------------------------------------------------------


def parse_tools(tools: object) -> list[FunctionTool]:
    """Parse the tools of a request; InvalidRequestError for any that is no function."""
    return [
        _tool(f"tool {number}", _mapping(f"tool {number}", tool))
        for number, tool in enumerate(_list("tools", tools))
    ]


def _tool(place: str, tool: Mapping[str, Any]) -> FunctionTool:
    if tool.get("type", "function") != "function":
        raise InvalidRequestError(
            f"{place} is of the type {str(tool['type'])[:80]!r}: the API of this site takes "
            "functions alone"
        )
    _refuse_others(place, tool, TOOL_KEYS)
    function = _mapping(f"the function of {place}", tool.get("function"))
    _refuse_others(place, function, FUNCTION_KEYS)
    parameters = function.get("parameters")
    return FunctionTool(
        _text(f"the name of {place}", function.get("name")),
        function.get("description"),
        None if parameters is None else _mapping(f"the parameters of {place}", parameters),
        function.get("strict"),
    )


TOOL_KEYS = frozenset({"type", "function"})
FUNCTION_KEYS = frozenset({"name", "description", "parameters", "strict"})
"""The keys of a tool, and of its function, that a translation carries over."""


def parse_tool_choice(choice: object) -> ToolChoice:
    """Parse a request's choice of tools; InvalidRequestError for one that OpenAI has not."""
    if choice in ("none", "auto", "required"):
        return ToolChoice(choice)
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        function = _mapping("tool_choice", choice.get("function"))
        return ToolChoice("function", _text("the name in tool_choice", function.get("name")))
    raise InvalidRequestError(
        "tool_choice must be 'none', 'auto', 'required' or "
        "{'type': 'function', 'function': {'name': …}}"
    )


def parse_format(response_format: object) -> JSONFormat | None:
    """Parse a request's format of the answer; None is text.

    Raises InvalidRequestError for one that OpenAI has not.
    """
    record = _mapping("response_format", response_format)
    match record.get("type"):
        case "text":
            return None
        case "json_object":
            return JSONFormat()
        case "json_schema":
            schema = _mapping("response_format.json_schema", record.get("json_schema"))
            return JSONFormat(
                _mapping("response_format.json_schema.schema", schema.get("schema")),
                _text("response_format.json_schema.name", schema.get("name")),
                schema.get("description"),
                schema.get("strict"),
            )
    raise InvalidRequestError(
        "response_format must have the type 'text', 'json_object' or 'json_schema'"
    )


# -- values ----------------------------------------------------------------------------------------


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be text, not {type(value).__name__}")
    return browser_text(value)


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidRequestError(
            f"{name} must be a mapping of names to values, not {type(value).__name__}"
        )
    return value


def _list(name: str, value: object) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise InvalidRequestError(f"{name} must be a list, not {type(value).__name__}")
    return value
