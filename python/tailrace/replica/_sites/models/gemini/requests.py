"""Requests for contents, read as Gemini's server reads them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tailrace.replica._answers import HistoryTurn
from tailrace.replica._site import well_formed
from tailrace.replica._sites.models.gemini.errors import error, refused
from tailrace.replica._sites.models.gemini.messages import GENERATE, read_message
from tailrace.replica._sites.models.requests import (
    ANY_OBJECT,
    Attachment,
    ModelRequest,
    OfferedTool,
    ToolChoice,
    ToolResult,
    about_bytes,
)
from tailrace.replica._sites.models.site import RequestRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GENERATING_MODELS = ("gemini-2.5-flash", "gemini-3-pro-preview")
EMBEDDING_MODELS = ("gemini-embedding-001",)
MODELS = (*GENERATING_MODELS, *EMBEDDING_MODELS)
MAX_STOPS = 5
MAX_LOGPROBS = 20
SKIPPED_SIGNATURES = (b"skip_thought_signature_validator", b"context_engineering_is_the_way_to_go")
"""What stands for the signature of a call that another model made."""

_TYPES = re.compile(
    r"image/(?:png|jpeg|webp|heic|heif)|application/pdf|(?:text|audio|video)/[a-z0-9.+-]{1,128}"
)


@dataclass(frozen=True, slots=True)
class ContentRequest:
    """A request for contents.

    `shows_thoughts`: whether thoughts come back in words, or are counted alone; `logprobs`: as in
    `ChatRequest`.
    """

    meant: ModelRequest
    shows_thoughts: bool
    logprobs: int | None


def read_request(body: object, model: str, *, streams: bool) -> ContentRequest:
    """Read the request for contents of `model`."""
    request = read_message(body, GENERATE)
    contents = request.get("contents") or []
    if not contents:
        raise refused("* GenerateContentRequest.contents: contents is not specified\n")
    turns = [_Turn.read(each, number) for number, each in enumerate(contents)]
    _check_calls(turns)
    is_newer = model.startswith("gemini-3")
    if is_newer:
        _check_signatures(turns, contents)
    if request.get("cachedContent"):
        raise RequestRefusedError(error(403, "CachedContent not found (or permission denied)"))
    tools = tuple(_read_tools(request.get("tools") or []))
    config = request.get("generationConfig", {})
    _check_config(config, has_tools=bool(tools), is_newer=is_newer)
    thinking = config.get("thinkingConfig", {})
    system = _text_of(request.get("systemInstruction", {}).get("parts") or [])
    meant = ModelRequest(
        model=model,
        turns=(
            *([HistoryTurn("system", system)] if system else ()),
            *(HistoryTurn(turn.role, turn.text) for turn in turns),
        ),
        question=turns[-1].question,
        results=turns[-1].results,
        attachments=tuple(each for turn in turns for each in turn.attachments),
        tools=tools,
        choice=_read_choice(request.get("toolConfig", {}), tools),
        called=frozenset(_called(turns)),
        schema=_read_form(config),
        streams=streams,
        limit=config.get("maxOutputTokens"),
        stops=tuple(config.get("stopSequences") or ()),
        thinks=_thinks(thinking),
    )
    logprobs = (config.get("logprobs") or 0) if config.get("responseLogprobs") else None
    return ContentRequest(meant, bool(thinking.get("includeThoughts")), logprobs)


def known_model(name: str, models: Sequence[str], purpose: str) -> str:
    """Return the model `name`, which must be one of `models`; `purpose`: what it is asked for."""
    if name not in models:
        raise RequestRefusedError(
            error(
                404,
                f"models/{name} is not found for API version v1beta, or is not supported for "
                f"{purpose}. Call ListModels to see the list of available models and their "
                "supported methods.",
            )
        )
    return name


# -- turns -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """A content; `calls`: the names of the functions it calls; `question`: its text alone."""

    role: Literal["user", "assistant"]
    question: str
    attachments: tuple[Attachment, ...]
    calls: tuple[str, ...]
    results: tuple[ToolResult, ...]

    @property
    def text(self) -> str:
        """All that it says: text, and the results of functions."""
        return "\n".join(filter(None, (*(result.text for result in self.results), self.question)))

    @classmethod
    def read(cls, content: Mapping[str, Any], number: int) -> _Turn:
        role = content.get("role", "user")
        if role not in ("user", "model", "function"):
            raise refused("Please use a valid role: user, model.")
        parts, place = content.get("parts") or [], f"contents[{number}].parts"
        if not parts:
            raise refused(f"* GenerateContentRequest.{place}: contents.parts must not be empty.\n")
        for at, part in enumerate(parts):
            _check_part(part, f"GenerateContentRequest.{place}[{at}]")
        return cls(
            "assistant" if role == "model" else "user",
            _text_of(parts),
            tuple(_attachments(parts)),
            tuple(part["functionCall"]["name"] for part in parts if "functionCall" in part),
            tuple(_results(parts)),
        )


_DATA = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
)


def _check_part(part: Mapping[str, Any], place: str) -> None:
    held = [name for name in _DATA if name in part]
    if not held:
        raise refused(
            f"* {place}.data: required oneof field 'data' must have one initialized field\n"
        )
    if len(held) > 1:
        raise refused(f"Invalid value at '{place}' (oneof), oneof field 'data' is already set.")
    for kind in ("functionCall", "functionResponse"):
        if kind in part and not part[kind].get("name"):
            snake = re.sub(r"(?=[A-Z])", "_", kind).lower()
            raise refused(f"* {place}.{snake}.name: Name cannot be empty.\n")
    blob = part.get("inlineData", part.get("fileData", {}))
    if "inlineData" in part and not (blob.get("mimeType") and blob.get("data")):
        raise refused(f"* {place}.inline_data: mimeType and data are required.\n")
    if "fileData" in part and not blob.get("fileUri"):
        raise refused(f"* {place}.file_data.file_uri: fileUri is required.\n")
    type_ = blob.get("mimeType")
    if type_ and not _TYPES.fullmatch(type_.lower()):
        raise refused(f"Unsupported MIME type: {type_}")


def _text_of(parts: Sequence[Mapping[str, Any]]) -> str:
    said = (part["text"] for part in parts if "text" in part and not part.get("thought"))
    return well_formed("".join(said))


def _attachments(parts: Sequence[Mapping[str, Any]]) -> Iterator[Attachment]:
    for part in parts:
        if "functionResponse" in part:
            yield from _attachments(part["functionResponse"].get("parts") or [])
        if "inlineData" in part:
            blob = part["inlineData"]
            yield Attachment(_kind(blob["mimeType"]), about_bytes(blob["mimeType"], blob["data"]))
        if "fileData" in part:
            file = part["fileData"]
            yield Attachment(_kind(file.get("mimeType", "")), file["fileUri"])


def _kind(type_: str) -> Literal["image", "file", "sound"]:
    return "image" if type_.startswith("image/") else "sound" if type_[:6] == "audio/" else "file"


def _results(parts: Sequence[Mapping[str, Any]]) -> Iterator[ToolResult]:
    for part in parts:
        if "functionResponse" in part:
            result = part["functionResponse"]
            text = json.dumps(result.get("response") or {}, ensure_ascii=False)
            yield ToolResult(result["name"], well_formed(text))


def _check_calls(turns: Sequence[_Turn]) -> None:
    """Refuse calls and results that do not stand behind one another."""
    for number, turn in enumerate(turns):
        before = turns[number - 1] if number else None
        if turn.calls and (before is None or before.role != "user"):
            raise refused(
                "Please ensure that function call turn comes immediately after a user turn or "
                "after a function response turn."
            )
        called = before.calls if before is not None else ()
        if turn.results and not called:
            raise refused(
                "Please ensure that function response turn comes immediately after a function "
                "call turn."
            )
        if called and len(called) != len(turn.results):
            raise refused(
                "Please ensure that the number of function response parts is equal to the number "
                "of function call parts of the function call turn."
            )
    if turns[-1].calls:
        raise refused(
            "Please ensure that single turn requests end with a user role or the role field is "
            "empty."
        )


def _check_signatures(turns: Sequence[_Turn], contents: Sequence[Mapping[str, Any]]) -> None:
    """Refuse calls since the last question whose first part has no signature of thoughts."""
    for number in range(_last_question(turns), len(turns)):
        parts = [part for part in contents[number].get("parts", ()) if "functionCall" in part]
        signature = parts[0].get("thoughtSignature") if parts else signature_of(number)
        if not (signature in SKIPPED_SIGNATURES or (signature or b"").startswith(_SIGNED)):
            raise refused(
                "Function call is missing a thought_signature in functionCall parts. This is "
                "required for tools to work correctly. Additional data, function call "
                f"`default_api:{parts[0]['functionCall']['name']}`, position {number + 1}."
            )


_SIGNED = b"replica "


def signature_of(seed: object) -> bytes:
    """Return the signature of thoughts by which the server knows its own calls again."""
    return _SIGNED + str(seed).encode("utf-8", "replace")


def _last_question(turns: Sequence[_Turn]) -> int:
    asked = [at for at, turn in enumerate(turns) if turn.role == "user" and not turn.results]
    return asked[-1] if asked else 0


def _called(turns: Sequence[_Turn]) -> Iterator[str]:
    for turn in turns[_last_question(turns) :]:
        yield from turn.calls


# -- tools -----------------------------------------------------------------------------------------

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}\Z")


def _read_tools(tools: Sequence[Mapping[str, Any]]) -> Iterator[OfferedTool]:
    seen: set[str] = set()
    for number, tool in enumerate(tools):
        for at, declared in enumerate(tool.get("functionDeclarations") or []):
            place = f"tools[{number}].function_declarations[{at}]"
            name = declared.get("name", "")
            if not _NAME.match(name):
                raise refused(
                    f"* GenerateContentRequest.{place}.name: Invalid function name. Must start "
                    "with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), "
                    "underscores (_), dots (.), colons (:) or dashes (-), with a maximum length of "
                    "64.\n"
                )
            if name in seen:
                raise refused(f"Duplicate function declaration found: {name}")
            if "parameters" in declared and "parametersJsonSchema" in declared:
                raise refused(
                    f"{place}: parameters and parameters_json_schema must not both be set."
                )
            seen.add(name)
            schema = declared.get("parameters", declared.get("parametersJsonSchema"))
            yield OfferedTool(name, schema or {"type": "object"})


def _read_choice(config: Mapping[str, Any], tools: Sequence[OfferedTool]) -> ToolChoice:
    calling = config.get("functionCallingConfig") or {}
    mode = str(calling.get("mode", "AUTO")).upper()
    names = calling.get("allowedFunctionNames") or []
    if mode not in ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"):
        raise refused(
            "Invalid value at 'tool_config.function_calling_config.mode' "
            f'(type.googleapis.com/google.ai.generativelanguage.v1beta.Mode), "{mode}"'
        )
    if names and mode not in ("ANY", "VALIDATED"):
        raise refused(
            "Function calling mode must be ANY or VALIDATED where allowed_function_names are set."
        )
    if mode in ("ANY", "VALIDATED") and not tools:
        raise refused("Function calling config is set without function_declarations.")
    offered = {tool.name for tool in tools}
    for name in names:
        if name not in offered:
            raise refused(f"allowed_function_names has {name!r}, which is not declared.")
    chosen = tuple(names) or None
    if mode == "NONE":
        return ToolChoice("none")
    return ToolChoice("required" if mode == "ANY" else "auto", chosen)


# -- the configuration -----------------------------------------------------------------------------

_LEVELS = ("minimal", "low", "medium", "high")


def _check_config(config: Mapping[str, Any], *, has_tools: bool, is_newer: bool) -> None:
    if config.get("candidateCount", 1) != 1:
        raise refused("Multiple candidates is not enabled for this model")
    for name, least, most in (("temperature", 0, 2), ("topP", 0, 1), ("maxOutputTokens", 1, 65536)):
        value = config.get(name, least)
        if not least <= value <= most:
            raise refused(
                f"* GenerateContentRequest.generation_config.{name}: must be in the "
                f"range [{least}, {most}]\n"
            )
    if len(config.get("stopSequences") or ()) > MAX_STOPS:
        raise refused("* GenerateContentRequest.generation_config.stop_sequences: at most 5\n")
    if config.get("logprobs") is not None and not config.get("responseLogprobs"):
        raise refused("logprobs is set, and response_logprobs is not.")
    if not 0 <= (config.get("logprobs") or 0) <= MAX_LOGPROBS:
        raise refused("logprobs must be in the range [0, 20]")
    type_ = config.get("responseMimeType", "text/plain")
    if type_ not in ("text/plain", "application/json"):
        raise refused(
            "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are "
            "`text/plain` and `application/json`.\n"
        )
    if has_tools and type_ == "application/json" and not is_newer:
        raise refused(
            "Function calling with a response mime type: 'application/json' is unsupported"
        )
    _check_thinking(config.get("thinkingConfig", {}), is_newer=is_newer)


def _check_thinking(thinking: Mapping[str, Any], *, is_newer: bool) -> None:
    level = thinking.get("thinkingLevel")
    if level is None:
        return
    if "thinkingBudget" in thinking:
        raise refused("You can only set only one of thinking budget and thinking level.")
    if not is_newer:
        raise refused("Thinking level is not supported for this model.")
    if level.lower() not in _LEVELS:
        raise refused(
            "Invalid value at 'generation_config.thinking_config.thinking_level' "
            f'(type.googleapis.com/google.ai.generativelanguage.v1beta.ThinkingLevel), "{level}"'
        )


def _thinks(thinking: Mapping[str, Any]) -> bool | None:
    if thinking.get("thinkingBudget") == 0:
        return False
    return True if thinking.get("includeThoughts") else None


def _read_form(config: Mapping[str, Any]) -> object:
    schema = config.get("responseSchema", config.get("responseJsonSchema"))
    if "responseSchema" in config and "responseJsonSchema" in config:
        raise refused("response_schema and response_json_schema must not both be set.")
    type_ = config.get("responseMimeType", "text/plain")
    if schema is not None and type_ == "text/plain":
        raise refused(
            "* GenerateContentRequest.generation_config.response_mime_type: response_schema only "
            "allowed with response mime type `application/json`.\n"
        )
    if type_ == "text/plain":
        return None
    return ANY_OBJECT if schema is None else schema
