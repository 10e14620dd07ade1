"""Servers that say again what they were sent as a secret, each in its own way, and what they said.

What a text gives away is judged here by other means than ours: it is decoded as its reader would.
"""

from __future__ import annotations

import base64
import html
import json
import re
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from loopback import Exchange

__all__ = ["ECHOES", "UNQUOTED", "Echo", "Echoing", "left_out", "secrets_of", "told"]

LEFT_OUT = "[secret]"
_SHORTEST = 6
_FIELDS = (
    *("_ajax_nonce", "_wpnonce", "nonce", "pass", "sign", "key", "client_id", "chatId"),
    *("session_id", "session", "conversation_uuid", "api_key"),
)


def secrets_of(exchange: Exchange) -> set[str]:
    """What a request holds that is nobody else's business."""
    found = [value for name, value in exchange.headers.items() if name in _HEADERS]
    for name in ("authorization", "proxy-authorization"):
        scheme, _, credentials = exchange.headers.get(name, "").partition(" ")
        found.append(credentials)
        if scheme == "Basic":
            found.append(base64.b64decode(credentials).decode().partition(":")[2])
    cookies = exchange.headers.get("cookie", "")
    found += [each.partition("=")[2] for each in cookies.split("; ")]
    fields = dict(parse_qsl(urlsplit(exchange.target).query))
    found += [value for name, value in {**fields, **_body(exchange)}.items() if name in _FIELDS]
    return {each for each in found if isinstance(each, str) and len(each) >= _SHORTEST}


_HEADERS = frozenset({"x-api-key", "api-key", "x-goog-api-key", "x-gate-token", "x-wp-nonce"})


def _body(exchange: Exchange) -> dict[str, Any]:
    text = exchange.body.decode()
    try:
        fields = json.loads(text)
    except ValueError:
        return dict(parse_qsl(text))
    return fields if isinstance(fields, dict) else {}


# -- what is told ----------------------------------------------------------------------------------


def told(error: BaseException, *more: str) -> list[str]:
    """Every text by which a caller meets an error, and `more` of them."""
    texts = [str(error), repr(error), *traceback.format_exception(error), *more]
    texts += map(str, error.args)
    for value in vars(error).values():
        if isinstance(value, tuple | list):
            for each in value:
                texts += told(each) if isinstance(each, BaseException) else [str(each)]
        texts += told(value) if isinstance(value, BaseException) else [str(value)]
    return texts


def left_out(secrets: set[str], texts: list[str]) -> bool:
    """Whether something was left out of the texts; fails where they give a secret away."""
    for text in texts:
        for reading in _readings(text):
            for secret in secrets:
                assert secret not in reading, f"{secret} is told: {text[:400]}"
    return any(LEFT_OUT in text for text in texts)


def _readings(text: str) -> Iterator[str]:
    """A text as it is, and as it is decoded, again and again."""
    for _ in range(3):
        yield text
        yield from _out_of_base64(text)
        text = _unescaped(html.unescape(unquote_plus(text)))


def _unescaped(text: str) -> str:
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    return re.sub(r"\\([\"'\\/])", r"\1", text)


