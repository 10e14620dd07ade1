"""A POST's fields as PHP fills ``$_POST``: the last of a name wins, what cannot be read is simply
not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from aiohttp import web
from aiohttp.http import HttpProcessingError


async def post_fields(request: web.Request) -> dict[str, str]:
    """Return the text fields of a urlencoded or multipart body; of any other body, nothing."""
    match request.content_type:
        case "application/x-www-form-urlencoded":
            body = (await request.read()).decode("utf-8", "replace")
            return dict(parse_qsl(body, keep_blank_values=True, errors="replace"))
        case "multipart/form-data":
            return await _multipart_fields(request)
        case _:
            return {}


async def _multipart_fields(request: web.Request) -> dict[str, str]:
    try:
        fields = await request.post()
    except (
        ValueError,
        HttpProcessingError,
    ):  # a broken boundary or head, or a field that is not UTF-8
        return {}
    return {name: value for name, value in fields.items() if isinstance(value, str)}
