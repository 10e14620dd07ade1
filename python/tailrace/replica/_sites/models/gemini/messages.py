"""The messages of Gemini's requests, as tables, and the reader of their JSON.

The reader takes names in camelCase and in snake_case, as protocol buffers' JSON does, refuses names
that a message has not, and returns camelCase.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from tailrace.replica._sites.models.gemini.errors import refused_field

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = "str | list[Kind] | dict[str, Kind]"
"""The kind of a field: a scalar's name, a list of one kind, or a message.

``any`` is every JSON value, ``object`` every object, ``map:schema`` an object of schemas.
"""

SCHEMA: dict[str, Kind] = {
    "type": "text",
    "format": "text",
    "title": "text",
    "description": "text",
    "nullable": "bool",
    "enum": ["text"],
    "maxItems": "int",
    "minItems": "int",
    "required": ["text"],
    "minProperties": "int",
    "maxProperties": "int",
    "minLength": "int",
    "maxLength": "int",
    "pattern": "text",
    "example": "any",
    "default": "any",
    "propertyOrdering": ["text"],
    "minimum": "number",
    "maximum": "number",
    "properties": "map:schema",
    "items": "schema",
    "anyOf": ["schema"],
}
BLOB: dict[str, Kind] = {"mimeType": "text", "data": "bytes", "displayName": "text"}
FILE: dict[str, Kind] = {"mimeType": "text", "fileUri": "text", "displayName": "text"}
PART: dict[str, Kind] = {
    "text": "text",
    "inlineData": BLOB,
    "fileData": FILE,
    "functionCall": {"id": "text", "name": "text", "args": "object"},
    "functionResponse": {
        "id": "text",
        "name": "text",
        "response": "object",
        "parts": [{"inlineData": BLOB, "fileData": FILE}],
        "willContinue": "bool",
        "scheduling": "text",
    },
    "executableCode": {"language": "text", "code": "text"},
    "codeExecutionResult": {"outcome": "text", "output": "text"},
    "thought": "bool",
    "thoughtSignature": "bytes",
    "videoMetadata": "object",
    "mediaResolution": "object",
    "partMetadata": "object",
}
CONTENT: dict[str, Kind] = {"role": "text", "parts": [PART]}
TOOL: dict[str, Kind] = {
    "functionDeclarations": [
        {
            "name": "text",
            "description": "text",
            "behavior": "text",
            "parameters": "schema",
            "parametersJsonSchema": "any",
            "response": "schema",
            "responseJsonSchema": "any",
        }
    ],
    "googleSearch": "object",
    "googleSearchRetrieval": "object",
    "codeExecution": "object",
    "urlContext": "object",
    "googleMaps": "object",
    "computerUse": "object",
    "fileSearch": "object",
}
CONFIG: dict[str, Kind] = {
    "stopSequences": ["text"],
    "responseMimeType": "text",
    "responseSchema": "schema",
    "responseJsonSchema": "any",
    "responseModalities": ["text"],
    "candidateCount": "int",
    "maxOutputTokens": "int",
    "temperature": "number",
    "topP": "number",
    "topK": "number",
    "seed": "int",
    "presencePenalty": "number",
    "frequencyPenalty": "number",
    "responseLogprobs": "bool",
    "logprobs": "int",
    "enableEnhancedCivicAnswers": "bool",
    "speechConfig": "object",
    "thinkingConfig": {
        "includeThoughts": "bool",
        "thinkingBudget": "int",
        "thinkingLevel": "text",
    },
    "imageConfig": "object",
    "mediaResolution": "text",
}
GENERATE: dict[str, Kind] = {
    "model": "text",
    "contents": [CONTENT],
    "tools": [TOOL],
    "toolConfig": {
        "functionCallingConfig": {"mode": "text", "allowedFunctionNames": ["text"]},
        "retrievalConfig": "object",
        "includeServerSideToolInvocations": "bool",
    },
    "safetySettings": [{"category": "text", "threshold": "text"}],
    "systemInstruction": CONTENT,
    "generationConfig": CONFIG,
    "cachedContent": "text",
    "serviceTier": "text",
    "store": "bool",
}
COUNT: dict[str, Kind] = {"contents": [CONTENT], "generateContentRequest": GENERATE}
EMBED: dict[str, Kind] = {
    "model": "text",
    "content": CONTENT,
    "taskType": "text",
    "title": "text",
    "outputDimensionality": "int",
}


def read_message(value: object, message: Mapping[str, Kind], place: str = "") -> dict[str, Any]:
    """Read the JSON of a `message`, which stands at `place`."""
    if not isinstance(value, dict):
        raise _wrong(value, place, "the fields of a message")
    read: dict[str, Any] = {}
    for name, each in value.items():
        field = _camel(name)
        if field not in message:
            where = f" at '{place}'" if place else ""
            raise refused_field(
                place,
                f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.',
            )
        if each is not None:
            snake = re.sub(r"(?=[A-Z])", "_", field).lower()
            read[field] = _read(each, message[field], f"{place}.{snake}" if place else snake)
    return read


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)


def _read(value: object, kind: Kind, place: str) -> Any:
    if isinstance(kind, dict):
        return read_message(value, kind, place)
    if isinstance(kind, list):
        if not isinstance(value, list):
            value = [value]  # as Google's parser does
        return [_read(each, kind[0], f"{place}[{number}]") for number, each in enumerate(value)]
    match kind:
        case "schema":
            return read_message(value, SCHEMA, place)
        case "map:schema":
            if not isinstance(value, dict):
                raise _wrong(value, place, "Map")
            return {
                name: read_message(each, SCHEMA, f"{place}[{number}].value")
                for number, (name, each) in enumerate(value.items())
            }
        case _:
            return _scalar(value, kind, place)


def _scalar(value: object, kind: str, place: str) -> Any:
    match kind, value:
        case ("any", _) | ("object", dict()) | ("text", str()) | ("bool", bool()):
            return value
        case (("number" | "int"), bool()):
            raise _wrong(value, place, _PROTO_TYPES[kind])
        case "number", int() | float():
            return value
        case "int", int():
            return value
        case "int", float() if value.is_integer():
            return int(value)
        case "int", str() if value.lstrip("-").isdecimal():
            return int(value)
        case "bytes", str():
            return _bytes(value, place)
    raise _wrong(value, place, _PROTO_TYPES.get(kind, "Struct"))


def _bytes(text: str, place: str) -> bytes:
    """Decode Base64 of either alphabet, with or without its padding."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        message = (
            f"Invalid value at '{place}' (TYPE_BYTES), Base64 decoding failed for \"{text[:32]}\""
        )
        raise refused_field(place, message) from None


def _wrong(value: object, place: str, type_: str) -> Exception:
    shown = repr(value)[:64]
    return refused_field(place, f"Invalid value at '{place}' ({type_}), {shown}")


_PROTO_TYPES = {
    "text": "TYPE_STRING",
    "bool": "TYPE_BOOL",
    "int": "TYPE_INT32",
    "number": "TYPE_DOUBLE",
    "bytes": "TYPE_BYTES",
}
