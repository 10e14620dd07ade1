"""What Tailrace does, on loopback alone.

Four providers stream from replicas of their sites, then recorded replies of
the real software are decoded.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tailrace import ChatGptEs, ChatgptFree, ChatGptt, ChatStream, DeltaDecoder, GPROChat
from tailrace.replica import Replica

if TYPE_CHECKING:
    from tailrace.providers import ChatProvider

CAPTURES = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "captures"
SECRET = "a key of our own"  # noqa: S105 - the replica's, for this run
MESSAGES = [
    {"role": "system", "content": "You are a miller."},
    {"role": "user", "content": "What runs off below the mill?"},
]


async def main() -> None:
    """Ask all four, then decode."""
    async with Replica(pace=0.005, secret=SECRET) as replica:
        await ask(ChatGptt, "a WordPress bot that streams", replica.page("ai-power", "default"))
        await ask(
            ChatgptFree,
            "a WordPress bot that answers in one piece",
            replica.page("ai-power", "json"),
        )
        await ask(
            ChatGptEs, "a page with two bots, read over curl_cffi", replica.page("ai-power", "two")
        )
        await ask(
            GPROChat,
            "a signed request, raw text back",
            replica.url("geminiprochat"),
            secret_key=SECRET,
        )
    print("=== Recorded replies of the real software\n")
    decode("a stream, plugin 1.9.18", "ai-power", "ai-power/1.9.18/stream_ok.body")
    decode(
        "one JSON body behind PHP notices",
        "ai-power",
        "ai-power/1.9.18/php_notices_shown_ok_json.body",
    )
    decode("an assistant's events", "ai-power", "ai-power/1.9.18/assistant_stream_ok.body")
    decode(
        "an upstream error, word by word, twice",
        "ai-power",
        "ai-power/1.9.18/stream_upstream_err401.body",
    )
    decode("a stream that breaks off", "ai-power", "ai-power/1.9.18/stream_upstream_midfail.body")


async def ask(provider: type[ChatProvider], shows: str, url: str, **options: Any) -> None:
    """Stream one answer."""
    print(f"=== {provider.__name__}: {shows}\n")
    async with provider.create_async_generator("", MESSAGES, url=url, **options) as stream:
        await show(stream)


async def show(stream: ChatStream) -> None:
    """Print the text as it arrives, then how it ended."""
    deltas = 0
    async for text in stream:
        print(text, end="", flush=True)
        deltas += 1
    print(f"\n\n    [{deltas} deltas, end: {stream.end}]\n")


def decode(shows: str, dialect: Literal["ai-power", "aipkit"], name: str) -> None:
    """Decode one recorded reply in reads of 1400 bytes, as a network hands it over."""
    reply = (CAPTURES / name).read_bytes()
    decoder = DeltaDecoder(dialect)
    text = "".join(decoder.feed_text(reply[at : at + 1400]) for at in range(0, len(reply), 1400))
    text += "".join(decoder.close())
    print(f"{name}: {shows}\n    text:  {text!r}\n    end:   {decoder.end}")
    if decoder.error is not None:
        print(f"    error: {decoder.error}")
    print()


asyncio.run(main())
