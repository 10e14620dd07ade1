"""Faults on demand: what goes wrong between a site and its visitors, on the site's side and on the
way.

A fault is written ``NAME[:ARGUMENT][@page|@answer|@all]``. It holds for answers to messages unless
it says otherwise. It is asked for in two ways: of a whole site (`Replica`), or by URL,
``/~fault/FAULT/`` in front of any path. A page asked for so names itself with that prefix, and a
message that names such a page, or is posted below the prefix, has the same fault; so it holds for
one visitor's requests and nobody else's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote, urlsplit

from aiohttp import web

from tailrace.errors import InvalidRequestError
from tailrace.replica import _outputs as outputs
from tailrace.replica._sending import PLACES, Break, Forever, send
from tailrace.replica._site import EXCHANGE, PREFIX, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailrace.replica._site import Site

Target = Literal["page", "answer", "all"]

MAX_FAULTS_OF_A_URL = 16
KEPT_URLS = 256
"""How many URLs' faults are remembered, those that count; past that the one asked for first begins
anew.
"""


class Effect:
    """What a fault does to one exchange.

    One that counts is made anew for each place it is asked for in.
    """

    def instead(self, request: web.Request) -> Reply | None:  # noqa: ARG002 - most let the site answer
        """Return what is answered in the site's place, which is then not asked."""
        return None

    def change(self, site: Site, reply: Reply) -> Reply:  # noqa: ARG002 - most need no site
        """Return what becomes of the site's reply."""
        return reply


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault as a table shows it; `argument` is how its argument is written, where it
    takes one.

    Of several faults together, those further up in `FAULTS` come first, whatever order they are
    asked for in.
    """

    name: str
    argument: str
    shows: str
    make: Callable[[str], Effect]
    targets: tuple[Target, ...] = ("answer", "page", "all")
    needs_nonces: bool = False

    @property
    def text(self) -> str:
        """How it is written."""
        return f"{self.name}{self.argument}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as it was asked for, and what it holds for."""

    text: str
    kind: FaultKind
    target: Target
    effect: Effect

    def holds_for(self, target: Target) -> bool:
        """Tell whether it holds for a page, or for an answer."""
        return self.target in (target, "all")


def parse_fault(text: str) -> Fault:
    """Read a fault; `InvalidRequestError` names what there is where one is unknown or its argument
    makes no sense.
    """
    written, _, target = text.partition("@")
    name, colon, argument = written.partition(":")
    kind = next((kind for kind in FAULTS if kind.name == name), None)
    if kind is None:
        raise InvalidRequestError(
            f"there is no fault {name!r}; there are {', '.join(kind.name for kind in FAULTS)}"
        )
    if colon and (not argument or not kind.argument):
        raise InvalidRequestError(f"the fault {name} is written {kind.text}, not {written!r}")
    holds_for = next((each for each in kind.targets if each == (target or kind.targets[0])), None)
    if holds_for is None:
        known = ", ".join(f"@{each}" for each in kind.targets)
        raise InvalidRequestError(f"the fault {name} holds for {known}, not for {f'@{target}'!r}")
    return Fault(text, kind, holds_for, kind.make(argument))


def parse_faults(texts: Iterable[str], site: Site) -> tuple[Fault, ...]:
    """Read faults for `site`, in the order they come in; `InvalidRequestError` also for one the
    site cannot have.
    """
    faults = [parse_fault(text) for text in texts]
    for fault in faults:
        if fault.kind.needs_nonces and site.nonces is None:
            raise InvalidRequestError(
                f"the fault {fault.kind.name} is not for {site.name}, which has no nonces"
            )
    return _ordered(faults)


def fault_path(texts: Iterable[str]) -> str:
    """Return the path that asks for faults, to stand in front of another."""
    return "".join(f"/{_FAULT}/{quote(text, safe=_PLAIN)}" for text in texts)


