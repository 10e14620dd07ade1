"""Every captured reply, replayed through the real providers: whole, at awkward chunk sizes, and cut
everywhere.

What each capture means is written out below. What a cut one means is what the decoder says of the
bytes that came, given to it in one piece.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import Asked, Line, Site, chunk, head, sockets_to

from tailrace import ChatGptEs, ChatgptFree, ChatGptt, DeltaDecoder, GPROChat
from tailrace._calls.token_cache import TokenCache
from tailrace.errors import (
    ConversationLimitError,
    MissingAuthError,
    NetworkError,
    NonceRefusedError,
    RateLimitError,
    ResponseStatusError,
    StreamError,
    TailraceError,
)
from tailrace.providers._geminiprochat import FAILURE_TAIL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace import ChatStream
    from tailrace.providers import ChatProvider

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures"
AI_POWER = CAPTURES / "ai-power"
GEMINIPROCHAT = CAPTURES / "geminiprochat"
PAGE = (AI_POWER / "1.9.18" / "page_stream.body").read_bytes()
SIZES = (1, 2, 3, 7, 37, 1 << 20)


@dataclass(frozen=True)
class Fails:
    """How a reply fails: the error's class, kind, status and code, and a piece of its message."""

    error: type[TailraceError]
    kind: str
    says: str
    status: int = 200
    code: str | None = None


@dataclass(frozen=True)
class Expected:
    """What a capture gives: the text, then how it ended."""

    text: str
    end: str = "done"
    fails: Fails | None = None


def echo(prompt: str, messages: int = 2) -> str:
    """What the upstream behind the captured site answers."""
    return (
        f"Echo of {messages}-message prompt: **{prompt}** — café ☃ 😀 "
        '"quoted" <b>tag</b> a\\b\nline two & end.'
    )  # fmt: skip


def failed(fails: Fails, text: str = "") -> Expected:
    return Expected(text, "failed", fails)


WORDS = " ".join(f"word{number}" for number in range(400))
KEY = "Incorrect API key provided: sk-xxxx. You can find your API key at https://platform.openai.com/account/api-keys."
BANNED = "Your message contains prohibited words. Please modify your message and try again."
QUOTA = Fails(
    ConversationLimitError,
    "upstream",
    'Guest token limit reached — "log in".',
    code="tokenLimitReached",
)
NOTHING = Fails(StreamError, "upstream", "It appears that nothing was inputted.")
REFUSED = Fails(NonceRefusedError, "upstream", "page cache", status=403)
OLD_REFUSAL = Fails(StreamError, "upstream", "Nonce verification failed")

