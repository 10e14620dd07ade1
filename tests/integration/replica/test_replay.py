"""Recording and replay: a replayed call reads, ends and fails as the recorded one did."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tailrace import ChatGptt, GPROChat, WordPressChatProvider, errors
from tailrace._calls.token_cache import TokenCache
from tailrace.recording import (
    RecordedEnd,
    RecordedExchange,
    RecordedHead,
    RecordedRead,
    RecordedRequest,
    Recording,
    RecordingWriter,
    read_recording,
)
from tailrace.replica import Replay, Replica
from tailrace.transport import RecordingTransport, make_transport

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace.providers import ChatProvider
    from tailrace.pytest_plugin import ServeRecording
    from tailrace.transport import Transport, TransportKind

pytest_plugins = ["tailrace.pytest_plugin"]

KINDS: list[TransportKind] = ["aiohttp", "impersonate"]
SECRET = "SECRET-of-the-deployment"
PASSWORD = "PASSWORD-of-the-site"
PROMPT = "PROMPT-of-the-caller"
COOKIE = "COOKIE-of-the-caller"


@dataclass(frozen=True)
class Outcome:
    """All that a caller sees of a call, but for the server's port."""

    text: str
    end: str
    finish_reason: str | None
    ids: dict[str, str]
    error: str


async def outcome(
    provider: type[ChatProvider], url: str, transport: Transport, message: str, **options: Any
) -> Outcome:
    given: dict[str, Any] = {
        "url": url,
        "transport": transport,
        "cookies": {"sid": COOKIE},
        **options,
    }
    if provider is not GPROChat:
        given["token_cache"] = TokenCache()
    parts: list[str] = []
    error = ""
    async with provider.create_async_generator(
        "", [{"role": "user", "content": message}], **given
    ) as stream:
        try:
            while deltas := await stream.read():
                parts += deltas
        except errors.TailraceError as failure:
            error = re.sub(r"127\.0\.0\.1:\d+", "", f"{type(failure).__name__}: {failure}")
    return Outcome("".join(parts), stream.end, stream.finish_reason, stream.ids, error)


async def recorded(
    path: Path,
    kind: TransportKind,
    provider: type[ChatProvider],
    url: str,
    message: str,
    **options: Any,
) -> Outcome:
    with RecordingWriter(
        path, provider=provider.__name__, site_path=urlsplit(url).path or "/"
    ) as writer:
        async with RecordingTransport(make_transport(kind), writer) as transport:
            return await outcome(provider, url, transport, message, **options)


