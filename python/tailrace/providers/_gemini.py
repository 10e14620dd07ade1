"""Google's Gemini API, ``streamGenerateContent``.

Source: Google's API reference, "Generating content", "Function calling" and "Models".

What it has another form for is translated. System messages stand in front of the dialogue, wherever
they stood in it, and of a JSON schema only the schema itself is sent, not its name.
"""

from __future__ import annotations

import mimetypes
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from tailrace._json import read_json
from tailrace.errors import InvalidRequestError, ResponseStatusError
from tailrace.providers._api import ApiCall, ApiOptions, ModelsPage, below
from tailrace.providers._chat_form import (
    AudioPart,
    ChatMessage,
    FilePart,
    FunctionCall,
    ImagePart,
    Part,
    TextPart,
    arguments_object,
    check_no_detail,
    parse_chat,
    parse_format,
    parse_tool_choice,
    parse_tools,
    system_texts,
    take_turns,
    text_alone,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tailrace._calls.exchange import Opening
    from tailrace.errors import TailraceError

__all__ = ["GeminiCall", "GeminiOptions"]

_API = "Gemini's API"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiOptions(ApiOptions):
    """The options of servers with Gemini's API.

    `reasoning_effort` is the API's ``thinkingLevel``, and for ``none`` a budget of no tokens; the
    thoughts themselves are sent where `extra` says so: ``{"generationConfig": {"thinkingConfig":
    {"includeThoughts": True}}}``.
    """

    frequency_penalty: float | None = None
    logprobs: bool | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    top_logprobs: int | None = None


class GeminiCall(ApiCall[GeminiOptions]):
    """One streamed content.

    The site's URL is the server's, with its version (``/v1beta``) where it is not that one.
    """

    api = _API
    dialect = "gemini"

    _signs_calls = False

    def endpoint(self, model: str) -> str:
        """Return the URL of the model, which is named as in the list, or by its whole name.

        Raises InvalidRequestError for a name that would lead to another place than its own.
        """
        name = model if "/" in model else f"models/{model}"
        if not _UNEVEN.isdisjoint(name.split("/")):
            raise InvalidRequestError(f"the model {model[:80]!r} is no name of {_API}")
        return below(
            self.request.url, f"{self._version}/{quote(name)}:streamGenerateContent", "alt=sse"
        )

    @property
    def _version(self) -> str:
        path = urlsplit(self.request.url).path.rstrip("/")
        return "" if _VERSIONED.search(path) else "/v1beta"

    def headers(self) -> dict[str, str]:
        """Return the key."""
        key = self.options.api_key
        return {"x-goog-api-key": key} if key else {}

    def body(self, model: str) -> dict[str, Any]:
        """Return the request for one streamed content."""
        del model
        messages = parse_chat(self.request.messages, thinking=("thinking",))
        contents = _contents(messages)
        if self._signs_calls:
            _sign_calls(contents)
        fields = {
            "systemInstruction": _system(messages),
            "generationConfig": _config(self.options),
            **_tools(self.options),
        }
        return {
            "contents": contents,
            **{name: value for name, value in fields.items() if value},
        }

    def models_url(self, cursor: str | None) -> str:
        """Return the URL of the page of models with the token `cursor`."""
        query = {"pageSize": "1000", **({} if cursor is None else {"pageToken": cursor})}
        return below(self.request.url, f"{self._version}/models", urlencode(query))

    def models_page(self, record: Mapping[str, Any]) -> ModelsPage:
        """Read a page of the list of models, of which those count that generate content."""
        names = [
            model["name"].removeprefix("models/")
            for model in record["models"]
            if "generateContent" in model.get("supportedGenerationMethods", ["generateContent"])
        ]
        return ModelsPage(names, record.get("nextPageToken") or None)

    async def remedied(self, opening: Opening, error: TailraceError) -> Opening | None:
        """Ask once more where earlier calls are to be signed; note the wait that an error asks for.

        Models from Gemini 3 on take no call of theirs without the signature of its thoughts, which
        is lost where a dialogue came by another API. Google has a text that stands in for it.
        """
        del opening
        if isinstance(error, ResponseStatusError) and not self._signs_calls:
            self._signs_calls = "missing a thought_signature" in error.raw
            if self._signs_calls:
                return await self.send(self.request.get_model(self.request.model), self.turns)
        if isinstance(error, ResponseStatusError) and error.retry_after is None:
            delay = _RETRY_DELAY.search(error.raw)
            error.retry_after = None if delay is None else float(delay[1])
        return None


_UNEVEN = frozenset({"", ".", ".."})
"""Segments of a path that lead to another one, or that a server may pass over."""

_VERSIONED = re.compile(r"/v[0-9]{1,3}[a-z0-9]{0,16}$")
# google.rpc.RetryInfo, in the details of an error.
_RETRY_DELAY = re.compile(r'"retryDelay"\s{0,9}:\s{0,9}"([0-9]{1,9}(?:\.[0-9]{1,9})?)s"')


# -- messages --------------------------------------------------------------------------------------


def _system(messages: list[ChatMessage]) -> dict[str, Any] | None:
    parts = [{"text": text} for text in system_texts(messages, _API)]
    return {"parts": parts} if parts else None


def _contents(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    return [
        {"role": "model" if is_assistant else "user", "parts": parts}
        for is_assistant, parts in take_turns(messages, _parts)
    ]


def _parts(message: ChatMessage) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"functionResponse": _result(message)}
        return
    for thought in message.thinking:
        signed = {"thought": True, "thoughtSignature": thought.get("signature")}
        yield {"text": thought.get("thinking") or "", **signed}
    parts = [
        _part(message, part)
        for part in message.parts
        if not isinstance(part, TextPart) or part.text
    ]
    signature = _google(message.extra).get("thought_signature")
    if signature is not None:
        # It belongs to the last piece of the text, which may have been an empty one.
        parts = [*parts[:-1], {**(parts or [{"text": ""}])[-1], "thoughtSignature": signature}]
    yield from parts
    for call in message.calls:
        yield _call(message, call)


def _sign_calls(contents: list[dict[str, Any]]) -> None:
    """Give the first call of each turn a signature where it has none."""
    for content in contents:
        for part in [each for each in content["parts"] if "functionCall" in each][:1]:
            part.setdefault("thoughtSignature", _ANY_SIGNATURE)


# Source: "Thought signatures", on calls that another model made.
_ANY_SIGNATURE = b64encode(b"skip_thought_signature_validator").decode()


def _result(message: ChatMessage) -> dict[str, Any]:
    if not message.name:
        raise InvalidRequestError(
            f"{message.place} answers a call that no earlier message made: {_API} wants the "
            "function's name, which the message may give as its name"
        )
    text = text_alone(message, _API)
    try:
        value = read_json(text)
    except ValueError:
        value = None
    response = value if isinstance(value, dict) else {"output": text}
    return {"id": message.call_id, "name": message.name, "response": response}


def _call(message: ChatMessage, call: FunctionCall) -> dict[str, Any]:
    arguments = arguments_object(message.place, call)
    part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    signature = _google(call.extra).get("thought_signature")
    return part if signature is None else {**part, "thoughtSignature": signature}


def _google(extra: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what Google wants back with a call, under OpenAI's ``extra_content``."""
    google = (extra or {}).get("google")
    return google if isinstance(google, dict) else {}


def _part(message: ChatMessage, part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        check_no_detail(message, part, _API)
    match part:
        case TextPart():
            return {"text": part.text}
        case ImagePart(url=str()):
            guessed = mimetypes.guess_type(urlsplit(str(part.url)).path)[0]
            return {"fileData": {"fileUri": part.url, **({"mimeType": guessed} if guessed else {})}}
        case FilePart(file_id=str()):
            return {"fileData": {"fileUri": part.file_id}}
        case AudioPart():
            return {"inlineData": {"mimeType": f"audio/{part.format}", "data": part.data}}
        case ImagePart() | FilePart():
            return {"inlineData": {"mimeType": part.media_type, "data": part.data}}


# -- tools and formats -----------------------------------------------------------------------------


def _tools(options: GeminiOptions) -> dict[str, Any]:
    tools = [] if options.tools is None else parse_tools(options.tools)
    declared = [
        {
            "name": tool.name,
            **({} if tool.description is None else {"description": tool.description}),
            **({} if tool.parameters is None else {"parametersJsonSchema": tool.parameters}),
        }
        for tool in tools
    ]
    is_strict = any(tool.strict for tool in tools)
    return {
        "tools": [{"functionDeclarations": declared}] if declared else None,
        "toolConfig": _tool_config(options.tool_choice, is_strict=is_strict),
    }


def _tool_config(choice: object, *, is_strict: bool) -> dict[str, Any] | None:
    """Return the mode of calling: ``VALIDATED`` is ``AUTO`` with calls that follow the schema."""
    if choice is None and not is_strict:
        return None
    parsed = parse_tool_choice("auto" if choice is None else choice)
    modes = {"none": "NONE", "auto": "VALIDATED" if is_strict else "AUTO"}
    config: dict[str, Any] = {"mode": modes.get(parsed.mode, "ANY")}
    if parsed.mode == "function":
        config["allowedFunctionNames"] = [parsed.name]
    return {"functionCallingConfig": config}


def _config(options: GeminiOptions) -> dict[str, Any]:
    values = {
        "temperature": options.temperature,
        "topP": options.top_p,
        "topK": options.top_k,
        "maxOutputTokens": options.most_tokens,
        "stopSequences": options.stops,
        "seed": options.seed,
        "presencePenalty": options.presence_penalty,
        "frequencyPenalty": options.frequency_penalty,
        "responseLogprobs": options.logprobs,
        "logprobs": options.top_logprobs,
        "thinkingConfig": _thinking(options.reasoning_effort),
        **_format(options.response_format),
    }
    return {name: value for name, value in values.items() if value is not None}


def _thinking(effort: str | None) -> dict[str, Any] | None:
    if effort is None:
        return None
    return {"thinkingBudget": 0} if effort == "none" else {"thinkingLevel": effort}


def _format(response_format: object) -> dict[str, Any]:
    wanted = None if response_format is None else parse_format(response_format)
    if wanted is None:
        return {}
    return {"responseMimeType": "application/json", "responseJsonSchema": wanted.schema}
