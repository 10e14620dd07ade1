"""The OpenAPI document as a page: plain HTML without a script, written when the gateway starts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["render"]

_SCHEMAS = "#/components/schemas/"


def render(document: Mapping[str, Any]) -> str:
    """Write the page of a document that `make_document` made."""
    info = document["info"]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(info['title'])}</title>",
            '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">',
            '<link rel="stylesheet" href="/docs.css"></head><body><main>',
            f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
            f"<p>{escape(info['description'])}</p>",
            '<p><a href="/openapi.json">openapi.json</a></p>',
            *(part for tag in document["tags"] for part in _tag(document, tag)),
            "<h2>Records</h2>",
            *(_record(name, schema) for name, schema in document["components"]["schemas"].items()),
            "</main></body></html>",
        ]
    )


def _tag(document: Mapping[str, Any], tag: Mapping[str, str]) -> Iterator[str]:
    yield f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag["name"] in operation["tags"]:
                yield _operation(method, path, operation)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = [
        ("key", "where the gateway has keys" if operation["security"] else "none"),
        *((f"?{each['name']}", _words(each)) for each in operation.get("parameters", ())),
        *(("request", _body(each)) for each in [operation.get("requestBody")] if each),
        ("reply", _body(operation["responses"]["200"])),
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{words}</dd>" for name, words in rows)
    return (
        f'<section><h3 id="{escape(operation["operationId"])}"><b>{method.upper()}</b> '
        f"<code>{escape(path)}</code></h3><p>{escape(operation['summary'])}</p>"
        f"<dl>{listed}</dl></section>"
    )


def _words(parameter: Mapping[str, Any]) -> str:
    return f"{_type(parameter['schema'])}: {_marked(parameter['description'])}"


def _body(body: Mapping[str, Any]) -> str:
    parts = []
    for media, content in body["content"].items():
        schema = content["schema"]
        words = _marked(schema.get("description", "")) or _type(schema)
        parts.append(f"<code>{escape(media)}</code> {words}")
    return "<br>".join(parts)


def _record(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><th>{escape(field)}{'' if field in required else '?'}</th><td>{_type(each)}</td>"
        f"<td>{_marked(each.get('description', ''))}</td></tr>"
        for field, each in schema.get("properties", {}).items()
    )
    return (
        f'<section><h3 id="{escape(name)}">{escape(name)}</h3>'
        f"<p>{_marked(schema.get('description', ''))}</p><table>{rows}</table></section>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    """Return a schema in words, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_SCHEMAS))
        return f'<a href="#{name}">{name}</a>'
    for joined in ("anyOf", "oneOf"):
        if joined in schema:
            return " or ".join(map(_type, schema[joined]))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(kind)


def _marked(text: str) -> str:
    """Return a text as HTML, with code between backticks."""
    parts = escape(text.replace("``", "`")).split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)
    )
