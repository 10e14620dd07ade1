"""The gateway's admission, tried with real sockets: what is refused, and what is never repeated."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import brotli  # type: ignore[import-untyped] # it has no types
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from gateway_app import made
from gateway_sockets import (
    KEYS,
    MODEL,
    OTHER_SECRET,
    SECRET,
    HeldSite,
    Served,
    ask,
    gateway_of,
    get,
    head,
    held_site,
    post,
    read_answer,
    read_head,
    until,
)

from tailrace.gateway._door.admission import MAX_QUERY_FIELDS
from tailrace.providers import WordPressChatProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

OPENED = "https://app.example"
AUTHORIZED = f"Authorization: Bearer {SECRET}"
PREFLIGHT = "Access-Control-Request-Method: POST"


def zstd(data: bytes) -> bytes:
    from backports import zstd as library  # noqa: PLC0415 - named as in the standard library since 3.14

    compressed: bytes = library.compress(data)
    return compressed


@pytest.fixture
async def site() -> AsyncIterator[HeldSite]:
    async with held_site() as held:
        held.let_go.set()
        yield held


@pytest.fixture
async def guarded(site: HeldSite) -> AsyncIterator[Served]:
    """With keys, one opened origin and a small limit for bodies."""
    options: dict[str, Any] = {
        "keys": KEYS,
        "cors_origins": (OPENED,),
        "allowed_hosts": ("chat.example:8443",),
    }
    async with gateway_of([site.provider()], max_body_bytes=100_000, **options) as served:
        yield served


@pytest.fixture
async def local(site: HeldSite) -> AsyncIterator[Served]:
    """As it is without any option: on loopback, without keys."""
    async with gateway_of([site.provider()]) as served:
        yield served


# -- keys ------------------------------------------------------------------------------------------


REFUSED = [
    None,
    "Authorization: ",
    "Authorization: Bearer",
    "Authorization: Bearer wrong-key-wrong-key",
    f"Authorization: Basic {SECRET}",
    f"Authorization: {SECRET}",
    f"Authorization: Bearer {SECRET}x",
    f"Authorization: Bearer {SECRET[:-1]}",
    f"Authorization: Bearer {SECRET.upper()}",
    f"Authorization: Bearer {SECRET}, Bearer {SECRET}",
    f"Authorization: Bearer {SECRET}\r\nAuthorization: Bearer {SECRET}",
    f"Authorization: Bearer {SECRET}\r\nx-api-key: wrong-key-wrong-key",
    f"Authorization: Bearer {SECRET}\r\nx-api-key: {OTHER_SECRET}",
    f"Authorization: Bearer {SECRET}\r\nx-api-key: ",
    f"Authorization: Bearer wrong-key-wrong-key\r\nx-api-key: {SECRET}",
    f"x-api-key: {SECRET}\r\nx-api-key: {OTHER_SECRET}",
    "x-api-key: ",
    "Authorization: Bearer \u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9",
]


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/nothing", "/live", "/metrics", "/nothing", "/v1"]
)
async def test_without_a_key_there_is_nothing(guarded: Served, path: str) -> None:
    for authorization in REFUSED:
        answer = await ask(guarded.port, get(path, *([authorization] if authorization else [])))
        assert answer.status in {400, 401}
        if answer.status == 401:
            assert (answer.headers["www-authenticate"], answer.error["code"]) == (
                "Bearer",
                "invalid_api_key",
            )
        assert SECRET.encode() not in answer.body


async def test_a_key_opens(guarded: Served) -> None:
    for line in (
        AUTHORIZED,
        f"authorization: bearer {OTHER_SECRET}",
        f"Authorization: Bearer  {SECRET}",
        f"x-api-key: {SECRET}",
        f"{AUTHORIZED}\r\nx-api-key: {SECRET}",
    ):
        answer = await ask(guarded.port, get("/v1/models", line))
        assert (answer.status, json.loads(answer.body)["object"]) == (200, "list")


async def test_whether_it_lives_is_no_secret(guarded: Served) -> None:
    for path in ("/health", "/ready"):
        assert (await ask(guarded.port, get(path))).status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/live", "/v1/chat/completions"])
async def test_a_key_in_the_url_is_refused(guarded: Served, path: str) -> None:
    for query in (
        f"api_key={SECRET}",
        "API_KEY=x",
        "key=",
        f"access_token={SECRET}",
        f"x={SECRET}",
        f"x={SECRET.replace('-', '%2D')}",
        f"a=1&b=2&x={OTHER_SECRET}",
    ):
        answer = await ask(guarded.port, get(f"{path}?{query}", AUTHORIZED))
        assert (answer.status, answer.error["code"]) == (400, "key_in_url")
        for secret in (SECRET, OTHER_SECRET):
            assert secret.encode() not in answer.body


async def test_a_query_has_an_end(guarded: Served) -> None:
    for count, status in ((MAX_QUERY_FIELDS, 200), (MAX_QUERY_FIELDS + 1, 400)):
        query = "&".join(f"p{number}=1" for number in range(count))
        assert (await ask(guarded.port, get(f"/v1/models?{query}", AUTHORIZED))).status == status


@pytest.mark.parametrize("version", ["2.0", "3.0", "1.2", "0.9"])
async def test_another_version_of_http_is_refused(guarded: Served, version: str) -> None:
    request = get("/v1/models", AUTHORIZED).replace(b"HTTP/1.1", f"HTTP/{version}".encode())
    answer = await ask(guarded.port, request)
    assert answer.status in {400, 505}
    if version == "2.0":
        assert (answer.status, answer.error["code"]) == (505, "unsupported_http_version")


# -- Host and Origin -------------------------------------------------------------------------------


async def test_its_own_names_are_answered(guarded: Served) -> None:
    for host in (
        "127.0.0.1",
        "localhost",
        "LocalHost:8780",
        "127.0.0.1:1",
        "[::1]:8780",
        "CHAT.example:8443",
    ):
        assert (await ask(guarded.port, get("/health", host=host))).status == 200
        assert (await ask(guarded.port, get(f"http://{host}/health", host=host))).status == 200


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/"])
async def test_any_other_name_is_not(guarded: Served, path: str) -> None:
    for host in (
        "rebound.example",
        "127.0.0.1.rebound.example",
        "localhost.rebound.example:8780",
        "chat.example",
        "chat.example:8444",
        "",
        "127.0.0.1:8780:8780",
        "127.0.0.1@rebound.example",
        "192.0.2.1",
        "localhost.",
    ):
        answer = await ask(guarded.port, get(path, AUTHORIZED, host=host))
        assert answer.status in {400, 421}
        assert b"rebound" not in answer.body
        if answer.status == 421:
            assert answer.error["code"] == "unknown_host"


async def test_two_hosts_and_none_are_no_host(local: Served) -> None:
    for request in (
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.0\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: rebound.example\r\n\r\n",
        b"GET http://rebound.example/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ):
        assert (await ask(local.port, request)).status in {400, 421}


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/chat/completions", "/live", "/health", "/metrics"]
)
async def test_pages_of_other_origins_may_not_ask(guarded: Served, path: str) -> None:
    for origin in (
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
        "http://app.example",
        "https://APP.example",
        "file://",
    ):
        answer = await ask(guarded.port, get(path, AUTHORIZED, f"Origin: {origin}"))
        assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in answer.headers


async def test_nor_does_a_preflight_help_them(guarded: Served) -> None:
    answer = await ask(
        guarded.port, head("OPTIONS", "/v1/models", "Origin: https://evil.example", PREFLIGHT)
    )
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_cors_is_closed_unless_opened(local: Served) -> None:
    answer = await ask(local.port, head("OPTIONS", "/v1/models", f"Origin: {OPENED}", PREFLIGHT))
    assert answer.status == 403
    assert "vary" not in answer.headers


async def test_an_opened_origin_may_ask(guarded: Served) -> None:
    wanted = (
        "Access-Control-Request-Headers: authorization, content-type, x-stainless-os, bad\theader"
    )
    answer = await ask(
        guarded.port,
        head("OPTIONS", "/v1/chat/completions", f"Origin: {OPENED}", PREFLIGHT, wanted),
    )
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == OPENED
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert (
        answer.headers["access-control-allow-headers"]
        == "authorization, content-type, x-stainless-os"
    )
    assert "access-control-allow-credentials" not in answer.headers
    for request in (
        get("/v1/models", AUTHORIZED, f"Origin: {OPENED}"),
        post(None, AUTHORIZED, f"Origin: {OPENED}"),
    ):
        answer = await ask(guarded.port, request)
        assert answer.status == 200
        assert (answer.headers["access-control-allow-origin"], answer.headers["vary"]) == (
            OPENED,
            "Origin",
        )
    answer = await ask(guarded.port, get("/v1/models", f"Origin: {OPENED}"))
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, OPENED)


async def test_its_own_page_may_ask(local: Served) -> None:
    own = f"127.0.0.1:{local.port}"
    for origin in (f"http://{own}", f"https://{own}"):
        assert (
            await ask(local.port, get("/v1/models", f"Origin: {origin}", host=own))
        ).status == 200
    answer = await ask(
        local.port, get("/v1/models", f"Origin: http://127.0.0.1:{local.port + 1}", host=own)
    )
    assert answer.status == 403


@pytest.mark.parametrize(
    ("site_said", "status"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)],
)
async def test_an_image_of_another_page_is_no_request(
    local: Served, site_said: str, status: int
) -> None:
    assert (
        await ask(local.port, get("/v1/models", f"Sec-Fetch-Site: {site_said}"))
    ).status == status
    assert (await ask(local.port, get("/health", f"Sec-Fetch-Site: {site_said}"))).status == 200


# -- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
async def test_only_json_is_read(local: Served, site: HeldSite, kind: str) -> None:
    answer = await ask(local.port, post(None, content_type=kind))
    assert (answer.status, answer.error["code"]) == (415, "unsupported_content_type")
    assert site.asked == []


@pytest.mark.parametrize("encoding", ["compress", "gzip, gzip", "aes128gcm", "snappy"])
async def test_unknown_encodings_are_refused(local: Served, encoding: str) -> None:
    answer = await ask(local.port, post(b"x", f"Content-Encoding: {encoding}"))
    assert (answer.status, answer.error["code"]) == (415, "unsupported_content_encoding")


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,  # the same, says RFC 9110, 8.4.1.3
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstd,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_compressed_body_is_read(guarded: Served, encoding: str) -> None:
    body = json.dumps(
        {"model": "held/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    ).encode()
    answer = await ask(
        guarded.port, post(ENCODINGS[encoding](body), AUTHORIZED, f"Content-Encoding: {encoding}")
    )
    assert answer.status == 200
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "first last"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_a_byte_order_mark_is_no_part_of_a_body(
    guarded: Served, site: HeldSite, path: str
) -> None:
    site.let_go.set()
    question = {"messages": [{"role": "user", "content": "hello"}], "input": "hello"}
    name = "input" if path.endswith("responses") else "messages"
    body = json.dumps({"model": "held/gpt-4o", name: question[name]}).encode()
    answer = await ask(guarded.port, post(b"\xef\xbb\xbf" + body, AUTHORIZED, path=path))
    assert (answer.status, b"first last" in answer.body) == (200, True)


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_bomb_is_counted_while_it_is_decompressed(
    guarded: Served, site: HeldSite, encoding: str
) -> None:
    bomb = ENCODINGS[encoding](b" " * 60_000_000)
    assert len(bomb) < 100_000  # which its Content-Length alone would not refuse
    tracemalloc.start()
    try:
        answer = await ask(guarded.port, post(bomb, AUTHORIZED, f"Content-Encoding: {encoding}"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert peak < 2_000_000  # the limit, what came compressed, and the piece that was too much
    assert site.asked == []


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_body_that_is_not_what_it_says_is_refused(
    guarded: Served, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    for body in (b"not compressed at all", ENCODINGS[encoding](b"x" * 1000)[:-12]):
        answer = await ask(guarded.port, post(body, AUTHORIZED, f"Content-Encoding: {encoding}"))
        assert answer.status == 400
    await until(lambda: guarded.gateway.context.request_figures.connections == 0)
    assert "Traceback" not in caplog.text


async def test_a_refusal_that_has_read_all_keeps_the_connection(guarded: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    for body, status in ((b"{}", 400), (b"not json", 400), (None, 200)):
        writer.write(post(body, AUTHORIZED))
        assert (await read_answer(reader)).status == status
    writer.close()


async def test_a_large_body_is_refused_by_its_length_and_by_its_bytes(guarded: Served) -> None:
    declared = head(
        "POST",
        "/v1/chat/completions",
        AUTHORIZED,
        "Content-Type: application/json",
        "Content-Length: 100001",
    )
    chunked = head(
        "POST",
        "/v1/chat/completions",
        AUTHORIZED,
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
    )
    for request in (declared, chunked + b"1E000\r\n" + b" " * 0x1E000):
        answer = await ask(guarded.port, request)
        assert (answer.status, answer.error["code"]) == (413, "body_too_large")


async def test_a_body_is_asked_for_only_of_those_let_in(guarded: Served) -> None:
    """A client that expects 100-continue sends its body after it: a refused one never has to."""
    expects = "Expect: 100-continue"
    for lines, status, code in (
        ((expects,), 401, "invalid_api_key"),
        ((AUTHORIZED, "Expect: a miracle"), 417, "expectation"),
    ):
        answer = await ask(guarded.port, post(None, *lines))
        assert (answer.status, answer.error["code"]) == (status, code)
        assert b"miracle" not in answer.body
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    request = post(None, AUTHORIZED, expects)
    start, body = request.split(b"\r\n\r\n")
    writer.write(start + b"\r\n\r\n")
    assert (await read_head(reader))[0] == 100
    writer.write(body)
    answer = await read_answer(reader)
    assert (answer.status, answer.body.endswith(b"data: [DONE]\n\n")) == (200, True)
    writer.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "GET", "BREW"])
async def test_other_methods_are_refused(guarded: Served, method: str) -> None:
    answer = await ask(guarded.port, head(method, "/v1/chat/completions", AUTHORIZED))
    assert answer.status in {400, 405}
    assert "code" in answer.error
    answer = await ask(guarded.port, head("POST", "/health", "Content-Length: 0"))
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


async def test_a_head_of_what_never_ends_is_refused(guarded: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    writer.write(head("HEAD", "/live", AUTHORIZED))
    status, _ = await read_head(reader)
    assert status == 405
    writer.close()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization : Bearer "
        + SECRET.encode()
        + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        head("POST", "/v1/models", "Content-Length: 5", "Transfer-Encoding: chunked"),
        b"POST /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_without_repeating_it(
    local: Served, rubbish: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await assert_refused(local, rubbish, (400, "bad_request"), caplog)


@pytest.mark.parametrize(
    "long",
    [
        b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + SECRET.encode() * 2000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
async def test_a_line_of_the_head_that_is_too_long_is_named_so(
    local: Served, long: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await assert_refused(local, long, (431, "header_too_large"), caplog)


async def assert_refused(
    local: Served, sent: bytes, refusal: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    reader, writer = await asyncio.open_connection("127.0.0.1", local.port)
    writer.write(sent)
    answer = await read_answer(reader)
    assert (answer.status, answer.error["code"]) == refusal
    assert await reader.read() == b""
    writer.close()
    for said in (answer.body.decode(), caplog.text):
        assert SECRET not in said
        assert "aaaa" not in said
        assert "Traceback" not in said


# -- quotas ----------------------------------------------------------------------------------------


async def test_a_key_has_its_rate(site: HeldSite) -> None:
    async with gateway_of([site.provider()], keys=KEYS, rate=2) as served:
        for status in (200, 200, 429):
            answer = await ask(served.port, get("/v1/models", AUTHORIZED))
            assert answer.status == status
        assert answer.error["code"] == "rate_limit_exceeded"
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert (
            await ask(served.port, get("/v1/models", f"Authorization: Bearer {OTHER_SECRET}"))
        ).status == 200
        assert (await ask(served.port, get("/health"))).status == 200


async def test_a_key_has_its_requests_under_way(site: HeldSite) -> None:
    site.let_go.clear()
    async with gateway_of([site.provider()], keys=KEYS, concurrency=1) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(None, AUTHORIZED))
        await site.until_open(1)
        answer = await ask(served.port, post(None, AUTHORIZED))
        assert (answer.status, answer.error["code"]) == (429, "concurrency_limit_exceeded")
        assert int(answer.headers["retry-after"]) >= 1
        assert (
            await ask(served.port, get("/v1/models", f"Authorization: Bearer {OTHER_SECRET}"))
        ).status == 200
        writer.close()
        await site.until_open(0)
        site.let_go.set()
        assert (await ask(served.port, post(None, AUTHORIZED))).status == 200
        del reader


# -- addresses, cookies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        "url",
        "base_url",
        "api_base",
        "proxy",
        "headers",
        "cookies",
        "provider",
        "transport",
        "extra_headers",
        "api_key",
    ],
)
async def test_no_field_chooses_an_address(local: Served, site: HeldSite, field: str) -> None:
    async with held_site() as elsewhere:
        elsewhere.let_go.set()
        values: list[Any] = [elsewhere.url, {"url": elsewhere.url, "Host": elsewhere.url}]
        for value in values:
            body = {
                "model": "held/gpt-4o",
                "messages": [{"role": "user", "content": "hello"}],
                field: value,
            }
            answer = await ask(local.port, post(body))
            assert answer.status in {200, 400, 422}
        assert elsewhere.asked == []
    for request in site.asked:
        assert elsewhere.url not in str(request.headers)


async def test_no_model_is_an_address(local: Served) -> None:
    async with held_site() as elsewhere:
        for model in (
            elsewhere.url,
            f"{elsewhere.url}/default",
            f"held/../{elsewhere.url}",
            "held/",
            "/gpt-4o",
            "",
        ):
            answer = await ask(
                local.port,
                post({"model": model, "messages": [{"role": "user", "content": "hello"}]}),
            )
            assert answer.status in {400, 404}
            assert "message" in answer.error
        assert elsewhere.asked == []


async def test_one_callers_cookies_and_key_never_reach_a_site_for_another(
    guarded: Served, site: HeldSite
) -> None:
    """The site sets a cookie with every answer; no later request brings it back, whoever asks."""
    for secret in (SECRET, OTHER_SECRET, SECRET):
        lines = (
            f"Authorization: Bearer {secret}",
            "Cookie: mine=secret",
            "X-Forwarded-For: 192.0.2.7",
        )
        assert (await ask(guarded.port, post(None, *lines))).status == 200
    assert len(site.asked) == 3
    for request in site.asked:
        assert "Cookie" not in request.headers
        assert "Authorization" not in request.headers
        assert "192.0.2.7" not in str(request.headers)


async def test_two_callers_share_page_tokens_and_the_cookies_of_the_page_alone() -> None:
    """A WordPress site gives its page's cookie to the visitor who fetched the page, and one with
    every answer.
    """
    cookies: list[str | None] = []
    page = (
        '<div class="wpaicg-chat-shortcode" data-nonce="0123456789" data-post-id="7" '
        'data-bot-id="5"></div>'
    )

    async def shown(request: web.Request) -> web.Response:
        response = web.Response(text=page, content_type="text/html")
        response.set_cookie("visitor", request.path)
        return response

    async def answered(request: web.Request) -> web.Response:
        await request.read()
        cookies.append(request.headers.get("Cookie"))
        response = web.Response(
            text='data: {"choices":[{"delta":{"content":"hello"}}]}\n\ndata: [DONE]\n\n'
        )
        response.content_type = "text/event-stream"
        response.set_cookie("answer", str(len(cookies)))
        return response

    app = web.Application()
    app.add_routes([web.get("/help", shown), web.post("/wp-admin/admin-ajax.php", answered)])
    async with TestServer(app) as server:
        shop = made("shop", WordPressChatProvider, str(server.make_url("/help")))
        async with gateway_of([shop], keys=KEYS) as served:
            body = {"model": "shop/default", "messages": [{"role": "user", "content": "hello"}]}
            for secret in (SECRET, OTHER_SECRET, SECRET):
                assert (
                    await ask(served.port, post(body, f"Authorization: Bearer {secret}"))
                ).status == 200
    assert cookies == ['visitor="/help"'] * 3


def deep(depth: int) -> bytes:
    parts = '[{"type":"image_url","a":' + "[" * depth + "]" * depth + "}]"
    body = f'{{"model":"{MODEL}","messages":[{{"role":"user","content":{parts}}}]}}'
    return body.encode()


STRANGE = b"\xff\xed\xa0\x80"
HOSTILE_REQUESTS = [
    *(
        b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        for target in (
            b"/v1/models/%ED%A0%80",
            b"/v1/models/%ff%00",
            b"/?k=%ED%A0%80&%ED%A0%81=1",
            b"/?" + STRANGE,
            b"http://[bad/",
            b"http://127.0.0.1:99999999/",
            b"//evil/x",
            b"*",
            b"/static/%2e%2e/x",
        )
    ),
    *(
        method + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + name + STRANGE + b"\r\n\r\n"
        for method in (b"GET /v1/chat/completions", b"GET /metrics", b"OPTIONS /live", b"GET /")
        for host in (b"127.0.0.1", b"[::1", STRANGE)
        for name in (
            b"Authorization: Bearer ",
            b"Origin: http://[",
            b"Expect: ",
            b"traceparent: 00-",
            b"Access-Control-Request-Method: ",
            b"If-None-Match: ",
            b"X: ",
        )
    ),
    *map(post, (deep(depth) for depth in (150, 900, 950, 970, 990, 100_000))),
    post(b'{"model":"\\ud800","messages":[{"role":"user","content":"\\ud800"}]}'),
    post(b'{"model":"' + STRANGE + b'"}'),
    post(b'{"seed":' + b"9" * 5000 + b"}"),
    post(b'{"temperature":1e999}'),
]


async def test_no_request_makes_the_gateway_fail(
    local: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for request in HOSTILE_REQUESTS:
        answer = await ask(local.port, request)
        assert answer.status < 500, request[:200]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