CASES: list[tuple[type[ChatProvider], str, str]] = [
    (ChatGptt, "ai-power", marker)
    for marker in (
        *(
            "hello",
            "[[quote]]",
            "[[midfail]]",
            "[[cut]]",
            "[[nodone]]",
            "[[stall]]",
            "[[silent]]",
            "[[null]]",
        ),
        *(
            "[[fatal]]",
            "[[token-limit]]",
            "[[upstream-429]]",
            "[[html502]]",
            "[[notices]]",
            "[[split]]",
            "[[gzip]]",
        ),
        *("[[empty]]", "[[long]]", "[[crlf]]"),
    )
] + [
    (GPROChat, "geminiprochat", marker)
    for marker in (
        "hello",
        "[[safety-mid]]",
        "[[cut]]",
        "[[err429]]",
        "[[reset]]",
        "[[utf8]]",
        "[[stall]]",
    )
]
CASES += (
    [
        (WordPressChatProvider, site, marker)
        for site in ("aipkit inline", "aipkit-2.4.0 json", "aipkit-2.4.0 stream")
        for marker in ("hello", "[[quota]]", "[[midcut]]", "[[nodone]]", "[[upstream-429]]")
    ]
    + [
        (WordPressChatProvider, site, marker)
        for site in ("ai-engine inline", "ai-engine plain", "ai-engine-2.0.9 inline")
        for marker in ("hello", "[[quota]]", "[[midcut]]", "[[fatal]]", "[[takeover]]", "[[stall]]")
    ]
    + [(WordPressChatProvider, "ai-engine-1.9.99 inline", "hello")]
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("provider", "site", "message"), CASES)
async def test_a_replayed_call_is_as_the_recorded_one(
    tmp_path: Path, kind: TransportKind, provider: type[ChatProvider], site: str, message: str
) -> None:
    options: dict[str, Any] = {"timeout": 0.3 if message in ("[[stall]]", "[[silent]]") else 20}
    if provider is GPROChat:
        options |= {"secret_key": SECRET, "password": PASSWORD}
    path = tmp_path / "call.jsonl"
    async with Replica(secret=SECRET, password=PASSWORD) as replica:
        name, _, page = site.partition(" ")
        url = replica.page(name, page) if page else replica.url(name)
        first = await recorded(path, kind, provider, url, f"{message} {PROMPT}", **options)
    assert first.end != "open"
    assert "404" not in first.error
    async with AsyncExitStack() as stack:
        replay = await stack.enter_async_context(Replay(read_recording(path)))
        transport = await stack.enter_async_context(make_transport(kind))
        for _ in range(2):
            assert (
                await outcome(provider, replay.url, transport, "something else", **options) == first
            )
    file = path.read_text("ascii")
    assert not [each for each in (SECRET, PASSWORD, COOKIE, PROMPT) if each in file]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_challenge_and_a_redirect_are_as_recorded(
    tmp_path: Path, kind: TransportKind
) -> None:
    for number, end in enumerate(
        (
            RecordedEnd(0, "failed", "ChallengeError", 403),
            RecordedEnd(0, "failed", "RedirectError", None, "https://other.example/x"),
            RecordedEnd(0, "failed", "ConnectError"),
        )
    ):
        request = RecordedRequest(0, "GET", "https://my.example/", (), None)
        path = tmp_path / f"{number}"
        async with Replay(Recording((RecordedExchange(request, None, (), end),))) as replay:
            first = await recorded(path, kind, ChatGptt, replay.url, "hi")
        assert first.error.startswith(("ChallengeError", "RedirectError", "NetworkError")[number])
        async with Replay(read_recording(path)) as again, make_transport(kind) as transport:
            assert await outcome(ChatGptt, again.url, transport, "hi") == first


def reply(
    url: str, kind: str, *reads: bytes, method: str = "GET", how: Any = "complete"
) -> RecordedExchange:
    """An exchange whose reads came a second apart."""
    timed = tuple(RecordedRead(number + 1, data) for number, data in enumerate(reads))
    headers = (
        ("Content-Type", kind),
        ("Content-Length", "5"),
        ("Content-Encoding", "gzip"),
        ("X-Kept", "yes"),
    )
    return RecordedExchange(
        RecordedRequest(0, method, url, (), None),
        RecordedHead(0.5, 200, "Fine", url, headers),
        timed,
        RecordedEnd(len(reads) + 1, how),
    )


async def raw(origin: str, path: str) -> bytes:
    host, port = origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_each_read_is_a_chunk_of_its_own() -> None:
    exchange = reply(
        "https://my.example/a", "text/plain", b"one", b"two\r\n", "é".encode()[:1], "é".encode()[1:]
    )
    async with Replay(Recording((exchange,), path="/a")) as replay:
        answer = await raw(replay.origin, "/a?anything=else")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 Fine\r\n")
        assert b"X-Kept: yes" in head
        assert b"gzip" not in head
        assert b"Server" not in head
        assert body == b"3\r\none\r\n5\r\ntwo\r\n\r\n1\r\n\xc3\r\n1\r\n\xa9\r\n0\r\n\r\n"
        assert (await raw(replay.origin, "/b")).startswith(b"HTTP/1.1 404 ")
        assert replay.paths == ("GET /a",)


async def test_a_reply_without_a_type_has_none() -> None:
    exchange = reply("https://my.example/", "text/plain", b"one")
    assert exchange.head is not None
    bare = replace(exchange, head=replace(exchange.head, headers=()))
    async with Replay(Recording((bare,))) as replay:
        head, _, _ = (await raw(replay.origin, "/")).partition(b"\r\n\r\n")
    assert b"content-type" not in head.lower()


async def test_pace_stretches_the_recorded_waits() -> None:
    exchange = reply("https://my.example/", "text/plain", b"one", b"two")
    loop = asyncio.get_running_loop()
    async with Replay(Recording((exchange,)), pace=0.1) as replay:
        began = loop.time()
        await raw(replay.origin, "/")
        assert loop.time() - began >= 0.29  # three seconds, a tenth of each


