"""``/openapi.json`` and ``/docs``: made once, the same for every gateway of a version."""

from __future__ import annotations

from pathlib import Path

import msgspec
from aiohttp import web

from tailrace.gateway._openapi.document import make_document
from tailrace.gateway._openapi.page import render
from tailrace.gateway._web.page import File

__all__ = ["routes"]


def routes() -> list[web.AbstractRouteDef]:
    """Make the routes of the document, of its page and of the page's style."""
    document = make_document()
    files = {
        "/openapi.json": File.of(msgspec.json.encode(document), "application/json"),
        "/docs": File.of(render(document).encode(), "text/html"),
        "/docs.css": File.read(Path(__file__).with_name("docs.css")),
    }
    return [web.get(path, file.answer) for path, file in files.items()]
