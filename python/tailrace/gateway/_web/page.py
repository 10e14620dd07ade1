"""The page at ``/``: files of this package, sent with headers that let it load nothing else.

The files are read once. They need no key, for they hold nothing of the gateway's settings; the
page's own requests to ``/v1`` and ``/live`` need one where the gateway has keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import ETag, web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CONTENT_SECURITY_POLICY", "HEADERS", "File", "routes"]

# Only DOMPurify may turn an answer into markup: hence the last two directives.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify"
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # A link in an answer must not make the browser look up its host before it is followed.
    "X-DNS-Prefetch-Control": "off",
    # A new release has a new page: the browser checks each time, and gets a 304 if nothing changed.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


def routes() -> list[web.AbstractRouteDef]:
    """Make the routes of the page: ``/``, and a path below ``/static/`` for each of its files."""
    files = {path.name: File.read(path) for path in _files()}
    others = [
        web.get(f"/static/{name}", file.answer)
        for name, file in files.items()
        if name != "index.html"
    ]
    return [web.get("/", files["index.html"].answer), *others]


def _files() -> Iterator[Path]:
    return (path for path in sorted(_STATIC.iterdir()) if path.suffix in _TYPES)


@dataclass(frozen=True, slots=True)
class File:
    """A file that is sent to browsers, with headers that let a page load nothing of others."""

    body: bytes
    content_type: str
    # A weak ETag, since it is the same for the compressed and the plain file.
    etag: ETag

    @classmethod
    def of(cls, body: bytes, content_type: str) -> File:
        """Make a file of that type."""
        return cls(body, content_type, ETag(sha256(body).hexdigest()[:32], is_weak=True))

    @classmethod
    def read(cls, path: Path) -> File:
        """Read a file of the package; the ending of its name tells the type."""
        return cls.of(path.read_bytes(), _TYPES[path.suffix])

    async def answer(self, request: web.Request) -> web.Response:
        """Send the file, unless the browser has it."""
        known = request.if_none_match or ()
        if any(each.value in (self.etag.value, "*") for each in known):
            response = web.Response(status=304, headers=HEADERS)
        else:
            response = web.Response(
                body=self.body, content_type=self.content_type, charset="utf-8", headers=HEADERS
            )
            response.enable_compression()
        response.etag = self.etag
        return response
