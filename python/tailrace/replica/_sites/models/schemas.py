"""Values that a JSON schema allows, made the same way every time, for arguments and JSON answers.

Known are the keywords that describe the form of a value, Gemini's names of types in capitals among
them. A `pattern` is tried on a few strings; where none of them matches, the value breaks it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_DEPTH = 32
"""The most schemas within each other; beyond it, a value is sought that needs fewer."""

MAX_COUNT = 1000
"""The most items, properties or characters that a schema gets, however many it wants at least."""


def example(schema: object, number: int = 1) -> Any:
    """Return a value that `schema` allows: of objects, the required properties alone.

    `number` varies the strings and numbers that are free, from 1 on. A schema that allows nothing,
    or only values without end, gets None.
    """
    try:
        return _Maker(schema, number).value(schema, "value", 0)
    except _TooDeepError:
        return None


class _TooDeepError(Exception):
    pass


class _Maker:
    def __init__(self, root: object, number: int) -> None:
        self._root = root
        self._number = number

    def value(self, schema: object, name: str, depth: int) -> Any:
        """Return a value for `schema`, which describes what is called `name`."""
        if depth > MAX_DEPTH:
            raise _TooDeepError
        if not isinstance(schema, dict):
            return self._string({}, name)
        schema = self._merged(schema, depth)
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        for keyword in ("enum", "examples"):
            if schema.get(keyword) and isinstance(schema[keyword], list):
                return schema[keyword][(self._number - 1) % len(schema[keyword])]
        for keyword in ("anyOf", "oneOf"):
            if schema.get(keyword) and isinstance(schema[keyword], list):
                return self._first(schema[keyword], name, depth)
        return self._of_type(_type_of(schema), schema, name, depth)

    def _merged(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Return `schema` with what it refers to, and all of its ``allOf``, in one."""
        if depth > MAX_DEPTH:
            raise _TooDeepError
        merged: dict[str, Any] = {}
        parts = [self._target(schema["$ref"])] if isinstance(schema.get("$ref"), str) else []
        parts += schema["allOf"] if isinstance(schema.get("allOf"), list) else []
        for part in parts:
            if isinstance(part, dict):
                _add(merged, self._merged(part, depth + 1))
        _add(merged, {key: schema[key] for key in schema if key not in ("$ref", "allOf")})
        return merged

    def _target(self, reference: str) -> object:
        found: object = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def _first(self, schemas: Sequence[object], name: str, depth: int) -> Any:
        for schema in schemas:
            try:
                return self.value(schema, name, depth + 1)
            except _TooDeepError:
                continue
        raise _TooDeepError

    def _of_type(self, type_: str, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        match type_:
            case "object":
                return self._object(schema, depth)
            case "array":
                return list(self._items(schema, name, depth))
            case "integer" | "number":
                return self._number_for(schema, is_whole=type_ == "integer")
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        names = _required(schema)
        missing = _count(schema, "minProperties") - len(names)
        names += [name for name in properties if name not in names][: max(0, missing)]
        return {name: self.value(properties.get(name), name, depth + 1) for name in names}

    def _items(self, schema: Mapping[str, Any], name: str, depth: int) -> Iterator[Any]:
        prefix = schema.get("prefixItems")
        prefix = prefix if isinstance(prefix, list) else []
        for item in prefix:
            yield self.value(item, name, depth + 1)
        least = _count(schema, "minItems")
        try:
            wanted = max(least, 0 if prefix or schema.get("maxItems") == 0 else 1)
            for number in range(len(prefix), wanted):
                maker = _Maker(self._root, self._number + number)
                yield maker.value(schema.get("items"), name, depth + 1)
        except _TooDeepError:
            if least > len(prefix):
                raise

    def _number_for(self, schema: Mapping[str, Any], *, is_whole: bool) -> int | float:
        step = abs(_bound(schema, ("multipleOf",), 1)) or 1
        low = _bound(schema, ("minimum", "exclusiveMinimum"), -math.inf)
        high = _bound(schema, ("maximum", "exclusiveMaximum"), math.inf)
        value = float(math.ceil(max(self._number, low) / step) * step)
        value += step if value == schema.get("exclusiveMinimum") else 0
        if value > high or value == schema.get("exclusiveMaximum"):
            value = float(math.floor(high / step) * step)
            value -= step if value == schema.get("exclusiveMaximum") else 0
        if not low <= value <= high or value == schema.get("exclusiveMinimum"):
            value = (low + high) / 2  # no multiple fits
        return int(value) if is_whole or value.is_integer() else value

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        text = _FORMATS.get(str(schema.get("format")), f"{name} {self._number}")
        if isinstance(pattern := schema.get("pattern"), str):
            text = next((each for each in (text, *_TRIED) if _matches(pattern, each)), text)
        text = text.ljust(_count(schema, "minLength"), "x")
        return text[: schema["maxLength"]] if isinstance(schema.get("maxLength"), int) else text


def _add(merged: dict[str, Any], schema: Mapping[str, Any]) -> None:
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            merged[key] = {**merged.get(key, {}), **value}
        elif key == "required" and isinstance(value, list):
            merged[key] = [*merged.get(key, []), *value]
        else:
            merged[key] = value


def _type_of(schema: Mapping[str, Any]) -> str:
    type_ = schema.get("type")
    if isinstance(type_, list):
        type_ = next((each for each in type_ if each != "null"), "null")
    if isinstance(type_, str):
        return type_.lower()
    return next((type_ for keyword, type_ in _IMPLIED if keyword in schema), "string")


def _required(schema: Mapping[str, Any]) -> list[str]:
    names = schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _count(schema: Mapping[str, Any], keyword: str) -> int:
    """Return a number of things, which Gemini's schemas may write as a string."""
    value = str(schema.get(keyword, ""))
    return min(int(value[:9]), MAX_COUNT) if value.isdecimal() else 0


def _bound(schema: Mapping[str, Any], keywords: Sequence[str], default: float) -> float:
    values = (schema.get(keyword) for keyword in keywords)
    numbers = (each for each in values if isinstance(each, int | float) and abs(each) < _HUGE)
    return next(numbers, default)


_HUGE = 2.0**53


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True  # not of Python's syntax: nothing can be said


_IMPLIED = (
    ("properties", "object"),
    ("required", "object"),
    ("items", "array"),
    ("prefixItems", "array"),
    ("minimum", "number"),
    ("maximum", "number"),
)
_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "duration": "PT3M",
    "email": "visitor@my.example",
    "hostname": "my.example",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://my.example/",
    "uuid": "00000000-0000-4000-8000-000000000001",
}
_TRIED = ("1", "1.5", "a", "A", "abc", "ABC", "A1", "a-1", "2026-01-02", "+1 555 0100", "#aabbcc")


