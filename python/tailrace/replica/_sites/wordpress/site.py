"""The base of every WordPress site: pages with nonces, and ``admin-ajax.php`` for messages."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tailrace.replica._nonces import Nonces
from tailrace.replica._response import SiteResponse
from tailrace.replica._site import PREFIX, ReplicaSite, SitePage, SiteSettings
from tailrace.replica._sites.wordpress.php import esc_html
from tailrace.replica._sites.wordpress.theme import PluginParts, WordPressPage
from tailrace.replica._transforms import blocks

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

NO_SUCH_ACTION = SiteResponse([b"0"], HTML, 400, headers=AJAX_HEADERS)
FATAL_ERROR = SiteResponse(
    [
        (
            b"<p>This site met an error it cannot handle.</p>"
            b'<p><a href="https://example.org/">Read more.</a></p>'
        )
    ],
    HTML,
    500,
    headers=AJAX_HEADERS,
)


@dataclass(frozen=True, slots=True)
class Post(SitePage):
    """A page of a WordPress site; `introduction` is HTML above the plugin's part of it."""

    post_id: int
    introduction: str = ""


class WordPressSite(ReplicaSite):
    """A WordPress site with a chat plugin; its `pages` are `Post`s."""

    software: ClassVar[str] = "wordpress"
    shortcode: ClassVar[str] = "[wpaicg_chatgpt]"
    """The shortcode that a page holds, which visitors see where the plugin is off."""

    nonces: Nonces

    def __init__(self, settings: SiteSettings) -> None:
        super().__init__(settings)
        self.nonces = Nonces(settings.nonce_lifetime, settings.clock)

    @abstractmethod
    def plugin_parts(self, origin: str, page: SitePage | None) -> PluginParts:
        """Return the plugin's parts of `page`; None is the page of an unknown path."""

    @abstractmethod
    async def ajax(self, request: web.Request) -> SiteResponse:
        """Answer a request to the endpoint."""

    async def answer(self, request: web.Request) -> SiteResponse:
        """Answer a page, the endpoint, a page without its slash (301), or anything else (404)."""
        if request.path == ENDPOINT:
            return await self.ajax(request)
        for page in self.pages:
            if request.path == page.path and isinstance(page, Post):
                return self._page(request, page)
            if f"{request.path}/" == page.path:
                return SiteResponse(
                    [],
                    HTML,
                    301,
                    headers=(_SERVER, ("Location", f"{origin_of(request)}{page.path}")),
                )
        return self._not_found(request)

    def without_plugin(self, request: web.Request) -> SiteResponse | None:
        """Return the response while the plugin is off: shortcodes as text, and no such action."""
        if request.path == ENDPOINT:
            return NO_SUCH_ACTION
        page = next((each for each in self.pages if each.path == request.path), None)
        if not isinstance(page, Post):
            return None
        text = f"<p>{esc_html(self.shortcode)}</p>\n"
        return self._page(request, page, PluginParts(content=text))

    def _page(
        self, request: web.Request, page: Post, plugin: PluginParts | None = None
    ) -> SiteResponse:
        origin = origin_of(request)
        plugin = self.plugin_parts(origin, page) if plugin is None else plugin
        html = WordPressPage(
            origin, page.path, page.post_id, page.shows, plugin, page.introduction
        ).html()
        return _html(html, 200, *_links(origin, page.post_id))

    def _not_found(self, request: web.Request) -> SiteResponse:
        origin = origin_of(request)
        plugin = self.plugin_parts(origin, None)
        return _html(WordPressPage(origin, request.path, 0, "Nothing here", plugin).html(), 404)


def _html(html: str, status: int, *headers: tuple[str, str]) -> SiteResponse:
    return SiteResponse(list(blocks(html.encode())), HTML, status, headers=(_SERVER, *headers))


def origin_of(request: web.Request) -> str:
    """Return the site's origin as the client wrote it, and the prefix of its faults."""
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
