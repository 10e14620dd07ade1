"""What is measured.

Replies, pages and messages, made from fixed seeds, each with the text that must come out.

The same call gives the same bytes on every machine, so that figures of two runs are about the same
work.
"""

from __future__ import annotations

import json
import random
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CAPTURED_PAGE = (
    Path(__file__).resolve().parent.parent
    / "tests/vectors/captures/ai-power/1.9.18/page_stream.body"
)

# A read of the network is seldom an event; `None` is one event a feed, as a paced stream arrives.
FEEDS: dict[str, int | None] = {
    "1 event": None,
    "64 B": 64,
    "1400 B": 1400,
    "16 KB": 16 * 1024,
    "64 KB": 64 * 1024,
}

DONE = b"data: [DONE]\n\n"
BODY_LENGTH = 8 * 1024
LINE_ENDS = 0.02
ALPHANUMERIC = string.ascii_letters + string.digits
PROSE = (
    "the mill wheel turns and water runs off below it in a race of stone where barley oats rye "
    "wheat are ground by day "
    "while sluice gates hold back what came down from hills after rain so that nobody downstream "
    "need fear for bridges"
)
WORDS = PROSE.split()
UNICODE_WORDS = (
    *("水車小屋", "麦", "방앗간", "мельница", "Mühlenbach", "naïve", "µ", "“ja”"),
    *("🌾", "🏞️", "👩\u200d🌾", "\u2028"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A chat reply as it comes off the network, and the text it says."""

    name: str
    shows: str
    events: tuple[bytes, ...]
    text: str
    dialect: Literal["openai", "ai-power", "aipkit", "text"] = "openai"
    content_type: str = "text/event-stream"

    @property
    def body(self) -> bytes:
        """All of its bytes."""
        return b"".join(self.events)

    def feeds(self, size: int | None) -> list[bytes]:
        """Its bytes in reads of `size`; in events for None."""
        return list(self.events) if size is None else cut(self.body, size)


def cut(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` bytes, the last one shorter."""
    return [data[start : start + size] for start in range(0, len(data), size)]


# -- streams ---------------------------------------------------------------------------------------


def w1(count: int = 20_000) -> Reply:
    """Short: what an OpenAI-compatible server sends, `count` events of 1 to 6 ASCII characters."""
    return chat_stream("W1", "short", short_words(random.Random(1), count))


def w1o(count: int = 20_000) -> Reply:
    """W1 with the field of random length that OpenAI appends to hide the text's length."""
    chance = random.Random(2)

    def obfuscate(chunk: dict[str, Any]) -> None:
        chunk["obfuscation"] = "".join(chance.choices(ALPHANUMERIC, k=chance.randint(1, 16)))

    return chat_stream("W1o", "short, obfuscated", short_words(random.Random(1), count), obfuscate)


def w1i(count: int = 20_000) -> Reply:
    """W1 with an id of its own in every event: no two events begin alike."""
    chance = random.Random(3)

    def rename(chunk: dict[str, Any]) -> None:
        chunk["id"] = "chatcmpl-" + "".join(chance.choices(ALPHANUMERIC, k=29))

    return chat_stream(
        "W1i", "short, every id another", short_words(random.Random(1), count), rename
    )


def w2(count: int = 20_000) -> Reply:
    r"""Unicode.

    CJK, emoji, accents, newlines, quotes, U+2028; half of the events raw, half of them as
    ``\uXXXX``.
    """
    chance = random.Random(4)
    words = [
        chance.choice((*UNICODE_WORDS, "\n", ' "', "é ", chance.choice(WORDS)))
        for _ in range(count)
    ]
    return chat_stream("W2", "unicode", words, escaped=lambda: bool(chance.getrandbits(1)))


def w3(count: int = 20_000) -> Reply:
    """Tiny: the least that is still a chunk."""
    event = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
    return Reply("W3", "tiny", (*[event] * count, DONE), "x" * count)


def w4(count: int = 1_000) -> Reply:
    """Long: 2 KB of content an event, with the escapes of Markdown."""
    chance = random.Random(5)
    return chat_stream("W4", "long, escapes", [markdown(chance, 2_048) for _ in range(count)])


def w4c(count: int = 1_000) -> Reply:
    """Long, dense with escapes: 2 KB of quoted code an event."""
    chance = random.Random(5)
    return chat_stream("W4c", "long, dense escapes", [code(chance, 2_048) for _ in range(count)])


def w4p(count: int = 1_000) -> Reply:
    """Long and plain: 2 KB of content an event, nothing to unescape."""
    chance = random.Random(6)
    return chat_stream("W4p", "long, plain", [prose(chance, 2_048) for _ in range(count)])


def one_event(content_bytes: int) -> Reply:
    """One event with so many bytes of plain content."""
    return Reply(
        "one event",
        "plain",
        (chunk_event({"content": "x" * content_bytes}), DONE),
        "x" * content_bytes,
    )


def chat_stream(
    name: str,
    shows: str,
    contents: Iterable[str],
    change: Callable[[dict[str, Any]], None] | None = None,
    *,
    escaped: Callable[[], bool] = lambda: False,
) -> Reply:
    """A whole stream.

    Role, `contents`, finish reason, usage, sentinel; `change` alters each event's JSON.
    """
    texts = list(contents)
    events = [chunk_event({"role": "assistant", "content": "", "refusal": None}, change)]
    events += [chunk_event({"content": text}, change, escaped=escaped()) for text in texts]
    events.append(chunk_event({}, change, finish_reason="stop"))
    events.append(usage_event(len(texts), change))
    return Reply(name, shows, (*events, DONE), "".join(texts))


def chunk_event(
    delta: dict[str, Any],
    change: Callable[[dict[str, Any]], None] | None = None,
    *,
    finish_reason: str | None = None,
    escaped: bool = False,
) -> bytes:
    """One ``chat.completion.chunk`` as OpenAI writes it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return event({**envelope(), "choices": [choice], "usage": None}, change, escaped=escaped)


def usage_event(count: int, change: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    """The event that ``stream_options.include_usage`` asks for."""
    usage = {"prompt_tokens": 24, "completion_tokens": count, "total_tokens": count + 24}
    return event({**envelope(), "choices": [], "usage": usage}, change)


def envelope() -> dict[str, Any]:
    """What every chunk of one stream repeats."""
    return {
        "id": "chatcmpl-Bx7Kp2QvTn4sLw9ZrYd5uGfHc3MjE",
        "object": "chat.completion.chunk",
        "created": 1763640000,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_07871e2ad8",
    }


def event(
    chunk: dict[str, Any],
    change: Callable[[dict[str, Any]], None] | None = None,
    *,
    escaped: bool = False,
) -> bytes:
    """`chunk`, framed."""
    if change is not None:
        change(chunk)
    return f"data: {json.dumps(chunk, separators=(',', ':'), ensure_ascii=escaped)}\n\n".encode()


def short_words(chance: random.Random, count: int) -> Iterator[str]:
    """Pieces of 1 to 6 ASCII characters, about as a tokenizer cuts prose.

    One in fifty is a line's end.
    """
    for _ in range(count):
        word = chance.choice(WORDS)
        yield "\n" if chance.random() < LINE_ENDS else f" {word[: chance.randint(0, 5)]}"


def prose(chance: random.Random, length: int) -> str:
    """Plain ASCII words, `length` characters of them."""
    text = ""
    while len(text) < length:
        text += f"{chance.choice(WORDS)} "
    return text[:length]


def markdown(chance: random.Random, length: int) -> str:
    """`length` characters of prose, with a line's end and a quoted word in about a hundred.

    So it has about 25 escapes in 1 KB: as many as make it an eighth dearer than plain text to the
    strongest peer, which is what the figures to reach were taken with.
    """
    text = ""
    while len(text) < length:
        before, after = prose(chance, chance.randint(30, 70)), prose(chance, chance.randint(10, 50))
        text += f'{before} "{chance.choice(WORDS)}" {after}\n'
    return text[:length]


def code(chance: random.Random, length: int) -> str:
    """Quoted code in lines of about 60 characters, `length` in all: 106 escapes in 1 KB."""
    text = ""
    while len(text) < length:
        text += f'\tprint("{prose(chance, chance.randint(20, 60))}", end="\\n")\n'
    return text[:length]


# -- buffered bodies -------------------------------------------------------------------------------


def w5() -> Reply:
    r"""One buffered reply of a WordPress bot, 8 KB, as PHP writes it.

    With ``\u2019``, ``\/``, ``\n``.
    """
    chance = random.Random(7)
    text = ""
    while len(text) < BODY_LENGTH:
        text += (
            f"it\u2019s {prose(chance, chance.randint(40, 100))} and/or\n<b>{prose(chance, 8)}</b> "
        )
    return buffered("W5", "buffered, PHP's escapes", text[:BODY_LENGTH])


def w5p() -> Reply:
    """The same with nothing to unescape."""
    return buffered("W5p", "buffered, plain", prose(random.Random(8), BODY_LENGTH))


def buffered(name: str, shows: str, text: str) -> Reply:
    """``wp_send_json``'s body."""
    data = json.dumps(text).replace("/", "\\/")
    body = f'{{"status":"success","data":{data}}}'.encode()
    return Reply(name, shows, (body,), text, dialect="ai-power", content_type="application/json")


# -- pages and messages ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WordPressPage:
    """A page that shows a bot, and what its tag says."""

    html: bytes
    nonce: str
    post_id: str
    tag_end: int


def wordpress_page(size: int = 300_000, tag_at: float = 0.8) -> WordPressPage:
    """A captured page of the real software, grown with articles to `size` bytes.

    The bot's tag stands at the fraction `tag_at` of it.
    """
    captured = CAPTURED_PAGE.read_bytes()
    tag = captured.index(b'<div class="wpaicg-chat-shortcode"')
    before, after = captured[:tag], captured[tag:]
    chance = random.Random(9)
    above = articles(chance, int(size * tag_at) - len(before))
    below = articles(chance, size - len(before) - len(above) - len(after))
    end = after.rindex(b"</body>")
    return WordPressPage(
        html=b"".join((before, above, after[:end], below, after[end:])),
        nonce=attribute(after, b"data-nonce"),
        post_id=attribute(after, b"data-post-id"),
        tag_end=len(before) + len(above) + after.index(b"\n>") + 2,
    )


def attribute(tag: bytes, name: bytes) -> str:
    """The value of the first attribute `name`."""
    start = tag.index(name + b'="') + len(name) + 2
    return tag[start : tag.index(b'"', start)].decode()


def articles(chance: random.Random, size: int) -> bytes:
    """What a WordPress theme puts around posts, `size` bytes.

    Headings, links, images, comments, a script.
    """
    text = b""
    while len(text) < size:
        text += article(chance, chance.randint(100, 9_999)).encode()
    return text[: text.rindex(b"</article>", 0, size) + 10].ljust(size, b"\n")


def article(chance: random.Random, number: int) -> str:
    """One post in a list of posts."""
    paragraphs = "\n".join(
        f'<p class="wide">{prose(chance, 400)}'
        f'<a href="/?p={number}&amp;page={n}">{prose(chance, 20)}</a></p>'
        for n in range(1, 4)
    )
    return f"""<article id="post-{number}" class="post-{number} post type-post status-publish \
format-standard hentry">
<header class="entry-header"><h2 class="entry-title"><a href="/?p={number}" \
rel="bookmark">{prose(chance, 30)}</a></h2>
<!-- post meta, {number} --><time class="entry-date published" \
datetime="2026-11-20T10:00:00+00:00">20 November</time>
<img width="1568" height="1045" src="/wp-content/uploads/{number}.jpg" class="wp-post-image" \
alt="" loading="lazy"
 srcset="/wp-content/uploads/{number}.jpg 1568w, /wp-content/uploads/{number}-300x200.jpg \
300w"></header>
<div class="entry-content">{paragraphs}
<script>window.seen = window.seen || []; if (1 < 2 && seen.length) \
{{ seen.push({{"post": {number}}}); }}</script>
</div></article>
"""


def messages() -> dict[str, str]:
    """What is signed: prompts of four lengths."""
    chance = random.Random(10)
    return {
        "100 B": prose(chance, 100),
        "1 KB": prose(chance, 1_000),
        "100 KB": prose(chance, 1_000) * 100,
        "1 MB": prose(chance, 1_000) * 1_000,
    }
