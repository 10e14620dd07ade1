"""``tailrace decode``: a recorded or piped reply in, its text out."""

from __future__ import annotations

from typing import BinaryIO

import click

from tailrace import DeltaDecoder
from tailrace.cli import exits

__all__ = ["decode"]

READ_SIZE = 64 * 2**10


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--dialect",
    type=click.Choice(["openai", "ai-power", "aipkit", "text"]),
    default="openai",
    show_default=True,
    help="The reply's form.",
)
@click.option("--content-type", help="The reply's Content-Type, where it matters (text/html is no text answer).")
@click.option("--status", type=click.IntRange(100, 999), default=200, show_default=True, help="The reply's status.")
@click.option("--failure-tail", help='What means failure at the very end of a text, as "Internal server error".')
def decode(
    file: BinaryIO,
    dialect: str,
    content_type: str | None,
    status: int,
    failure_tail: str | None,
) -> int:
    """Print the text of a reply: of FILE, or of stdin as it arrives (curl -N ... | tailrace decode)."""
    decoder = DeltaDecoder(dialect, content_type=content_type, status=status, failure_tail=failure_tail)
    read = getattr(file, "read1", file.read)
    last = "\n"
    while decoder.end == "open" and (data := read(READ_SIZE)):
        last = _print(decoder.feed_text(data), last)
    last = _print("".join(decoder.close()), last)
    if not last.endswith("\n"):
        click.echo()
    if decoder.bad_events:
        click.echo(f"tailrace: {decoder.bad_events} of {decoder.events} events skipped: bad data", err=True)
    if decoder.error is not None:
        click.echo(f"tailrace: {decoder.error}", err=True)
        return exits.SITE
    return exits.OK


def _print(text: str, last: str) -> str:
    if text:
        click.echo(text, nl=False)
    return text or last
