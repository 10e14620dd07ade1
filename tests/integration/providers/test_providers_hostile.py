"""Whatever a peer sends, and whatever a caller gives, ends as an answer or as an error of ours:
through every software, on both transports, through the doctor, `discover` and the gateway.
"""

from __future__ import annotations

import asyncio
import traceback
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from gateway_app import asking, posting, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tailrace
from tailrace import errors, sites
from tailrace._calls.token_cache import TokenCache
from tailrace.sites._software import SOFTWARE
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = (
    b'<div class="wpaicg-chat-shortcode" data-nonce="0a1b2c3d4e" data-post-id="12"'
    b' data-bot-id="0"></div>'
)
AIPKIT = (
    b'<div class="aipkit_chat_container" data-config=\'{"nonce":"abcdef","postId":5,"botId":4,'
    b'"ajaxUrl":"/wp-admin/admin-ajax.php"}\'></div>'
)
DEEP = b'{"a":' * 3000

STATUSES = [
    b"200 OK",
    b"200",
    b"200 \xff\x1b[31m",
    b"000 None",
    b"100 Continue",
    b"101 Switching",
    b"204 No",
    b"302 Found",
    b"304 Same",
    b"401 Who",
    b"403 No",
    b"429 Slow",
    b"503 Later",
    b"999 Odd",
    b"2000 Long",
]
FIELDS = [
    b"Retry-After: Fri, 31 Dec 99999 23:59:59 GMT",
    b"Retry-After: Fri, 31 Dec 9999 23:59:59 -2359",
    b"Retry-After: Mon, 1 Jan 2026 00:00:00 +99999999999999999999",
    b"Date: Mon, 1 Jan 0001 00:00:00 +2359",
    b"Date: \xff",
    b"Location: http://\xff/",
    b"Location: /\xff\x1b[2J",
    b"Location: http://[::1",
    b"Location: http://a:99999999/",
    b"Location: /",
    b"Set-Cookie: a=\xff",
    b"Set-Cookie: =",
    b"Set-Cookie: a\x01=b",
    b"Set-Cookie: a=b c; Domain=\xff; Path=\xff; Max-Age=" + b"9" * 500,
    b"Set-Cookie: a=b; Expires=Fri, 99 Foo 99999",
    b"Content-Type: \xff\xfe;;=",
    b"Content-Type: text/html; charset=\xff",
    b"Content-Type: application/activity+json",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br",
    b"Content-Encoding: \xff",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Length: 5",
    b"Content-Length: " + b"9" * 30,
    b"cf-mitigated: challenge",
    b"Upgrade: websocket",
    b": nameless",
    b"X\x00: y",
    b"X-Long: " + b"a" * 70_000,
]
BODIES = [
    b"",
    b"0",
    b"-1",
    PAGE,
    AIPKIT,
    PAGE.replace(b'"0a1b', b'"\xff'),
    AIPKIT.replace(b"/wp-admin/admin-ajax.php", b"http://["),
    AIPKIT.replace(b"/wp-admin/admin-ajax.php", b"//\xff/x"),
    AIPKIT.replace(b"/wp-admin/admin-ajax.php", b"/a b\\u0007?x=1#y"),
    AIPKIT.replace(b'"botId":4', b'"botId":"\\ud800"'),
    DEEP,
    b"[" * 5000,
    b'{"success":true,"data":' + DEEP,
    b'{"success":true,"data":{"cache_key":"\\ud800 & x"}}',
    b'{"success":true,"data":{"nonce":"\\udfff\\n"}}',
    b'{"success":false,"data":{"message":[{}],"code":1e999}}',
    b'{"id":' + b"9" * 5000 + b"}",
    b'data: {"choices":[{"delta":{"content":"\\ud800"}}]}\n\n',
    b'data: {"error":{"message":"\\ud800\\u001b[31m"}}\n\n',
    b"data: " + DEEP + b"\n\n",
    b"event: error\ndata: \xff\n\n",
    b"data: [DONE]\n\n",
    b"<title>\xff\x1b[2J",
]