async def test_a_broken_reply_gives_its_bytes_first() -> None:
    exchange = reply("https://my.example/", "text/plain", b"x" * 100_000, b"last", how="broken")
    async with Replay(Recording((exchange,))) as replay:
        answer = await raw(replay.origin, "/")
    assert answer.endswith(b"4\r\nlast\r\n")
    assert b"0\r\n\r\n" not in answer


async def test_replies_of_one_path_come_in_turn() -> None:
    turns = tuple(reply("https://my.example/", "text/plain", each) for each in (b"a", b"b"))
    async with Replay(Recording(turns)) as replay:
        answers = [await raw(replay.origin, "/") for _ in range(5)]
    assert [re.findall(rb"\r\n1\r\n(.)\r\n", each)[0] for each in answers] == [
        b"a",
        b"b",
        b"a",
        b"b",
        b"a",
    ]


async def test_a_page_of_another_host_names_this_one() -> None:
    """A site with its endpoint in the page, as `MyBot` of the README finds it."""
    page = (
        b'<div class="wpaicg-chat-shortcode" data-nonce="0000000001" data-post-id="12" '
        b'data-bot-id="0"></div>'
        b'<script>var wpaicgParams = {"ajax_url":"https:\\/\\/my.exam'
    )
    rest = b'ple\\/wp\\/ajax.php"};</script>'
    stream = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
    exchanges = (
        reply("https://my.example/help", "text/html; charset=UTF-8", page, rest),
        reply("https://my.example/wp/ajax.php", "text/event-stream", stream, method="POST"),
    )
    async with Replay(Recording(exchanges, path="/help")) as replay:
        url = replay.url
        answer = await WordPressChatProvider.create_async(
            "", [{"role": "user", "content": "hi"}], url=url, token_cache=TokenCache()
        )
    assert answer == "Hi"


@pytest.mark.parametrize(
    "wrong", [{"port": -1}, {"port": 65536}, {"pace": -1}, {"pace": float("nan")}]
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequestError, match=next(iter(wrong))):
        Replay(Recording((reply("https://my.example/", "text/plain"),)), **wrong)


def test_nothing_to_replay_is_refused() -> None:
    with pytest.raises(errors.InvalidRequestError, match="no exchange"):
        Replay(Recording(()))
    with pytest.raises(errors.InvalidRequestError, match="not running"):
        _ = Replay(Recording((reply("https://my.example/", "text/plain"),))).url


async def test_leaving_a_recorded_call_closes_its_connection(tmp_path: Path) -> None:
    async with Replica() as replica:
        with RecordingWriter(tmp_path / "a") as writer:
            async with RecordingTransport(make_transport(), writer) as transport:
                stream = ChatGptt.create_async_generator(
                    "",
                    [{"role": "user", "content": "[[stall]]"}],
                    url=replica.url("ai-power"),
                    transport=transport,
                    token_cache=TokenCache(),
                )
                async with stream:
                    await anext(stream)
                await replica.exchanges.settled()
    page, post = read_recording(tmp_path / "a").exchanges
    assert (page.request.method, post.request.method) == ("GET", "POST")
    assert post.end.how == "left"


async def test_the_fixture_serves_from_a_thread(
    tmp_path: Path, tailrace_replay: ServeRecording
) -> None:
    async with Replica() as replica:
        first = await recorded(
            tmp_path / "a", "aiohttp", ChatGptt, replica.url("ai-power"), "hello"
        )
    url = tailrace_replay(tmp_path / "a")
    messages = [{"role": "user", "content": "hi"}]
    assert (
        await ChatGptt.create_async("", messages, url=url, token_cache=TokenCache()) == first.text
    )
    assert tailrace_replay(str(tmp_path / "a")) != url


def test_the_fixture_needs_no_loop(tmp_path: Path, tailrace_replay: ServeRecording) -> None:
    async def make() -> Outcome:
        async with Replica() as replica:
            return await recorded(
                tmp_path / "a", "aiohttp", ChatGptt, replica.url("ai-power"), "hello"
            )

    first = asyncio.run(make())
    url = tailrace_replay(tmp_path / "a")
    deltas = ChatGptt.create_completion(
        "", [{"role": "user", "content": "hi"}], url=url, token_cache=TokenCache()
    )
    assert "".join(deltas) == first.text
