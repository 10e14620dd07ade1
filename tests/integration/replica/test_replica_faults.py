"""Faults on demand, seen from the wire: their bytes, whom they hold for, and their end."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
from contextlib import suppress
from html.parser import HTMLParser
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import brotli  # type: ignore[import-untyped]
import pytest
from backports import zstd
from replica_client import ENDPOINT, exchange_bytes, http_post, page_nonce, signed
from yarl import URL

from tailrace.errors import InvalidRequestError
from tailrace.replica import FAULTS, Replica
from tailrace.replica._faults import KEPT_URLS, MAX_FAULTS_OF_A_URL
from tailrace.replica._response import BREAK_POSITIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = "/chat-stream/"


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as opened:
        yield opened


def get(path: str = PAGE, accept: str = "gzip") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: site.example\r\n"
        f"Accept-Encoding: {accept}\r\nConnection: close\r\n\r\n"
    ).encode()


def question() -> bytes:
    """A message to GeminiProChat."""
    return http_post(
        "/api/generate", json.dumps(signed("hi é", secret="")).encode(), "text/plain;charset=UTF-8"
    )


async def connect(replica: Replica, site: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = replica.url(site).removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def raw(replica: Replica, request: bytes, site: str = "ai-power") -> tuple[bytes, bool]:
    """All bytes that `request` brings, and whether they ended in a reset."""
    reader, writer = await connect(replica, site)
    writer.write(request)
    data = b""
    try:
        while piece := await reader.read(65536):
            data += piece
    except ConnectionResetError:
        return data, True
    finally:
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()
    return data, False


def unchunked(reply: bytes) -> bytes:
    """The body of whole HTTP chunks; one that is begun and not whole fails."""
    data = reply.partition(b"\r\n\r\n")[2]
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        assert data[length : length + 2] == b"\r\n"
        body, data = body + data[:length], data[length + 2 :]
    return body


# -- what goes over the wire -----------------------------------------------------------------------


async def test_where_a_reply_is_cut(replica: Replica) -> None:
    async def sent(position: str) -> bytes:
        replica.fault("ai-power", f"cut:{position}@page")
        data, was_reset = await raw(replica, get())
        assert not was_reset
        return data

    whole = unchunked(await sent("end"))
    assert whole.endswith(b"</html>\n")
    assert await sent("before-head") == b""
    head = await sent("head")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in head
    assert (await sent("body")).endswith(b"\r\n\r\n")
    assert unchunked(await sent("0")) == b""
    assert unchunked(await sent("1234")) == whole[:1234]
    assert re.search(rb'data-nonce="[0-9a-f]{3}\r\n$', await sent("tag"))
    line = unchunked(await sent("line"))
    assert whole.startswith(line)
    assert len(whole) // 4 < len(line) < len(whole) * 3 // 4
    assert re.search(rb"\r\n[0-9a-f]+$", await sent("chunk-size"))
    assert re.search(rb"\r\n2000\r\n[^\0]{4000,4100}$", await sent("chunk"))


async def test_a_cut_within_a_character(replica: Replica) -> None:
    replica.fault("geminiprochat", "cut:character")
    data, _ = await raw(replica, question(), "geminiprochat")
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        unchunked(data).decode()


@pytest.mark.parametrize("position", ["before-head", "head", "line", "chunk", "end"])
async def test_a_reset_is_one_and_comes_after_what_a_cut_sends(
    position: str, replica: Replica
) -> None:
    endings = []
    for how in ("cut", "reset"):
        replica.fault("geminiprochat", f"{how}:{position}")
        endings.append(await raw(replica, question(), "geminiprochat"))
    assert endings == [(endings[0][0], False), (endings[0][0], True)]
    assert [each.ended for each in replica.exchanges] == ["finished", "finished"]


async def test_http_1_0_has_neither_length_nor_chunks(replica: Replica) -> None:
    plain, _ = await raw(replica, get())
    replica.fault("ai-power", "http-1.0@page")
    data, was_reset = await raw(replica, get())
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert not re.search(rb"(?i)content-length|transfer-encoding", head)
    assert (body, was_reset) == (unchunked(plain), False)


@pytest.mark.parametrize(
    ("coding", "decode"),
    [("gzip", gzip.decompress), ("br", brotli.decompress), ("zstd", zstd.decompress)],
)
async def test_codings_are_for_those_who_accept_them(
    coding: str, decode: Any, replica: Replica
) -> None:
    plain, _ = await raw(replica, get())
    replica.fault("ai-power", f"{coding}@page")
    packed, _ = await raw(replica, get(accept=f"identity, {coding}"))
    assert f"Content-Encoding: {coding}\r\n".encode() in packed
    assert decode(unchunked(packed)) == unchunked(plain)
    refused, _ = await raw(replica, get(accept="identity"))
    assert b"Content-Encoding" not in refused
    assert unchunked(refused) == unchunked(plain)


async def test_one_byte_a_write(replica: Replica) -> None:
    replica.fault("geminiprochat", "split")
    data, _ = await raw(replica, question(), "geminiprochat")
    sizes = set(re.findall(rb"(?s)([0-9a-f]+)\r\n(?:.)\r\n", data.partition(b"\r\n\r\n")[2]))
    assert sizes == {b"1"}
    assert unchunked(data).decode().startswith("You asked")


async def test_a_bomb_is_small_on_the_wire(replica: Replica) -> None:
    replica.fault("geminiprochat", "bomb:8@page")
    data, _ = await raw(replica, get("/"), "geminiprochat")
    assert len(data) < 16 * 2**10
    assert len(gzip.decompress(unchunked(data))) > 8 * 2**20


async def test_statuses_and_their_headers(replica: Replica, session: aiohttp.ClientSession) -> None:
    async def reply(fault: str) -> aiohttp.ClientResponse:
        replica.fault("ai-power", f"{fault}@page")
        async with session.get(replica.url("ai-power") + PAGE) as found:
            await found.read()
            return found

    for fault, status, after in (
        ("429", 429, "30"),
        ("429:7", 429, "7"),
        ("503", 503, "30"),
        ("503:600", 503, "600"),
    ):
        found = await reply(fault)
        assert (found.status, found.headers["Retry-After"]) == (status, after)
    for fault, header, has_form in (
        ("challenge", "challenge", True),
        ("challenge:header", "challenge", False),
        ("challenge:body", None, True),
    ):
        found = await reply(fault)
        assert (found.status, found.headers.get("cf-mitigated")) == (403, header)
        assert ("challenge-form" in await found.text()) is has_form
    for fault, content_type in (("", "text/html"), (":a/b; c=d", "a/b; c=d"), (":none", None)):
        assert (await reply(f"content-type{fault}")).headers.get("Content-Type") == content_type


async def test_where_redirects_lead(replica: Replica, session: aiohttp.ClientSession) -> None:
    origin = replica.url("ai-power")
    host = origin.removeprefix("http://")
    for where, target in {
        "path": f"{origin}/~moved{PAGE}",
        "www": f"http://www.{host}{PAGE}",
        "https": f"https://{host}{PAGE}",
        "host": f"http://other.invalid{PAGE}",
        "loop": f"{origin}{PAGE}",
        "login": f"{origin}/wp-login.php?redirect_to=x",
        "nowhere": None,
    }.items():
        replica.fault("ai-power", f"redirect:{where}@page")
        async with session.get(origin + PAGE, allow_redirects=False) as reply:
            assert (reply.status, reply.headers.get("Location")) == (302, target)
    async with session.get(f"{origin}/~moved{PAGE}") as reply:
        assert reply.status == 200


async def test_what_guards_and_neighbours_answer(
    replica: Replica, session: aiohttp.ClientSession
) -> None:
    async def reply(
        fault: str, path: str = PAGE, headers: dict[str, str] | None = None, *, post: bool = False
    ) -> aiohttp.ClientResponse:
        replica.fault("ai-power", *fault.split())
        method = "POST" if post else "GET"
        async with session.request(
            method, replica.url("ai-power") + path, headers=headers
        ) as found:
            await found.read()
            return found

    guarded = await reply("guard", ENDPOINT, post=True)
    assert (guarded.status, guarded.content_type) == (403, "text/html")
    assert "<h1>403 Forbidden</h1>" in await guarded.text()
    assert (await reply("guard:get", ENDPOINT, post=True)).status == 400
    assert (await reply("guard:get", ENDPOINT)).status == 403
    assert await (await reply("empty", ENDPOINT, post=True)).text() == ""

    refused = await reply("basic-auth:me:let-me-in")
    assert (refused.status, "Basic" in refused.headers["WWW-Authenticate"]) == (401, True)
    known = {"Authorization": f"Basic {base64.b64encode(b'me:let-me-in').decode()}"}
    assert (await reply("basic-auth:me:let-me-in", headers=known)).status == 200

    assert (await reply("cookie-guard", ENDPOINT, post=True)).status == 403
    page = await reply("cookie-guard")
    assert page.headers["Set-Cookie"] == "visitor_ok=1; Path=/"
    knows = {"Cookie": "visitor_ok=1"}
    assert (await reply("cookie-guard", ENDPOINT, knows, post=True)).status == 400

    for fault, accept, content_type in (
        ("json-page", "text/html", "text/html"),
        ("json-page", "text/html, application/json", "application/activity+json"),
        ("json-page:always", "text/html", "application/activity+json"),
    ):
        assert (await reply(fault, headers={"Accept": accept})).content_type == content_type

    page = await reply("plugin-off")
    assert "<p>[wpaicg_chatgpt]</p>" in await page.text()
    assert "data-nonce" not in await page.text()
    assert (await reply("plugin-off", ENDPOINT, post=True)).status == 400


async def test_a_subfolder_is_the_only_place_of_its_site(
    replica: Replica, session: aiohttp.ClientSession
) -> None:
    origin = replica.url("ai-power")
    replica.fault("ai-power", "subfolder")
    for path, status in ((PAGE, 404), (ENDPOINT, 404), (f"/blog{PAGE}", 200)):
        async with session.get(origin + path) as reply:
            assert reply.status == status
            page = await reply.text()
    assert "admin-ajax" not in page
    assert f'<link rel="https://api.w.org/" href="{origin}/blog/wp-json/" />' in page
    scripts = re.findall(r'src="data:text/javascript;base64,([^"]+)" defer', page)
    sources = [base64.b64decode(each).decode() for each in scripts]
    assert any(f"{origin}/blog{ENDPOINT}".replace("/", "\\/") in each for each in sources)


# -- whom a fault holds for ------------------------------------------------------------------------


async def test_a_page_names_itself_and_its_endpoint_with_its_faults(
    replica: Replica, session: aiohttp.ClientSession
) -> None:
    url = replica.page("ai-power", "stream", "bom", "content-type:text/html", "429:5")
    prefix = "/~fault/bom/~fault/content-type:text%2Fhtml/~fault/429:5"
    assert url == f"{replica.url('ai-power')}{prefix}{PAGE}"
    async with session.get(url) as reply:
        page = await reply.text()
    assert f'data-url="{url.rstrip("/")}"' in page
    assert f"{prefix}{ENDPOINT}".replace("/", "\\/") in page
    form = {
        "_wpnonce": await page_nonce(session, replica),
        "action": "wpaicg_chat_shortcode_message",
        "message": "hi",
        "bot_id": "4",
    }
    origin = replica.url("ai-power")
    for endpoint, page_url, status in (
        (f"{origin}{ENDPOINT}", origin + PAGE, 200),
        (f"{origin}{ENDPOINT}", url, 429),
        (f"{origin}{prefix}{ENDPOINT}", origin + PAGE, 429),
        (f"{origin}{ENDPOINT}", "http://[", 200),
    ):
        async with session.post(endpoint, data=form | {"url": page_url}) as reply:
            assert reply.status == status


async def test_a_site_that_was_healed_is_well(
    replica: Replica, session: aiohttp.ClientSession
) -> None:
    replica.fault("ai-power", "503@all", "bom@page")
    assert [site.faults for site in replica.sites[:2]] == [("503@all", "bom@page"), ()]
    for faults, status in ((("503@all",), 503), (("503@page",), 503), (("503",), 200), ((), 200)):
        replica.fault("ai-power", *faults)
        async with session.get(replica.url("ai-power") + PAGE) as reply:
            assert reply.status == status


async def test_a_fault_may_happen_to_a_share_of_exchanges(session: aiohttp.ClientSession) -> None:
    async with Replica(faults=["503@all%25"], random=Random(7)) as replica:
        expected = Random(7)
        for path in (PAGE, f"/~fault/gzip%25100{PAGE}") * 20:
            async with session.get(URL(replica.url("ai-power") + path, encoded=True)) as reply:
                assert reply.status == (503 if expected.random() < 0.25 else 200)


async def test_faults_of_a_replica_are_for_every_site_that_can_have_them() -> None:
    async with Replica(faults=["cached-page", "gzip@all"]) as replica:
        found = {site.name: site.faults for site in replica.sites}
    assert found["ai-power"] == ("cached-page", "gzip@all")
    assert found["geminiprochat"] == ("gzip@all",)


async def test_a_url_that_counts_is_remembered_and_forgotten(
    replica: Replica, session: aiohttp.ClientSession
) -> None:
    async def nonce(faults: str) -> str:
        async with session.get(f"{replica.url('ai-power')}/~fault/{faults}{PAGE}") as reply:
            found = re.search(r'\n     data-nonce="([0-9a-f]{10})"\n', await reply.text())
        assert found is not None
        return found[1]

    fresh = await page_nonce(session, replica)
    assert (await nonce("stale-nonce") == fresh, await nonce("stale-nonce") == fresh) == (
        False,
        True,
    )
    others = [
        f"HEAD /~fault/split:{number + 1}/x HTTP/1.1\r\nHost: site.example\r\n"
        f"Connection: {'close' if number == KEPT_URLS - 1 else 'keep-alive'}\r\n\r\n".encode()
        for number in range(KEPT_URLS)
    ]
    replies = await exchange_bytes(replica.url("ai-power"), *others)
    assert replies.count(b"HTTP/1.1 404 ") == KEPT_URLS
    assert (await nonce("stale-nonce") == fresh, await nonce("stale-nonce") == fresh) == (
        False,
        True,
    )


BAD = {
    "nonsense": "no fault 'nonsense' .tailrace replica --list tells of each.; there are stale-no",
    "": "no fault ''",
    "gzip:9": "is written gzip",
    "429:": r"is written 429\[:SECONDS\]",
    "429:soon": "takes a whole number, not 'soon'",
    "429:-1": "whole number",
    "429:0": "a number from 1 to 1000000",
    "429:٣": "whole number",
    f"429:{'9' * 30}": "whole number",
    "split:0": "from 1",
    "cut:nowhere": "takes before-head, head, body",
    "cut:٣": "whole number",
    "redirect:up": "takes path, www, https, host, loop, login, nowhere, not 'up'",
    "challenge:maybe": "takes both, body, header",
    "content-type:a\r\nb": "visible ASCII",
    "content-type:é": "visible ASCII",
    "gzip@mail": "holds for @answer, @page, @all, not for '@mail'",
    "cached-page@answer": "holds for @page, not for '@answer'",
    "gzip%0": "above %0 and at most %100, not %0",
    "gzip@page%101": "at most %100, not %101",
    "gzip%many": "there is no fault",
}


@pytest.mark.parametrize("fault", BAD)
async def test_a_fault_that_is_none(
    fault: str, replica: Replica, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(InvalidRequestError, match=BAD[fault]):
        Replica(faults=[fault])
    with pytest.raises(InvalidRequestError, match=BAD[fault]):
        replica.fault("ai-power", fault)
    with pytest.raises(InvalidRequestError, match=BAD[fault]):
        replica.page("ai-power", "stream", fault)
    url = f"{replica.url('ai-power')}/~fault/{quote(fault, safe=':@')}/"
    async with session.get(URL(url, encoded=True)) as reply:
        assert reply.status == 400
        assert re.search(BAD[fault], await reply.text())
    assert replica.exchanges.failed == 0


async def test_more_faults_than_a_url_may_ask_for(
    replica: Replica, session: aiohttp.ClientSession
) -> None:
    for count, status in ((MAX_FAULTS_OF_A_URL, 200), (MAX_FAULTS_OF_A_URL + 1, 400)):
        async with session.get(replica.url("ai-power") + "/~fault/gzip" * count + PAGE) as reply:
            assert reply.status == status


async def test_a_site_without_nonces_has_none_that_expire(
    replica: Replica, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(InvalidRequestError, match="not for geminiprochat, which has no nonces"):
        replica.fault("geminiprochat", "cached-page")
    async with session.get(f"{replica.url('geminiprochat')}/~fault/cached-page/") as reply:
        assert (reply.status, await reply.text()) == (
            400,
            "the fault cached-page is not for geminiprochat, which has no nonces\n",
        )


# -- the end of a replica --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        *(["stall:" + position] for position in BREAK_POSITIONS),
        ["endless-line"],
        ["endless-line", "http-1.0"],
        ["endless-line", "gzip"],
        ["endless-comments"],
        ["bomb:4096"],
    ],
    ids=" ".join,
)
async def test_what_never_ends_ends_with_the_replica_or_the_client(faults: list[str]) -> None:
    # Nobody reads the bytes that are sent.
    before = asyncio.all_tasks()
    async with Replica(
        faults=[f"{fault}@all" for fault in faults], shutdown_timeout=0.05
    ) as replica:
        connections = [await connect(replica, "geminiprochat") for _ in range(2)]
        for _, writer in connections:
            writer.write(get("/"))
        while replica.exchanges.open < 2:
            await replica.exchanges.changed()
        (_, leaving), (staying, stays) = connections
        leaving.transport.abort()
        while replica.exchanges.open > 1:
            await replica.exchanges.changed()
    assert (replica.exchanges.open, replica.exchanges.aborted, replica.exchanges.failed) == (
        0,
        2,
        0,
    )
    with suppress(ConnectionResetError):
        while await staying.read(2**20):
            pass
    stays.close()
    with suppress(ConnectionResetError):
        await stays.wait_closed()
    assert asyncio.all_tasks() == before


# -- the index page -------------------------------------------------------------------------------


class IndexPage(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.codes: list[str] = []
        self.tags: set[str] = set()
        self._in_code = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_code = tag == "code"
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.codes.append(data)
        self._in_code = False


async def test_every_site_has_the_index_page(
    replica: Replica, session: aiohttp.ClientSession
) -> None:
    replica.fault("ai-power", "content-type:<script>&amp;")
    pages = set()
    for site in replica.sites:
        async with session.get(f"{site.url}/~replica") as reply:
            assert (reply.status, reply.content_type) == (200, "text/html")
            pages.add(await reply.text())
    assert len(pages) == 1
    index = IndexPage()
    index.feed(pages.pop())
    assert index.links == [
        url for site in replica.sites for url in (site.url, *(page.url for page in site.pages))
    ]
    for text in (
        *(f"[[{marker.name}]]" for site in replica.sites for marker in site.markers),
        *BREAK_POSITIONS,
    ):
        assert text in index.codes
    for kind in FAULTS:
        assert f"{kind.text} @{' @'.join(kind.targets)}" in index.codes
    assert "content-type:<script>&amp;" in index.codes
    assert "script" not in index.tags