AI_POWER_REPLIES: dict[str, Expected] = {
    "1.8.79/json_nonce_wrong": failed(OLD_REFUSAL),
    "1.8.79/json_ok": Expected(echo("Hello bot line1 line2")),
    "1.8.79/stream_get_eventsource_ok": Expected(echo("Hello bot")),
    "1.8.79/stream_post_ok": Expected(echo("Hello bot")),
    "1.8.90/json_nonce_wrong": failed(OLD_REFUSAL),
    "1.8.91/json_nonce_wrong": failed(REFUSED),
    "1.8.95/json_upstream_errquote": failed(
        Fails(
            StreamError,
            "upstream",
            'Invalid value: "foo". Supported values are: \'system\', "user". See docs.',
        )
    ),
    "1.9.18/assistant_stream_ok": Expected(echo("hello assistant", 1)),
    "1.9.18/assistant_stream_upstream_err401": failed(Fails(StreamError, "upstream", KEY)),
    "1.9.18/bom_before_output_json": Expected(echo("hi")),
    "1.9.18/gzip_stream_ok": Expected(WORDS),
    "1.9.18/json_banned_word": failed(Fails(StreamError, "upstream", BANNED)),
    "1.9.18/json_history": Expected(echo("What is my name?")),
    "1.9.18/json_message_empty": failed(NOTHING),
    "1.9.18/json_nonce_missing": failed(REFUSED),
    "1.9.18/json_nonce_wrong": failed(REFUSED),
    "1.9.18/json_ok": Expected(echo("Hello bot, what is 2+2?")),
    "1.9.18/json_token_limit_reached": failed(QUOTA),
    "1.9.18/json_unicode_newlines_backslash": Expected(
        echo('café 😀 line1\nline2 back\\slash it\'s "q"')
    ),
    "1.9.18/json_upstream_err401": failed(Fails(StreamError, "upstream", KEY)),
    "1.9.18/json_upstream_long": Expected(WORDS),
    "1.9.18/json_upstream_null": failed(Fails(StreamError, "empty", "no text")),
    "1.9.18/json_upstream_unreachable": failed(
        Fails(
            StreamError,
            "upstream",
            "cURL error 7: Failed to connect to 127.0.0.1 port 18099 after 0 ms: Couldn't",
        )
    ),
    "1.9.18/php_fatal_json": failed(
        Fails(ResponseStatusError, "upstream", "critical error", status=500)
    ),
    "1.9.18/php_notices_shown_ok_json": Expected(echo("hi")),
    "1.9.18/plugin_deactivated": failed(
        Fails(ResponseStatusError, "upstream", "plugin is switched off", status=400, code="0")
    ),
    "1.9.18/stream_banned_word": failed(
        Fails(StreamError, "upstream", BANNED, code="messageFlagged")
    ),
    "1.9.18/stream_bot_unknown": Expected(echo("hi")),
    "1.9.18/stream_history": Expected(echo("What is my name?")),
    "1.9.18/stream_message_empty": failed(NOTHING),
    "1.9.18/stream_nonce_wrong": failed(REFUSED),
    "1.9.18/stream_ok": Expected(echo("Hello bot, what is 2+2?")),
    "1.9.18/stream_token_limit_reached": failed(QUOTA),
    "1.9.18/stream_upstream_err401": failed(Fails(StreamError, "upstream", KEY)),
    "1.9.18/stream_upstream_midfail": failed(
        Fails(StreamError, "upstream", "The server had an error while processing your request."),
        text="Echo of 2-message prompt: *",
    ),
    "1.9.18/stream_upstream_nodone": Expected(echo("please mock-nodone now"), "stopped"),
    "1.9.18/stream_upstream_split": Expected(echo("please mock-split now")),
    "1.9.18/stream_upstream_split_raw_chunks": Expected(echo("mock-split café ☃☃☃ 😀😀")),
    "1.9.18/stream_upstream_unreachable": failed(Fails(StreamError, "empty", "the body is empty")),
    "1.9.18/widget_action_ok": Expected(echo("hello widget")),
}


def app_says(message: str, status: int = 500, code: str | None = "Error") -> Expected:
    return failed(Fails(ResponseStatusError, "upstream", message, status=status, code=code))


def denied(message: str) -> Expected:
    return failed(Fails(MissingAuthError, "upstream", message, status=401))


TAIL = Fails(StreamError, "upstream", "Internal server error")
LAST_ROLE = app_says("The last message must be from user role.", 400, None)

GEMINIPROCHAT_REPLIES: dict[str, Expected] = {
    "auth-alpha": Expected('{"code":0}'),
    "auth-wrong": Expected('{"code":-1}'),
    "bad-last-model": LAST_ROLE,
    "bad-no-messages": LAST_ROLE,
    "bad-no-parts": app_says("HTTP 500", code=None),
    "edge-bad-sign": denied("Invalid signature."),
    "edge-safety-mid": Expected("Once upon a time, there was a "),
    "nosec-empty-secret": Expected("You said: x (contents=1)"),
    "ok-basic": Expected("You said: hello (contents=1)"),
    "ok-history": Expected("You said: q2 (contents=3)"),
    "ok-multibyte": Expected("You said: héllo 你好 🎉 (contents=1)"),
    "ok-multipart": Expected("You said: part one part two (contents=1)"),
    "pass-alpha": Expected("You said: x (contents=1)"),
    "pass-wrong": denied("Invalid password."),
    "sib-bad-sign": denied("Invalid signature."),
    "sib-err429": failed(
        Fails(RateLimitError, "upstream", "Quota exceeded", status=429, code="429")
    ),
    "sib-errhtml": app_says("bad gateway", 502, None),
    "sib-ok": Expected("You said: hello (contents=1)"),
    "sib-parts-shape": denied("Invalid signature."),
    "sig-missing": denied("Invalid signature."),
    "sig-time-pyfloat": denied("Invalid signature."),
    "sig-uppercase": denied("Invalid signature."),
    "sig-wrong": denied("Invalid signature."),
    "stream-cut": Expected("Half of the ans"),
    "stream-empty": failed(Fails(StreamError, "empty", "the body is empty")),
    "stream-jsonlike": Expected('{"error":{"message":"Invalid signature."}}'),
    "stream-safety-first": failed(TAIL),
    "stream-safety-mid": failed(TAIL, text="Once upon a time, there was a "),
    "stream-slow": Expected("tick1 tick2 tick3 tick4 tick5 tick6 tick7 "),
    "stream-utf8-tcp": Expected("héllo 你好\uff0c世界 🎉👩‍👩‍👧 末尾"),
    "up-err400": app_says("User location is not supported for the API use."),
    "up-err429": failed(
        Fails(RateLimitError, "upstream", "[429 Too Many Requests]", status=429, code="Error")
    ),
    "up-errkey": app_says("API key not valid."),
    "up-reset": app_says("fetch failed"),
}