HTML, SSE, JSON = b"text/html", b"text/event-stream", b"application/json"


def written(status: bytes, fields: list[bytes], body: bytes) -> bytes:
    head = b"".join(field + b"\r\n" for field in [*fields, b"Connection: close"])
    return b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, head, body)


def of_type(kind: bytes, body: bytes) -> bytes:
    return written(b"200 OK", [b"Content-Type: " + kind], body)


some_body = st.sampled_from(BODIES) | st.binary(max_size=40)
reply = st.one_of(
    st.builds(
        written, st.sampled_from(STATUSES), st.lists(st.sampled_from(FIELDS), max_size=3), some_body
    ),
    st.builds(of_type, st.sampled_from([HTML, SSE, JSON]), some_body),
    st.builds(
        lambda count, rest: b"HTTP/1.1 103 Early\r\n\r\n" * count + rest,
        st.sampled_from([1, 65]),
        st.builds(of_type, st.sampled_from([HTML, SSE]), some_body),
    ),
    st.binary(max_size=60),
)
beginning = st.sampled_from(
    [
        [],
        [of_type(HTML, PAGE)],
        [of_type(HTML, AIPKIT)],
        [of_type(HTML, AIPKIT), of_type(JSON, b'{"success":true,"data":{"cache_key":"k"}}')],
    ]
)
replies = st.builds(lambda first, rest: [*first, *rest], beginning, st.lists(reply, min_size=4))

example_settings = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


@asynccontextmanager
async def peer(answers: list[bytes]) -> AsyncIterator[str]:
    """A server that answers each request with the next of `answers`, whatever it says."""
    waiting = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(waiting.pop(0) if waiting else b"")
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/help"


def check(error: errors.TailraceError) -> None:
    """An error can be shown and kept anywhere, and holds nothing foreign."""
    "".join([str(error), repr(error), *traceback.format_exception(error)]).encode()
    repr(vars(error)).encode()
    link: BaseException | None = error
    while link is not None:
        assert isinstance(link, errors.TailraceError)
        assert type(link) is not errors.InvalidRequestError  # nothing of it was the caller's fault
        link = link.__cause__ or link.__context__


def site_at(url: str, software: Any, **more: Any) -> tailrace.Site:
    if SOFTWARE[software].has_tokens:
        more["token_cache"] = TokenCache()
    return tailrace.Site(url, software=software, model="m", timeout=5, **more)


@pytest.mark.parametrize("kind", ["aiohttp", "impersonate"])
@pytest.mark.parametrize("software", SOFTWARE)
@given(answers=replies)
@example_settings
async def test_a_call_ends_well_or_with_an_error_of_ours(
    software: str, kind: Any, answers: list[bytes]
) -> None:
    async with (
        peer(answers) as url,
        make_transport(kind) as transport,
        site_at(url, software, transport=transport).stream("Hi") as stream,
    ):
        try:
            async for text in stream:
                text.encode()
        except errors.TailraceError as error:
            check(error)


@given(answers=replies)
@example_settings
async def test_the_doctor_and_discover_find_words_for_everything(answers: list[bytes]) -> None:
    async with peer(answers) as url:
        found = await sites.doctor(site_at(url, "wordpress"), keep=False, timeout=5)
        repr(found).encode()
    async with peer(answers) as url:
        try:
            repr(await sites.discover(url, timeout=5)).encode()
        except errors.TailraceError as error:
            check(error)


@given(answers=replies)
@example_settings
async def test_the_gateway_answers_for_whatever_comes(answers: list[bytes]) -> None:
    async with peer(answers) as url:
        chat = site_at(url, "wordpress", name="chat")
        async with serving([chat]) as gateway:
            for stream in (False, True):
                async with posting(gateway, asking("Hi", "chat/m", stream=stream)) as given_back:
                    text = await given_back.text()
                    assert given_back.status != 500, text
                    assert text
