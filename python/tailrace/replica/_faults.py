"""Faults on demand: failures between a site and its visitors, on the site's side and on the way.

A fault is written ``NAME[:ARGUMENT][@page|@answer|@all][%SHARE]``, and holds for answers to
messages unless its kind or its target says otherwise; ``%5`` lets it happen to 5 of 100 of them, at
random. A fault is set for a whole site (`Replica.fault`), or by URL, with ``/~fault/FAULT/`` in
front of any path. The links of a page with such a URL have the prefix, too, and a message that
names the page, or is posted below the prefix, has the same fault; so a fault in a URL holds for the
requests of one visitor alone.
"""

from __future__ import annotations

import base64
import math
import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote, urlsplit

from aiohttp import web

from tailrace.errors import InvalidRequestError
from tailrace.replica import _transforms as transforms
from tailrace.replica._response import BREAK_POSITIONS, Interruption, Repeat, SiteResponse
from tailrace.replica._sending import send
from tailrace.replica._site import EXCHANGE, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailrace.replica._site import ReplicaSite

Target = Literal["page", "answer", "all"]

MAX_FAULTS_OF_A_URL = 16
KEPT_URLS = 256
"""The most URLs whose faults keep their counts; one more, and the oldest count begins anew."""


class Effect:
    """The effect of a fault on an exchange; one that counts exchanges is made anew for each URL."""

    def replacement(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:  # noqa: ARG002 - most let the site answer
        """Return a response that replaces the site's, or None to let the site answer."""
        return None

    async def own(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:  # noqa: ARG002 - most are no site's own
        """Return the response that the site itself has for the fault, or None for none."""
        return None

    def transform(self, site: ReplicaSite, response: SiteResponse) -> SiteResponse:  # noqa: ARG002 - most need no site
        """Return the response to send, made of the `response` of `site`."""
        return response


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault: a row of `FAULTS`.

    `name`: the word before a fault's colon; `argument`: how its argument is written, empty where it
    takes none; `shows`: the kind in one sentence, for lists; `make`: a function from the argument
    to the effect; `targets`: the responses it can hold for, the first of them unless a fault names
    one; `needs_nonces`: whether only sites with nonces can have it; `is_own`: whether only sites
    that say so can. Several faults take effect in
    the order of `FAULTS`, whatever order they are requested in.
    """

    name: str
    argument: str
    shows: str
    make: Callable[[str], Effect]
    targets: tuple[Target, ...] = ("answer", "page", "all")
    needs_nonces: bool = False
    is_own: bool = False

    @property
    def text(self) -> str:
        """The fault as it is written, its argument in brackets."""
        return f"{self.name}{self.argument}"

    def is_possible_at(self, site: ReplicaSite) -> bool:
        """Tell whether `site` can have this fault."""
        if self.is_own:
            return self.name in site.own_faults
        return site.nonces is not None or not self.needs_nonces


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its `text` as written, its `kind`, the responses it holds for, and its `effect`.

    `share`: of these responses, the part to which it happens.
    """

    text: str
    kind: FaultKind
    target: Target
    effect: Effect
    share: float = 1.0

    def holds_for(self, target: Target) -> bool:
        """Tell whether the fault holds for `target`: a page or an answer."""
        return self.target in (target, "all")


def parse_fault(text: str) -> Fault:
    """Parse a fault; raises `InvalidRequestError` for an unknown one or a wrong argument."""
    unshared, share = _parse_share(text)
    written, _, target = unshared.partition("@")
    name, colon, argument = written.partition(":")
    kind = next((kind for kind in FAULTS if kind.name == name), None)
    if kind is None:
        raise InvalidRequestError(
            f"there is no fault {name!r} (tailrace replica --list tells of each); there are "
            f"{', '.join(kind.name for kind in FAULTS)}"
        )
    if colon and (not argument or not kind.argument):
        raise InvalidRequestError(f"the fault {name} is written {kind.text}, not {written!r}")
    holds_for = next((each for each in kind.targets if each == (target or kind.targets[0])), None)
    if holds_for is None:
        known = ", ".join(f"@{each}" for each in kind.targets)
        raise InvalidRequestError(f"the fault {name} holds for {known}, not for {f'@{target}'!r}")
    return Fault(text, kind, holds_for, kind.make(argument), share)


def _parse_share(text: str) -> tuple[str, float]:
    """Return a fault without its share of responses, and the share."""
    match = _SHARE.fullmatch(text)
    if match is None:
        return text, 1.0
    percent = float(match[2])
    if not 0 < percent <= _ALL:
        raise InvalidRequestError(f"a fault's share is above %0 and at most %100, not %{match[2]}")
    return match[1], percent / _ALL


_SHARE = re.compile(r"([^%]{1,4096})%([0-9]{1,3}(?:\.[0-9]{1,6})?)")
_ALL = 100


def parse_faults(texts: Iterable[str], site: ReplicaSite) -> tuple[Fault, ...]:
    """Parse faults for `site` and sort them by the order of `FAULTS`.

    Raises `InvalidRequestError` for a fault that `site` cannot have, and as `parse_fault` does.
    """
    faults = [parse_fault(text) for text in texts]
    for fault in faults:
        if not fault.kind.is_possible_at(site):
            why = "runs another software" if fault.kind.is_own else "has no nonces"
            raise InvalidRequestError(
                f"the fault {fault.kind.name} is not for {site.name}, which {why}"
            )
    return _ordered(faults)


def fault_path(texts: Iterable[str]) -> str:
    """Return the path prefix that requests the faults written as `texts`."""
    return "".join(f"/{_FAULT}/{quote(text, safe=_PLAIN)}" for text in texts)


class FaultySite:
    """A site with its faults in front of it: those of the whole site, and those of each URL."""

    def __init__(
        self, site: ReplicaSite, faults: Iterable[str] = (), chance: random.Random | None = None
    ) -> None:
        """Put `faults` in front of `site`; `chance` draws those that do not always happen."""
        self.site = site
        self._chance = chance or random.Random()  # noqa: S311 - no secret
        self._faults = parse_faults(faults, site)
        self._of_urls: dict[tuple[str, ...], tuple[Fault, ...]] = {}

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that hold for the whole site."""
        return tuple(fault.text for fault in self._faults)

    def set_faults(self, texts: Iterable[str]) -> None:
        """Let these faults, and no others, hold for the whole site from the next request on."""
        self._faults = parse_faults(texts, self.site)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer `request` with the site's response and its faults; a wrong fault is a 400."""
        try:
            request, faults = await self._requested_faults(request)
        except InvalidRequestError as error:
            return web.Response(status=400, text=f"{error}\n")
        faults = _ordered((*self._faults, *faults))
        target: Target = "page" if self.site.is_page(request.path) else "answer"
        faults = tuple(fault for fault in faults if fault.holds_for(target) and self._draws(fault))
        request[EXCHANGE].faults = tuple(fault.text for fault in faults)
        response = await self._replacement(request, faults) or await self.site.answer(request)
        for fault in faults:
            response = fault.effect.transform(self.site, response)
        return await send(request, response, self.site.settings.stopping)

    def _draws(self, fault: Fault) -> bool:
        return fault.share >= 1.0 or self._chance.random() < fault.share

    async def _replacement(
        self, request: web.Request, faults: Iterable[Fault]
    ) -> SiteResponse | None:
        for fault in faults:
            response = fault.effect.replacement(self.site, request)
            if response is not None:
                await request.read()  # a connection closed with unread bytes would be reset
                return response
            own = await fault.effect.own(self.site, request)
            if own is not None:
                await request.read()
                return own
        return None

    async def _requested_faults(
        self, request: web.Request
    ) -> tuple[web.Request, tuple[Fault, ...]]:
        """Return the request as the site sees it, and the faults in its URL or in its page's."""
        path = _parse_path(request.rel_url.raw_path)
        if path.prefix:
            request = request.clone(
                rel_url=request.rel_url.with_path(path.rest, encoded=True, keep_query=True)
            )
            request[PREFIX] = path.prefix
        else:
            path = _parse_path(_path_of(await self.site.page_of(request)))
        return request, self._remembered(path.faults)

    def _remembered(self, texts: tuple[str, ...]) -> tuple[Fault, ...]:
        if texts not in self._of_urls:
            faults = parse_faults(texts, self.site)
            while len(self._of_urls) >= KEPT_URLS:
                del self._of_urls[next(iter(self._of_urls))]
            self._of_urls[texts] = faults
        return self._of_urls[texts]


@dataclass(frozen=True, slots=True)
class _FaultPath:
    """The parts of a path: its faults, its prefix as links show it, and the site's own path."""

    faults: tuple[str, ...] = ()
    prefix: str = ""
    rest: str = "/"


def _parse_path(path: str) -> _FaultPath:
    faults: list[str] = []
    prefix = ""
    while True:
        _, first, *rest = path.split("/", 3) if path.startswith("/") else ("", "")
        if first == _FAULT and rest:
            faults.append(unquote(rest[0]))
            prefix += fault_path(faults[-1:])
            path = f"/{rest[1] if len(rest) > 1 else ''}"
        elif first in (_MOVED, SUBFOLDER):
            prefix += f"/{first}"
            path = f"/{'/'.join(rest)}"
        else:
            return _FaultPath(tuple(faults), prefix, path)
        if len(faults) > MAX_FAULTS_OF_A_URL:
            raise InvalidRequestError(f"a URL may ask for {MAX_FAULTS_OF_A_URL} faults at most")


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # an unclosed bracket: no URL of ours
        return ""


def _ordered(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: FAULTS.index(fault.kind)))


SUBFOLDER = "blog"
"""The folder in which every site stands as well, as a second name of its root."""

_FAULT = "~fault"
_MOVED = "~moved"
_PLAIN = ":@"


# -- replacements ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Replacement(Effect):
    response: SiteResponse

    method: str = ""
    """The method whose requests alone are answered so; empty for all."""

    def replacement(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:  # noqa: ARG002 - the same at every site
        return None if self.method not in ("", request.method) else self.response


def _for_method(name: str, response: SiteResponse) -> Callable[[str], Effect]:
    def make(argument: str) -> Effect:
        method = _one_of(name, argument, "all", ("all", "get", "post"))
        return _Replacement(response, "" if method == "all" else method.upper())

    return make


def _challenge(argument: str) -> Effect:
    shown = _one_of("challenge", argument, "both", ("both", "body", "header"))
    body = (
        b"<html><head><title>Forbidden</title></head></html>"
        if shown == "header"
        else _CHALLENGE_PAGE
    )
    headers = () if shown == "body" else (("cf-mitigated", "challenge"),)
    return _Replacement(SiteResponse([body], _HTML, 403, "Forbidden", headers))


def _refusal(status: int, reason: str) -> Callable[[str], Effect]:
    def make(argument: str) -> Effect:
        seconds = _number(str(status), argument, 30, 1_000_000)
        title = f"<title>{status} {reason}</title>"
        body = f"<html><head>{title}</head><body>Come back later.</body></html>\n"
        return _Replacement(
            SiteResponse([body.encode()], _HTML, status, reason, (("Retry-After", str(seconds)),))
        )

    return make


@dataclass(frozen=True, slots=True)
class _Redirect(Effect):
    target: str

    def replacement(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:  # noqa: ARG002 - the same at every site
        prefix = request.get(PREFIX, "")
        if prefix.endswith(f"/{_MOVED}"):
            return None
        path, host = f"{prefix}{request.rel_url.raw_path}", request.host
        targets = {
            "path": f"{request.scheme}://{host}{prefix}/{_MOVED}{request.rel_url.raw_path}",
            "www": f"{request.scheme}://www.{host}{path}",
            "https": f"https://{host}{path}",
            "host": f"http://other.invalid{path}",
            "loop": f"{request.scheme}://{host}{path}",
            "login": f"{request.scheme}://{host}{prefix}/wp-login.php?redirect_to=x",
        }
        headers = [("Location", targets[self.target])] if self.target in targets else []
        return SiteResponse([], _HTML, 302, "Found", headers)


def _redirect(argument: str) -> Effect:
    return _Redirect(
        _one_of(
            "redirect",
            argument,
            "path",
            ("path", "www", "https", "host", "loop", "login", "nowhere"),
        )
    )


# -- guards and neighbours -------------------------------------------------------------------------


class _CookieGuard(Effect):
    """A guard that sets a cookie with each page and wants it with each message."""

    def replacement(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:
        knows = request.cookies.get("visitor_ok") == "1"
        return None if knows or site.is_page(request.path) else _FORBIDDEN

    def transform(self, site: ReplicaSite, response: SiteResponse) -> SiteResponse:  # noqa: ARG002 - the same at every site
        cookie = ("Set-Cookie", "visitor_ok=1; Path=/")
        if not _shows_page(response):
            return response
        return replace(response, headers=[*response.headers, cookie])


@dataclass(frozen=True, slots=True)
class _BasicAuth(Effect):
    authorization: str

    def replacement(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:  # noqa: ARG002 - the same at every site
        given = request.headers.get("Authorization", "")
        return None if given == self.authorization else _UNAUTHORIZED


def _basic_auth(argument: str) -> Effect:
    pair = argument or "visitor:tailrace"
    if ":" not in pair or not pair.isprintable():
        raise InvalidRequestError("the fault basic-auth takes USER:PASSWORD")
    return _BasicAuth(f"Basic {base64.b64encode(pair.encode()).decode('ascii')}")


@dataclass(frozen=True, slots=True)
class _JsonPage(Effect):
    """A plugin that answers pages as JSON, to those who accept it or (`always`) to all."""

    always: bool

    def replacement(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:  # noqa: ARG002 - the same at every site
        wanted = self.always or "json" in request.headers.get("Accept", "")
        return _ACTIVITY if wanted else None


def _json_page(argument: str) -> Effect:
    return _JsonPage(_one_of("json-page", argument, "accepted", ("accepted", "always")) == "always")


class _PluginOff(Effect):
    def replacement(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:
        return site.without_plugin(request)


@dataclass(frozen=True, slots=True)
class _OwnFault(Effect):
    """An effect that the site itself knows."""

    name: str
    argument: str = ""

    async def own(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:
        return await site.own_fault(self.name, self.argument, request)


def _own_fault(name: str, *known: str) -> Callable[[str], Effect]:
    def make(argument: str) -> Effect:
        return _OwnFault(name, _one_of(name, argument, known[0], known) if known else "")

    return make


class _Subfolder(Effect):
    """WordPress in a subfolder only, on pages that name no endpoint in clear.

    The folder is `SUBFOLDER`, or that of the URL's faults; elsewhere there is another program.
    """

    def replacement(self, site: ReplicaSite, request: web.Request) -> SiteResponse | None:  # noqa: ARG002 - the same at every site
        return None if request.get(PREFIX) else _ELSEWHERE

    def transform(self, site: ReplicaSite, response: SiteResponse) -> SiteResponse:  # noqa: ARG002 - the same at every site
        return transforms.defer_scripts(response) if _shows_page(response) else response


def _shows_page(response: SiteResponse) -> bool:
    return response.status == _OK and response.content_type == _HTML


# -- nonces ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _ExpiredNonce(Effect):
    """An effect that shows, on the next `pages` pages, the same nonce, which is too old."""

    pages: float

    def transform(self, site: ReplicaSite, response: SiteResponse) -> SiteResponse:
        if site.nonces is None or self.pages <= 0:
            return response
        self.pages -= 1
        page = b"".join(response.chunks).replace(
            site.nonces.current().encode(), site.nonces.expired().encode()
        )
        return replace(response, chunks=list(transforms.blocks(page)))


@dataclass(slots=True)
class _ExpiringNonce(Effect):
    """An effect that expires, after each `answers` answers, the nonces shown so far."""

    answers: int
    sent: int = 0

    def transform(self, site: ReplicaSite, response: SiteResponse) -> SiteResponse:
        if site.nonces is not None and response.status == _OK:
            self.sent += 1
            if self.sent % self.answers == 0:
                site.nonces.expire()
        return response


# -- transforms ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Transform(Effect):
    function: Callable[[SiteResponse], SiteResponse]

    def transform(self, site: ReplicaSite, response: SiteResponse) -> SiteResponse:  # noqa: ARG002 - the same at every site
        return self.function(response)


def _append(debris: bytes) -> Callable[[str], Effect]:
    return lambda _: _Transform(lambda response: transforms.append(response, debris))


def _prepend(debris: bytes) -> Callable[[str], Effect]:
    return lambda _: _Transform(lambda response: transforms.prepend(response, debris))


def _split(argument: str) -> Effect:
    size = _number("split", argument, 1, 2**20)
    return _Transform(lambda response: transforms.rechunk(response, size))


def _coded(coding: str) -> Callable[[str], Effect]:
    return lambda _: _Transform(lambda response: replace(response, coding=coding))


def _content_type(argument: str) -> Effect:
    type_ = argument or "text/html"
    if not type_.isascii() or not type_.isprintable():
        raise InvalidRequestError("the fault content-type takes visible ASCII characters")
    return _Transform(
        lambda response: replace(response, content_type=None if type_ == "none" else type_)
    )


def _bomb(argument: str) -> Effect:
    mebibytes = _number("bomb", argument, 64, 4096)
    return _Transform(
        lambda response: replace(
            response,
            chunks=[*_first_half(response), b"data: ", *[_MEBIBYTE] * mebibytes],
            coding="gzip",
        )
    )


def _endless_comments(argument: str) -> Effect:
    gap = _number("endless-comments", argument, 50, 3_600_000) / 1000
    return _endless(b"", Repeat(b": still here\n\n", gap))


def _endless(start: bytes, forever: Repeat) -> Effect:
    return _Transform(
        lambda response: replace(
            response,
            chunks=[*_first_half(response), *filter(None, [start])],
            repeat=forever,
            ending="complete",
        )
    )


def _first_half(response: SiteResponse) -> list[bytes]:
    return list(response.chunks[: len(response.chunks) // 2])


def _http_1_0(_argument: str) -> Effect:
    return _Transform(lambda response: replace(response, http_1_0=True))


def _broken(how: Literal["cut", "reset", "stall"]) -> Callable[[str], Effect]:
    def make(argument: str) -> Effect:
        interruption = Interruption(how, _break_position(how, argument))
        return _Transform(lambda response: replace(response, interruption=interruption))

    return make


def _break_position(name: str, argument: str) -> str | int:
    if argument[:1].isdigit():
        return _number(name, argument, 0, 2**31, least=0)
    if argument and argument not in BREAK_POSITIONS:
        known = ", ".join(BREAK_POSITIONS)
        raise InvalidRequestError(
            f"the fault {name} takes {known} or a number of bytes, not {argument!r}"
        )
    return argument or "line"


def _one_of(name: str, argument: str, default: str, known: Iterable[str]) -> str:
    choice = argument or default
    if choice not in known:
        raise InvalidRequestError(f"the fault {name} takes {', '.join(known)}, not {argument!r}")
    return choice


def _number(name: str, argument: str, default: int, most: int, *, least: int = 1) -> int:
    if not argument:
        return default
    if not (argument.isascii() and argument.isdigit() and len(argument) < _MOST_DIGITS):
        raise InvalidRequestError(f"the fault {name} takes a whole number, not {argument!r}")
    if not least <= int(argument) <= most:
        raise InvalidRequestError(
            f"the fault {name} takes a number from {least} to {most}, not {argument}"
        )
    return int(argument)


_OK = 200
_MOST_DIGITS = 20
_MEBIBYTE = b"x" * 2**20
_HTML = "text/html; charset=UTF-8"
_CHALLENGE_PAGE = (
    b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title></head><body>'
    b'<form id="challenge-form" action="/?__cf_chl_f_tk=replica" method="POST"></form>'
    b"<noscript>This page wants JavaScript and cookies.</noscript></body></html>"
)
_POSITION = "[:POSITION]"
_METHOD = "[:get|post]"


def _server_page(status: str) -> list[bytes]:
    title = f"<head><title>{status}</title></head>\r\n"
    body = f"<body>\r\n<center><h1>{status}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>"
    return [f"<html>\r\n{title}{body}\r\n</html>\r\n".encode()]


_FORBIDDEN = SiteResponse(_server_page("403 Forbidden"), "text/html", 403, "Forbidden")
_UNAUTHORIZED = SiteResponse(
    _server_page("401 Authorization Required"),
    "text/html",
    401,
    "Unauthorized",
    (("WWW-Authenticate", 'Basic realm="Staging"'),),
)
_ELSEWHERE = SiteResponse(_server_page("404 Not Found"), "text/html", 404, "Not Found")
_NOTHING = SiteResponse([], _HTML)
_ACTIVITY = SiteResponse(
    [
        (
            b'{"@context":["https:\\/\\/www.w3.org\\/ns\\/activitystreams"],"type":"Note",'
            b'"content":"\\u003Cp\\u003EWrite below; somebody reads it.\\u003C\\/p\\u003E"}'
        )
    ],
    "application/activity+json",
)

FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "stale-nonce",
        "[:PAGES]",
        "the first page, or that many, shows an expired nonce",
        lambda argument: _ExpiredNonce(_number("stale-nonce", argument, 1, 10**9)),
        ("page",),
        needs_nonces=True,
    ),
    FaultKind(
        "cached-page",
        "",
        "a page cache: every page shows the same expired nonce",
        lambda _: _ExpiredNonce(math.inf),
        ("page",),
        needs_nonces=True,
    ),
    FaultKind(
        "expiring-nonce",
        "[:ANSWERS]",
        "after each answer, or that many, the site's nonces have expired",
        lambda argument: _ExpiringNonce(_number("expiring-nonce", argument, 1, 10**9)),
        ("answer",),
        needs_nonces=True,
    ),
    FaultKind(
        "challenge",
        "[:body|header]",
        "403 with a page meant for a browser, its header, or both",
        _challenge,
    ),
    FaultKind("429", "[:SECONDS]", "429 with Retry-After", _refusal(429, "Too Many Requests")),
    FaultKind("503", "[:SECONDS]", "503 with Retry-After", _refusal(503, "Service Unavailable")),
    FaultKind(
        "redirect",
        "[:WHERE]",
        "302 to another path (path), the www. twin (www), https, another host (host), itself "
        "(loop), WordPress's login, or nowhere",
        _redirect,
    ),
    FaultKind(
        "guard",
        _METHOD,
        "403 and a page of something in front of the site; for that method alone, which is one of "
        "AIPKit's two steps",
        _for_method("guard", _FORBIDDEN),
    ),
    FaultKind(
        "empty",
        _METHOD,
        "200 and nothing at all; for that method alone, likewise",
        _for_method("empty", _NOTHING),
    ),
    FaultKind(
        "basic-auth",
        "[:USER:PASSWORD]",
        "401 without this user and password, visitor:tailrace unless given",
        _basic_auth,
        ("all", "page", "answer"),
    ),
    FaultKind(
        "cookie-guard",
        "",
        "pages set a cookie, and messages without it are 403",
        lambda _: _CookieGuard(),
        ("all",),
        needs_nonces=True,
    ),
    FaultKind(
        "json-page",
        "[:always]",
        "the plugin ActivityPub: the page as JSON for those who accept it, or always",
        _json_page,
        ("page",),
        needs_nonces=True,
    ),
    FaultKind(
        "plugin-off",
        "",
        "the chat plugin is off: the page shows its shortcode as text, and messages are 400",
        lambda _: _PluginOff(),
        ("all",),
        needs_nonces=True,
    ),
    FaultKind(
        "subfolder",
        "",
        f"WordPress is in the folder of the URL's faults, or in /{SUBFOLDER}, and nowhere else; "
        "the page's inline scripts are deferred, as base64",
        lambda _: _Subfolder(),
        ("all",),
        needs_nonces=True,
    ),
    FaultKind(
        "rest-closed",
        "[:forbidden]",
        "AI Engine: WordPress's REST API is closed to visitors, in a plugin's words or in its own",
        _own_fault("rest-closed", "plugin", "forbidden"),
        ("all",),
        is_own=True,
    ),
    FaultKind(
        "owner-refuses",
        "",
        "AI Engine: the owner's code lets no visitor ask: 401, with a valid nonce, too",
        _own_fault("owner-refuses"),
        ("all",),
        is_own=True,
    ),
    FaultKind(
        "chat-off",
        "",
        "AI Engine: its chatbot is off: the page shows its shortcode as text, and messages are 404",
        _own_fault("chat-off"),
        ("all",),
        is_own=True,
    ),
    FaultKind(
        "printed",
        "",
        "AI Engine: another plugin prints a byte order mark before the reply's head",
        _own_fault("printed"),
        ("all",),
        is_own=True,
    ),
    FaultKind(
        "maintenance",
        "",
        "AI Engine: the site is closed for a while: 503, for pages and as JSON",
        _own_fault("maintenance"),
        ("all", "page", "answer"),
        is_own=True,
    ),
    FaultKind("crlf", "", "lines end with CRLF", lambda _: _Transform(transforms.with_crlf)),
    FaultKind(
        "notices", "", "PHP notices, as HTML, before the reply", _prepend(transforms.NOTICES)
    ),
    FaultKind("blank", "", "blank lines before the reply", _prepend(transforms.BLANK_LINES)),
    FaultKind("bom", "", "a byte order mark before the reply", _prepend(transforms.BOM)),
    FaultKind(
        "html-before",
        "",
        "HTML of another plugin on the reply's first line",
        _prepend(transforms.HTML_ON_THE_LINE),
    ),
    FaultKind(
        "comment-behind",
        "",
        "a cache's comment behind the reply",
        _append(transforms.CACHE_COMMENT),
    ),
    FaultKind(
        "content-type",
        "[:TYPE]",
        "text/html for a Content-Type, another one, or none",
        _content_type,
    ),
    FaultKind("split", "[:BYTES]", "one byte a write, or that many", _split),
    FaultKind(
        "endless-line",
        "",
        "in the middle of the response a line begins that never ends",
        lambda _: _endless(b"data: ", Repeat(b"x" * 2**16)),
    ),
    FaultKind(
        "endless-comments",
        "[:MILLISECONDS]",
        "from the middle of the response on comments, 50 ms apart, or that many",
        _endless_comments,
    ),
    FaultKind(
        "gzip", "", "gzip, flushed at each chunk, for clients that accept it", _coded("gzip")
    ),
    FaultKind("br", "", "brotli, likewise", _coded("br")),
    FaultKind("zstd", "", "zstd, likewise", _coded("zstd")),
    FaultKind(
        "bomb",
        "[:MIB]",
        "from the middle of the response on one line of 64 MiB, or that many, gzipped to a 1000th",
        _bomb,
    ),
    FaultKind("http-1.0", "", "HTTP/1.0: the response ends with its connection", _http_1_0),
    FaultKind(
        "cut",
        _POSITION,
        "the connection is closed in mid-response, in a line or at that position",
        _broken("cut"),
    ),
    FaultKind("reset", _POSITION, "likewise, with a reset (RST)", _broken("reset")),
    FaultKind(
        "stall",
        _POSITION,
        "likewise, but the connection stays and nothing more comes",
        _broken("stall"),
    ),
)