def test_no_capture_is_left_out() -> None:
    ai_power = {
        str(each.relative_to(AI_POWER)).removesuffix(".headers.txt")
        for each in AI_POWER.glob("1.*/*.headers.txt")
        if not each.name.startswith("page_")
    }
    assert ai_power == set(AI_POWER_REPLIES)
    assert {each.stem for each in GEMINIPROCHAT.glob("*.raw")} == set(GEMINIPROCHAT_REPLIES)


# -- captures as they are sent again ---------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """A captured reply: the head it began with, and its body, content coding included, transfer
    coding not.
    """

    status: str
    headers: dict[str, str]
    body: bytes
    raw: bytes | None = None
    """The whole body with its captured chunks, where the capture kept them."""

    @property
    def head(self) -> bytes:
        kept = [
            f"{name}: {value}\r\n"
            for name, value in self.headers.items()
            if name not in ("connection", "date")
        ]
        return head(None, self.status, "".join(kept))

    @property
    def decoded(self) -> bytes:
        """The body with its content coding taken off, as far as it came."""
        return unzipped(self.body) if self.headers.get("content-encoding") == "gzip" else self.body

    def decoder(self, dialect: Any) -> DeltaDecoder:
        return DeltaDecoder(
            dialect,
            content_type=self.headers.get("content-type"),
            status=int(self.status.split()[0]),
            failure_tail=FAILURE_TAIL if dialect == "text" else None,
        )


def unzipped(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data)


def parsed_head(lines: list[str]) -> tuple[str, dict[str, str]]:
    headers = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
    }
    headers.pop("content-length", None)
    return lines[0].partition(" ")[2], {**headers, "transfer-encoding": "chunked"}


@cache
def ai_power_reply(name: str) -> Reply:
    status, headers = parsed_head(
        (AI_POWER / f"{name}.headers.txt").read_text().strip().splitlines()
    )
    body = (AI_POWER / f"{name}.body").read_bytes()
    if name.endswith("_raw_chunks"):
        return Reply(status, headers, unchunked(body), body)
    return Reply(status, headers, body)


@cache
def geminiprochat_reply(name: str) -> Reply:
    top, _, body = (GEMINIPROCHAT / f"{name}.raw").read_bytes().partition(b"\r\n\r\n")
    status, headers = parsed_head(top.decode().split("\r\n"))
    return Reply(status, headers, unchunked(body), body)


def unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body, data = body + data[:length], data[length + 2 :]
        if not length:
            break
    return body


def rechunked(body: bytes, size: int) -> bytes:
    return b"".join(chunk(body[at : at + size]) for at in range(0, len(body), size)) + b"0\r\n\r\n"


Replay = Callable[[Asked, Line], Awaitable[None]]


def replaying(reply: Reply, sent: bytes) -> Replay:
    """A site with a captured page, whose bot answers with the head of `reply` and then `sent`, and
    hangs up.
    """

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(PAGE)
        else:
            await line.send(reply.head + sent)

    return answer


async def heard(stream: ChatStream) -> tuple[str, TailraceError | None]:
    """Everything a stream says, and what it then raises."""
    parts: list[str] = []
    failure: TailraceError | None = None
    async with stream:
        try:
            async for each in stream:
                parts.append(each)  # noqa: PERF401 - a comprehension would lose what came before an error
        except TailraceError as error:
            failure = error
    assert failure is stream.error
    return "".join(parts), failure


def check(expected: Expected, text: str, error: TailraceError | None, stream: ChatStream) -> None:
    assert text == expected.text
    assert stream.end == expected.end
    assert stream.bad_events == 0
    if expected.fails is None:
        assert error is None
        return
    assert type(error) is expected.fails.error
    assert isinstance(error, StreamError)
    found = (error.kind, error.status, error.code)
    assert found == (expected.fails.kind, expected.fails.status, expected.fails.code)
    assert expected.fails.says in str(error)


# -- whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AI_POWER_REPLIES)
async def test_an_ai_power_reply(name: str) -> None:
    reply = ai_power_reply(name)
    for size in SIZES:
        async with Site(replaying(reply, rechunked(reply.body, size))) as site:
            stream = ChatGptt.create_async_generator(
                "", HELLO, url=site.url, token_cache=TokenCache()
            )
            text, error = await heard(stream)
            assert sockets_to(site.port) == 0
        check(AI_POWER_REPLIES[name], text, error, stream)
        # None of these is worth a second request: the nonce was fresh.
        assert site.methods == {"GET": 1, "POST": 1}


@pytest.mark.parametrize("name", AI_POWER_REPLIES)
async def test_an_ai_power_reply_through_every_provider(name: str) -> None:
    reply = ai_power_reply(name)
    for provider in (ChatgptFree, ChatGptEs):
        async with Site(replaying(reply, rechunked(reply.body, 37))) as site:
            stream = provider.create_async_generator(
                "", HELLO, url=site.url, token_cache=TokenCache()
            )
            text, error = await heard(stream)
            assert sockets_to(site.port) == 0
        check(AI_POWER_REPLIES[name], text, error, stream)


async def test_a_stream_in_its_captured_chunks() -> None:
    reply = ai_power_reply("1.9.18/stream_upstream_split_raw_chunks")
    assert reply.raw is not None
    async with Site(replaying(reply, reply.raw)) as site:
        stream = ChatGptt.create_async_generator("", HELLO, url=site.url, token_cache=TokenCache())
        text, error = await heard(stream)
    check(AI_POWER_REPLIES["1.9.18/stream_upstream_split_raw_chunks"], text, error, stream)


@pytest.mark.parametrize("name", GEMINIPROCHAT_REPLIES)
async def test_a_geminiprochat_reply(name: str) -> None:
    reply = geminiprochat_reply(name)
    assert reply.raw is not None
    for sent in (reply.raw, *(rechunked(reply.body, size) for size in SIZES)):
        async with Site(replaying(reply, sent)) as site:
            stream = GPROChat.create_async_generator("", HELLO, url=site.url)
            text, error = await heard(stream)
            assert sockets_to(site.port) == 0
        check(GEMINIPROCHAT_REPLIES[name], text, error, stream)


# -- cut -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """A reply that broke off: what was sent after its head, and the bytes of the answer in that."""

    place: str
    sent: bytes
    arrived: bytes


def cuts(reply: Reply) -> Iterator[Cut]:
    """Cuts at every kind of place of a body, and of its chunked framing."""
    body = reply.body
    whole = b"%x\r\n" % len(body)
    yield Cut("before any byte", b"", b"")
    if not body:
        return
    yield Cut("in a chunk's size line", whole[:1], b"")
    yield Cut("between CR and LF of a size line", whole[:-1], b"")
    yield Cut("after a size line", whole, b"")
    yield Cut("before the last chunk", chunk(body), body)
    yield Cut("in the last chunk's end", chunk(body) + b"0\r\n", body)
    yield Cut("between two chunks", chunk(body[:9]), body[:9])
    yield Cut("between CR and LF after a chunk", chunk(body[:9])[:-1], body[:9])
    places = {
        "mid-line": len(body) // 2,
        "in the first bytes": 3,
        "before the last byte": len(body) - 1,
    }
    for at, byte in enumerate(body):
        if byte >= 0xC3:
            places |= {f"in character {byte:#x}": at + 1}
    for name, mark in (
        ("after an event", b"\n\n"),
        ("in an event's end", b"\n"),
        ("after data:", b"data:"),
    ):
        for count, found in enumerate(starts(body, mark)):
            if count in (0, 1, 5):
                places |= {f"{name} {count}": found + len(mark)}
    if b"data: [DONE]" in body:
        places |= {
            "before [DONE]": body.index(b"data: [DONE]"),
            "in [DONE]": body.index(b"[DONE]") + 3,
        }
    for place, at in places.items():
        if 0 < at < len(body):
            yield Cut(place, whole + body[:at], body[:at])


def starts(body: bytes, mark: bytes) -> Iterator[int]:
    at = body.find(mark)
    while at >= 0:
        yield at
        at = body.find(mark, at + 1)


def of_the_decoder(
    reply: Reply, arrived: bytes, dialect: str
) -> tuple[str, str, StreamError | None]:
    """Text, end and error of the bytes that came, given to the decoder in one piece."""
    decoder = reply.decoder(dialect)
    deltas = decoder.feed(
        unzipped(arrived) if reply.headers.get("content-encoding") == "gzip" else arrived
    )
    deltas += decoder.close(complete=False)
    return "".join(deltas), decoder.end, decoder.error


def with_crlf(reply: Reply) -> Reply:
    return Reply(reply.status, reply.headers, reply.body.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("name", AI_POWER_REPLIES)
async def test_an_ai_power_reply_cut(name: str) -> None:
    reply = ai_power_reply(name)
    await check_cuts(reply, "ai-power", ChatGptt)


@pytest.mark.parametrize(
    "name", ["1.9.18/stream_ok", "1.9.18/stream_upstream_err401", "1.9.18/assistant_stream_ok"]
)
async def test_a_stream_with_crlf_cut(name: str) -> None:
    await check_cuts(with_crlf(ai_power_reply(name)), "ai-power", ChatGptt)


@pytest.mark.parametrize(
    "name",
    ["1.9.18/stream_ok", "1.9.18/json_ok", "1.9.18/gzip_stream_ok", "1.9.18/json_nonce_wrong"],
)
async def test_a_reply_cut_over_curl(name: str) -> None:
    await check_cuts(ai_power_reply(name), "ai-power", ChatGptEs)


@pytest.mark.parametrize("name", GEMINIPROCHAT_REPLIES)
async def test_a_geminiprochat_reply_cut(name: str) -> None:
    await check_cuts(geminiprochat_reply(name), "text", GPROChat)


async def check_cuts(reply: Reply, dialect: str, provider: type[ChatProvider]) -> None:
    now: list[Cut] = []

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(PAGE)
        else:
            await line.send(reply.head + now[-1].sent)

    async with Site(answer) as site:
        for cut in cuts(reply):
            now.append(cut)
            options: dict[str, Any] = {} if provider is GPROChat else {"token_cache": TokenCache()}
            stream = provider.create_async_generator("", HELLO, url=site.url, **options)
            text, error = await heard(stream)
            expected_text, expected_end, expected_error = of_the_decoder(
                reply, cut.arrived, dialect
            )
            assert (text, stream.end) == (expected_text, expected_end), cut.place
            assert (error is None) == (expected_error is None), cut.place
            if isinstance(error, StreamError) and expected_error is not None:
                expected_type = (
                    NonceRefusedError if expected_error.status == 403 else type(expected_error)
                )
                if (
                    expected_error.status == 500
                    and "[429 Too Many Requests]" in expected_error.message
                ):
                    expected_type = (
                        RateLimitError  # the real status, which the app tells in its text only
                    )
                assert type(error) is expected_type, cut.place
                assert error.kind == expected_error.kind, cut.place
            assert sockets_to(site.port) == 0, cut.place


@pytest.mark.parametrize("provider", [ChatGptt, ChatGptEs, GPROChat])
@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Type: text/ev"]
)
async def test_a_reply_cut_in_its_head(provider: type[ChatProvider], sent: bytes) -> None:
    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            await line.reply(PAGE)
        else:
            await line.send(sent)

    async with Site(answer) as site:
        options: dict[str, Any] = {} if provider is GPROChat else {"token_cache": TokenCache()}
        stream = provider.create_async_generator("", HELLO, url=site.url, **options)
        text, error = await heard(stream)
        assert (text, type(error), stream.end) == ("", NetworkError, "failed")
        assert sockets_to(site.port) == 0


HELLO = [{"role": "user", "content": "Hello"}]