# -- what strict modes want ------------------------------------------------------------------------


def closed_objects_fault(schema: object, *, all_required: bool) -> str | None:
    """Return what a strict mode has against `schema`, with the place of it; None for nothing.

    Each object must allow no other properties than its own, and, with `all_required`, require all.
    """
    return next(_faults(schema, (), all_required=all_required), None)


def _faults(schema: object, place: tuple[str, ...], *, all_required: bool) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    shown = f"In context={place!r}, "
    if _type_of(schema) == "object" and "$ref" not in schema:
        if schema.get("additionalProperties") is not False:
            yield f"{shown}'additionalProperties' is required to be supplied and to be false."
        properties = schema.get("properties")
        names = properties if isinstance(properties, dict) else {}
        missing = set(names) - set(_required(schema))
        if all_required and missing:
            yield (
                f"{shown}'required' is required to be supplied and to be an array including every "
                f"key in properties. Missing '{min(missing)}'."
            )
    for keyword, value in schema.items():
        inner: list[tuple[tuple[str, ...], object]] = []
        if keyword in ("properties", "$defs", "definitions") and isinstance(value, dict):
            inner = [((keyword, name), each) for name, each in value.items()]
        elif keyword in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
            inner = [((keyword, str(number)), each) for number, each in enumerate(value)]
        elif keyword == "items":
            inner = [((keyword,), value)]
        for step, each in inner:
            yield from _faults(each, (*place, *step), all_required=all_required)
