"""What every WordPress site of the replica does: pages with nonces, and one endpoint for what is
not a page.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.replica._outputs import blocks
from tailrace.replica._site import PREFIX, Page, Reply, Settings, Site
from tailrace.replica._sites.wordpress.nonces import Nonces
from tailrace.replica._sites.wordpress.pages import PluginParts, WordPressPage

if TYPE_CHECKING:
    from aiohttp import web

ENDPOINT = "/wp-admin/admin-ajax.php"

JSON = "application/json; charset=UTF-8"
HTML = "text/html; charset=UTF-8"

_SERVER = ("Server", "nginx")
ADMIN_HEADERS = (
    _SERVER,
    ("X-Robots-Tag", "noindex"),
    ("X-Content-Type-Options", "nosniff"),
    ("Expires", "Wed, 11 Jan 1984 05:00:00 GMT"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("X-Frame-Options", "SAMEORIGIN"),
)
AJAX_HEADERS = (*ADMIN_HEADERS, ("Cache-Control", "no-cache, must-revalidate, max-age=0"))

NO_SUCH_ACTION = Reply([b"0"], HTML, 400, headers=AJAX_HEADERS)
FATAL_ERROR = Reply(
    [
        b'<p>This site met an error it cannot handle.</p><p><a href="https://example.org/">Read more.</a></p>'
    ],
    HTML,
    500,
    headers=AJAX_HEADERS,
)


@dataclass(frozen=True, slots=True)
class Post(Page):
    """A page of a WordPress site and its id; `introduction` is HTML that stands above what the
    plugin adds.
    """

    post_id: int
    introduction: str = ""


class WordPressSite(Site):
    """A WordPress site with a chat plugin. Its `pages` are `Post`s."""

    nonces: Nonces

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.nonces = Nonces(settings.nonce_lifetime, settings.clock)

    @abstractmethod
    def plugin_parts(self, origin: str, page: Page | None) -> PluginParts:
        """Return what the plugin adds to `page`; None is the page that says there is none."""

    @abstractmethod
    async def ajax(self, request: web.Request) -> Reply:
        """Answer a request to the endpoint."""

    async def answer(self, request: web.Request) -> Reply:
        """Answer a page, the endpoint, a page without its slash (301), or anything else (404)."""
        if request.path == ENDPOINT:
            return await self.ajax(request)
        for page in self.pages:
            if request.path == page.path and isinstance(page, Post):
                return self._page(request, page)
            if f"{request.path}/" == page.path:
                return Reply(
                    [],
                    HTML,
                    301,
                    headers=(_SERVER, ("Location", f"{origin_of(request)}{page.path}")),
                )
        return self._not_found(request)

    def _page(self, request: web.Request, page: Post) -> Reply:
        origin = origin_of(request)
        plugin = self.plugin_parts(origin, page)
        html = WordPressPage(
            origin, page.path, page.post_id, page.shows, plugin, page.introduction
        ).html()
        return Reply(
            list(blocks(html.encode())), HTML, headers=(_SERVER, *_links(origin, page.post_id))
        )

    def _not_found(self, request: web.Request) -> Reply:
        origin = origin_of(request)
        html = WordPressPage(
            origin, request.path, 0, "Nothing here", self.plugin_parts(origin, None)
        ).html()
        return Reply(list(blocks(html.encode())), HTML, 404, headers=(_SERVER,))


def origin_of(request: web.Request) -> str:
    """Return the origin by which the client knows this site, and below it what led here."""
    return f"{request.scheme}://{request.host}{request.get(PREFIX, '')}"


def _links(origin: str, post_id: int) -> tuple[tuple[str, str], ...]:
    return (
        ("Link", f'<{origin}/wp-json/>; rel="https://api.w.org/"'),
        (
            "Link",
            f'<{origin}/wp-json/wp/v2/pages/{post_id}>; rel="alternate"; type="application/json"',
        ),
        ("Link", f"<{origin}/?p={post_id}>; rel=shortlink"),
    )