def _out_of_base64(text: str) -> Iterator[str]:
    for run in re.findall(r"[A-Za-z0-9+/]{8,}", text):
        for start in range(4):
            whole = run[start : start + (len(run) - start) // 4 * 4]
            yield base64.b64decode(whole).decode("latin-1")


# -- the ways --------------------------------------------------------------------------------------


@dataclass
class Echo:
    """A reply that says again what came: by `status` and `body`, whose length is not told."""

    status: str
    body: bytes
    kind: str = "application/json"
    headers: list[str] = field(default_factory=list)
    by_bytes: bool = False

    async def send(self, exchange: Exchange) -> None:
        head = [f"HTTP/1.1 {self.status}", f"Content-Type: {self.kind}", *self.headers]
        head += ["Transfer-Encoding: chunked", "Connection: close", "", ""]
        await exchange.send("\r\n".join(head).encode())
        size = 1 if self.by_bytes else max(len(self.body), 1)
        for at in range(0, len(self.body), size):
            piece = self.body[at : at + size]
            await exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await exchange.send(b"0\r\n\r\n")
        exchange.writer.close()


def _lines(exchange: Exchange) -> str:
    """A request as a proxy's page of errors shows it."""
    headers = "\n".join(f"{name}: {value}" for name, value in exchange.headers.items())
    return f"{exchange.method} {exchange.target}\n{headers}\n\n{exchange.body.decode()}"


def _all(exchange: Exchange) -> str:
    return ", ".join(sorted(secrets_of(exchange)))


def _error(message: object, **more: object) -> bytes:
    fields = {"message": message, "type": "invalid_request_error", "status": "DENIED", **more}
    return json.dumps({"type": "error", "error": fields}).encode()


def _message(exchange: Exchange) -> Echo:
    return Echo("401 Unauthorized", _error(f"Incorrect API key provided: {_all(exchange)}."))


def _code(exchange: Exchange) -> Echo:
    return Echo("400 Bad Request", _error("no", code=_all(exchange)))


def _json_in_json(exchange: Exchange) -> Echo:
    return Echo("500 No", _error(json.dumps({"headers": exchange.headers, "at": exchange.target})))


def _page(exchange: Exchange) -> Echo:
    title = html.escape(f"502 for {_all(exchange)}")
    body = f"<html><title>{title}</title><pre>{html.escape(_lines(exchange))}</pre>"
    return Echo("502 Bad Gateway", body.encode(), "text/html")


def _page_for_an_answer(exchange: Exchange) -> Echo:
    return Echo("200 OK", f"<html><p>{html.escape(_all(exchange))}".encode(), "text/html")


def _escaped_in_a_url(exchange: Exchange) -> Echo:
    return Echo("500 No", _error(f"see https://x.example/?said={quote_plus(_all(exchange))}"))


def _escaped_twice(exchange: Exchange) -> Echo:
    return Echo("500 No", _error(quote(quote(_all(exchange), safe=""), safe="")))


def _base64(exchange: Exchange) -> Echo:
    said = [base64.b64encode(f"user{'x' * n}:{_all(exchange)}".encode()).decode() for n in range(3)]
    return Echo("500 No", _error(" ".join(said)))


def _by_bytes(exchange: Exchange) -> Echo:
    echo = _message(exchange)
    echo.by_bytes = True
    return echo


def _event(exchange: Exchange) -> Echo:
    body = b"event: error\ndata: " + _error(f"no key: {_all(exchange)}") + b"\n\n"
    return Echo("200 OK", body, "text/event-stream")


def _cut_event(exchange: Exchange) -> Echo:
    body = b"data: " + _error(f"no key: {_all(exchange)}")[:-9]
    return Echo("200 OK", body, "text/event-stream")


def _no_event(exchange: Exchange) -> Echo:
    return Echo("200 OK", f"data: {_all(exchange)}\n\n".encode(), "text/event-stream")


def _cut_messages(exchange: Exchange) -> Echo:
    """Messages too long, of which each secret would be cut at another place."""
    said = "; ".join(f"{'x' * n} {each} " for n, each in enumerate(sorted(secrets_of(exchange))))
    return Echo("500 No", _error(f"{'y' * 215} {said * 9}"))


def _redirect(exchange: Exchange) -> Echo:
    where = quote(_all(exchange), safe="")
    return Echo("302 Found", b"", headers=[f"Location: /{where}?key={where}"])


def _coding(exchange: Exchange) -> Echo:
    coding = re.sub("[^!-~]", "", _all(exchange)).replace(",", "-")
    return Echo("200 OK", b"x", headers=[f"Content-Encoding: {coding}"])


ECHOES: Mapping[str, Callable[[Exchange], Echo]] = {
    "message": _message,
    "code": _code,
    "json in json": _json_in_json,
    "a page of headers": _page,
    "a page for an answer": _page_for_an_answer,
    "escaped in a URL": _escaped_in_a_url,
    "escaped twice": _escaped_twice,
    "base64": _base64,
    "byte by byte": _by_bytes,
    "an event": _event,
    "half an event": _cut_event,
    "no event": _no_event,
    "cut": _cut_messages,
    "a redirect": _redirect,
    "a coding": _coding,
}
"""What a server answers that says all again, by the way it does so."""


UNQUOTED = frozenset({"a redirect", "a coding"})
"""Ways that an error need not quote."""


class Echoing:
    """A server's answers: a page to a GET, where there is one, and an echo to all else."""

    def __init__(self, echo: Callable[[Exchange], Echo], page: bytes = b"") -> None:
        self._echo = echo
        self._page = page
        self.secrets: set[str] = set()

    async def answer(self, exchange: Exchange) -> None:
        self.secrets |= secrets_of(exchange)
        if exchange.method == "GET" and self._page:
            port = exchange.headers["host"].rpartition(":")[2]
            page = re.sub(rb"1808[78]", port.encode(), self._page)  # of a page that was captured
            await exchange.send_reply(
                page, "Content-Type: text/html", "Set-Cookie: seen=crumb-of-the-site"
            )
            return
        await self._echo(exchange).send(exchange)