class FaultySite:
    """A site as it is reached: its faults, those a URL asks for, and the site behind them."""

    def __init__(self, site: Site, faults: Iterable[str] = ()) -> None:
        self.site = site
        self._faults = parse_faults(faults, site)
        self._of_urls: dict[tuple[str, ...], tuple[Fault, ...]] = {}

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that hold for the whole site."""
        return tuple(fault.text for fault in self._faults)

    def set_faults(self, texts: Iterable[str]) -> None:
        """Let these hold for the whole site from the next request on, and no others."""
        self._faults = parse_faults(texts, self.site)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer `request` with what is left of the site's reply; a URL that asks for no known
        fault is a 400.
        """
        try:
            request, faults = await self._asked(request)
        except InvalidRequestError as error:
            return web.Response(status=400, text=f"{error}\n")
        faults = _ordered((*self._faults, *faults))
        target: Target = "page" if self._is_page(request.path) else "answer"
        faults = tuple(fault for fault in faults if fault.holds_for(target))
        request[EXCHANGE].faults = tuple(fault.text for fault in faults)
        reply = await self._replaced(request, faults) or await self.site.answer(request)
        for fault in faults:
            reply = fault.effect.change(self.site, reply)
        return await send(request, reply, self.site.settings.stopping)

    async def _replaced(self, request: web.Request, faults: Iterable[Fault]) -> Reply | None:
        for fault in faults:
            reply = fault.effect.instead(request)
            if reply is not None:
                await request.read()  # a connection closed over unread bytes would be reset
                return reply
        return None

    async def _asked(self, request: web.Request) -> tuple[web.Request, tuple[Fault, ...]]:
        """Return the request as the site sees it, and the faults that its URL or the page it names
        asks for.
        """
        place = _read_path(request.rel_url.raw_path)
        if place.prefix:
            request = request.clone(
                rel_url=request.rel_url.with_path(place.path, encoded=True, keep_query=True)
            )
            request[PREFIX] = place.prefix
        else:
            place = _read_path(_path(await self.site.page_of(request)))
        return request, self._remembered(place.asked)

    def _remembered(self, texts: tuple[str, ...]) -> tuple[Fault, ...]:
        if texts not in self._of_urls:
            faults = parse_faults(texts, self.site)
            while len(self._of_urls) >= KEPT_URLS:
                del self._of_urls[next(iter(self._of_urls))]
            self._of_urls[texts] = faults
        return self._of_urls[texts]

    def _is_page(self, path: str) -> bool:
        return any(page.path in (path, f"{path}/") for page in self.site.pages)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a path says: the faults asked for, the path behind them, and all before that as links
    show it.
    """

    asked: tuple[str, ...] = ()
    prefix: str = ""
    path: str = "/"


def _read_path(path: str) -> _Place:
    asked: list[str] = []
    prefix = ""
    while True:
        _, first, *rest = path.split("/", 3) if path.startswith("/") else ("", "")
        if first == _FAULT and rest:
            asked.append(unquote(rest[0]))
            prefix += fault_path(asked[-1:])
            path = f"/{rest[1] if len(rest) > 1 else ''}"
        elif first == _MOVED:
            prefix += f"/{_MOVED}"
            path = f"/{'/'.join(rest)}"
        else:
            return _Place(tuple(asked), prefix, path)
        if len(asked) > MAX_FAULTS_OF_A_URL:
            raise InvalidRequestError(f"a URL may ask for {MAX_FAULTS_OF_A_URL} faults at most")


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # an endless bracket: no URL of ours
        return ""


def _ordered(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: FAULTS.index(fault.kind)))


_FAULT = "~fault"
_MOVED = "~moved"
_PLAIN = ":@"


# -- what replaces a reply -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Instead(Effect):
    reply: Reply

    def instead(self, request: web.Request) -> Reply | None:  # noqa: ARG002 - the same for all
        return self.reply


def _challenge(argument: str) -> Effect:
    shown = _one_of("challenge", argument, "both", ("both", "body", "header"))
    body = (
        b"<html><head><title>Forbidden</title></head></html>"
        if shown == "header"
        else _CHALLENGE_PAGE
    )
    headers = () if shown == "body" else (("cf-mitigated", "challenge"),)
    return _Instead(Reply([body], _HTML, 403, "Forbidden", headers))


def _refusal(status: int, reason: str) -> Callable[[str], Effect]:
    def make(argument: str) -> Effect:
        seconds = _number(str(status), argument, 30, 1_000_000)
        body = f"<html><head><title>{status} {reason}</title></head><body>Come back later.</body></html>\n"
        return _Instead(
            Reply([body.encode()], _HTML, status, reason, (("Retry-After", str(seconds)),))
        )

    return make


@dataclass(frozen=True, slots=True)
class _Redirect(Effect):
    where: str

    def instead(self, request: web.Request) -> Reply | None:
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
        }
        headers = [("Location", targets[self.where])] if self.where in targets else []
        return Reply([], _HTML, 302, "Found", headers)


def _redirect(argument: str) -> Effect:
    return _Redirect(
        _one_of("redirect", argument, "path", ("path", "www", "https", "host", "loop", "nowhere"))
    )


# -- nonces ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _ExpiredNonce(Effect):
    """The next `pages` pages show a nonce that is too old, always the same."""

    pages: float

    def change(self, site: Site, reply: Reply) -> Reply:
        if site.nonces is None or self.pages <= 0:
            return reply
        self.pages -= 1
        page = b"".join(reply.chunks).replace(
            site.nonces.current().encode(), site.nonces.expired().encode()
        )
        return replace(reply, chunks=list(outputs.blocks(page)))


@dataclass(slots=True)
class _ExpiringNonce(Effect):
    """After each `answers` answers no nonce shown so far is good any more."""

    answers: int
    given: int = 0

    def change(self, site: Site, reply: Reply) -> Reply:
        if site.nonces is not None and reply.status == _OK:
            self.given += 1
            if self.given % self.answers == 0:
                site.nonces.expire()
        return reply


# -- what becomes of a reply -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Changed(Effect):
    made: Callable[[Reply], Reply]

    def change(self, site: Site, reply: Reply) -> Reply:  # noqa: ARG002 - the same at every site
        return self.made(reply)


def _preceded(debris: bytes) -> Callable[[str], Effect]:
    return lambda _: _Changed(lambda reply: outputs.preceded(reply, debris))


def _split(argument: str) -> Effect:
    size = _number("split", argument, 1, 2**20)
    return _Changed(lambda reply: outputs.split(reply, size))


def _coded(coding: str) -> Callable[[str], Effect]:
    return lambda _: _Changed(lambda reply: replace(reply, coding=coding))


def _content_type(argument: str) -> Effect:
    said = argument or "text/html"
    if not said.isascii() or not said.isprintable():
        raise InvalidRequestError("the fault content-type takes visible ASCII characters")
    return _Changed(lambda reply: replace(reply, content_type=None if said == "none" else said))


def _bomb(argument: str) -> Effect:
    mebibytes = _number("bomb", argument, 64, 4096)
    return _Changed(
        lambda reply: replace(
            reply, chunks=[*_begun(reply), b"data: ", *[_MEBIBYTE] * mebibytes], coding="gzip"
        )
    )


def _endless_comments(argument: str) -> Effect:
    gap = _number("endless-comments", argument, 50, 3_600_000) / 1000
    return _endless(b"", Forever(b": still here\n\n", gap))


def _endless(begins: bytes, forever: Forever) -> Effect:
    return _Changed(
        lambda reply: replace(
            reply, chunks=[*_begun(reply), *filter(None, [begins])], forever=forever, ends="cleanly"
        )
    )


def _begun(reply: Reply) -> list[bytes]:
    return list(reply.chunks[: len(reply.chunks) // 2])


def _http_1_0(_argument: str) -> Effect:
    return _Changed(lambda reply: replace(reply, http_1_0=True))


def _broken(how: Literal["cut", "reset", "stall"]) -> Callable[[str], Effect]:
    def make(argument: str) -> Effect:
        place = _place(how, argument)
        return _Changed(lambda reply: replace(reply, breaks=Break(how, place)))

    return make


def _place(name: str, argument: str) -> str | int:
    if argument[:1].isdigit():
        return _number(name, argument, 0, 2**31, least=0)
    if argument and argument not in PLACES:
        raise InvalidRequestError(
            f"the fault {name} takes {', '.join(PLACES)} or a number of bytes, not {argument!r}"
        )
    return argument or "line"


def _one_of(name: str, argument: str, default: str, known: Iterable[str]) -> str:
    given = argument or default
    if given not in known:
        raise InvalidRequestError(f"the fault {name} takes {', '.join(known)}, not {argument!r}")
    return given


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
_PLACES = "[:PLACE]"

FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "stale-nonce",
        "[:PAGES]",
        "the first page, or as many as said, shows an expired nonce",
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
        "after each answer, or as many as said, the site's nonces have expired",
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
        "302 to another path (path), the www. twin (www), https, another host (host), itself (loop), or nowhere",
        _redirect,
    ),
    FaultKind("crlf", "", "lines end with CRLF", lambda _: _Changed(outputs.with_crlf)),
    FaultKind("notices", "", "PHP notices, as HTML, before the reply", _preceded(outputs.NOTICES)),
    FaultKind("blank", "", "blank lines before the reply", _preceded(outputs.BLANK_LINES)),
    FaultKind("bom", "", "a byte order mark before the reply", _preceded(outputs.BOM)),
    FaultKind(
        "content-type",
        "[:TYPE]",
        "text/html for a Content-Type, the one said, or none",
        _content_type,
    ),
    FaultKind("split", "[:BYTES]", "one byte a write, or as many as said", _split),
    FaultKind(
        "endless-line",
        "",
        "in the middle of the reply a line begins that never ends",
        lambda _: _endless(b"data: ", Forever(b"x" * 2**16)),
    ),
    FaultKind(
        "endless-comments",
        "[:MILLISECONDS]",
        "from the middle of the reply on comments, one each 50 ms or as said",
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
        "from the middle of the reply on one line of 64 MiB, or as said, gzipped to a thousandth",
        _bomb,
    ),
    FaultKind("http-1.0", "", "HTTP/1.0: the reply ends with its connection", _http_1_0),
    FaultKind(
        "cut",
        _PLACES,
        "the connection is closed in mid-reply, in a line or as said",
        _broken("cut"),
    ),
    FaultKind("reset", _PLACES, "likewise, with a reset (RST)", _broken("reset")),
    FaultKind(
        "stall",
        _PLACES,
        "likewise, but the connection stays and nothing more comes",
        _broken("stall"),
    ),
)
