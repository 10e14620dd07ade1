"""Values that a JSON schema allows, and what strict modes have against a schema."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.replica._sites.models.schemas import closed_objects_fault, example

NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["name", "next"],
}
ENDLESS = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}

VALUES: list[tuple[object, Any, Any]] = [
    ({"type": "string"}, "value 1", "value 2"),
    ({"type": "integer"}, 1, 2),
    ({"type": "number", "minimum": 2.5, "maximum": 3}, 3, 3),
    ({"type": "integer", "exclusiveMinimum": 7, "multipleOf": 5}, 10, 10),
    ({"type": "integer", "maximum": -3}, -3, -3),
    ({"type": "number", "minimum": 0, "maximum": 1}, 1, 1),
    ({"type": "number", "exclusiveMinimum": 0.0, "exclusiveMaximum": 1.0}, 0.5, 0.5),
    ({"type": "number", "minimum": 0.2, "maximum": 0.4}, 0.30000000000000004, 0.30000000000000004),
    ({"type": "boolean"}, True, True),
    ({"type": "null"}, None, None),
    ({"type": ["null", "string"]}, "value 1", "value 2"),
    ({"enum": ["m", "ft"]}, "m", "ft"),
    ({"const": 7}, 7, 7),
    ({"type": "string", "default": "here"}, "here", "here"),
    ({"type": "string", "format": "date"}, "2026-01-02", "2026-01-02"),
    ({"type": "string", "minLength": 9, "maxLength": 10}, "value 1xx", "value 2xx"),
    ({"type": "string", "maxLength": 3}, "val", "val"),
    ({"type": "string", "pattern": "^[A-Z]+$"}, "A", "A"),
    ({"type": "string", "pattern": "(?no regex"}, "value 1", "value 2"),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 2], [2, 3]),
    ({"type": "array", "prefixItems": [{"const": 1}]}, [1], [1]),
    ({"type": "array"}, ["value 1"], ["value 2"]),
    (
        {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]},
        {"a": "a 1"},
        {"a": "a 2"},
    ),
    (
        {"type": "object", "properties": {"a": {"type": "integer"}}, "minProperties": 1},
        {"a": 1},
        {"a": 2},
    ),
    (
        {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}, "required": ["a"]},
        {"a": 1},
        {"a": 2},
    ),
    (
        {
            "$defs": {"a/b": {"const": "x"}},
            "properties": {"a": {"$ref": "#/$defs/a~1b"}},
            "required": ["a"],
        },
        {"a": "x"},
        {"a": "x"},
    ),
    (
        {
            "allOf": [
                {"properties": {"a": {"const": 1}}, "required": ["a"]},
                {"properties": {"b": {"const": 2}}, "required": ["b"]},
            ]
        },
        {"a": 1, "b": 2},
        {"a": 1, "b": 2},
    ),
    (ENDLESS, None, None),
    (True, "value 1", "value 2"),
]


@pytest.mark.parametrize(("schema", "first", "second"), VALUES)
def test_value(schema: object, first: Any, second: Any) -> None:
    assert (example(schema), example(schema, 2)) == (first, second)
    assert type(example(schema)) is type(first)


def test_what_refers_to_itself_ends() -> None:
    value, depth = example(NODE), 0
    while value is not None:
        value, depth = value["next"], depth + 1
    assert depth > 1


CLOSED: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
FAULTS = [
    (CLOSED, True, None),
    ({"type": "string"}, True, None),
    ({**CLOSED, "properties": {"a": {}}}, False, None),
    ({**CLOSED, "properties": {"a": {}}}, True, "Missing 'a'"),
    ({"type": "object"}, False, "'additionalProperties'"),
    ({**CLOSED, "properties": {"a": {"type": "object"}}}, False, "In context=('properties', 'a')"),
    ({"anyOf": [CLOSED, {"items": {"type": "object"}}]}, False, "('anyOf', '1', 'items')"),
]


@pytest.mark.parametrize(("schema", "all_required", "fault"), FAULTS)
def test_fault(schema: object, fault: str | None, *, all_required: bool) -> None:
    found = closed_objects_fault(schema, all_required=all_required)
    assert (found is None) == (fault is None)
    assert (fault or "") in (found or "")
