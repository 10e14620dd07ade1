"""The page's routes: what is sent, under which headers, and what a browser that has it already is
told.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from tailrace.gateway._web import page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STATIC = Path(page.__file__).parent / "static"
PATHS = [
    "/",
    *sorted(f"/static/{path.name}" for path in STATIC.iterdir() if path.name != "index.html"),
]


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    app.add_routes(page.routes())
    async with TestClient(TestServer(app)) as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
async def test_every_file_is_sent_under_the_same_headers(
    client: TestClient[web.Request, web.Application], path: str
) -> None:
    async with client.get(path) as reply:
        assert reply.status == 200
        assert await reply.read() == (STATIC / (Path(path).name or "index.html")).read_bytes()
        assert {name: reply.headers[name] for name in page.HEADERS} == page.HEADERS


async def test_the_policy_lets_nothing_in_from_elsewhere(
    client: TestClient[web.Request, web.Application],
) -> None:
    async with client.get("/") as reply:
        policy = dict(
            part.partition(" ")[::2]
            for part in reply.headers["Content-Security-Policy"].split("; ")
        )
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["X-DNS-Prefetch-Control"] == "off"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "dompurify",
    }


async def test_who_has_it_already_is_told_so(
    client: TestClient[web.Request, web.Application],
) -> None:
    async with client.get("/static/page.js") as reply:
        tag = reply.headers["ETag"]
    for known in (tag, f'"another", {tag}', "*"):
        async with client.get("/static/page.js", headers={"If-None-Match": known}) as reply:
            assert reply.status == 304
            assert await reply.read() == b""
            assert reply.headers["ETag"] == tag
            assert reply.headers["Content-Security-Policy"] == page.CONTENT_SECURITY_POLICY
    async with client.get("/static/page.js", headers={"If-None-Match": '"another"'}) as reply:
        assert reply.status == 200


@pytest.mark.parametrize(("accepted", "sent"), [("gzip", "gzip"), ("br", None), ("identity", None)])
async def test_it_is_compressed_for_those_who_accept_it(
    client: TestClient[web.Request, web.Application], accepted: str, sent: str | None
) -> None:
    async with client.get("/static/page.js", headers={"Accept-Encoding": accepted}) as reply:
        assert reply.headers.get("Content-Encoding") == sent
        assert reply.headers["Vary"] == "Accept-Encoding"
        assert await reply.read() == (STATIC / "page.js").read_bytes()


async def test_a_head_says_the_same_without_a_body(
    client: TestClient[web.Request, web.Application],
) -> None:
    async with client.head("/") as reply:
        assert reply.status == 200
        assert reply.content_type == "text/html"
        assert await reply.read() == b""


@pytest.mark.parametrize(
    "path", ["/static/", "/static/index.html", "/static/../page.py", "/static/%2e%2e/page.py"]
)
async def test_no_other_file_is_sent(
    client: TestClient[web.Request, web.Application], path: str
) -> None:
    url = client.make_url("/").join(URL(path, encoded=True))
    async with client.session.get(url) as reply:
        assert reply.status == 404


async def test_nothing_is_changed_through_the_page(
    client: TestClient[web.Request, web.Application],
) -> None:
    async with client.post("/", data=b"x") as reply:
        assert reply.status == 405
