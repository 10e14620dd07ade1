"""``tailrace decode``: recorded or piped replies in, their texts out."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from tailrace import DIALECTS, DeltaDecoder
from tailrace._cli import exits
from tailrace._cli.archives import MAX_REPLY_BYTES, Decoded, decode_files, find, pieces
from tailrace._cli.besides import named, tell_besides, told
from tailrace._cli.screen import console
from tailrace._printable import visible_line
from tailrace.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from tailrace import DecodedReply
    from tailrace._cli.archives import File

__all__ = ["below", "decode"]

READ_SIZE = 64 * 2**10


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option(
    "--dialect",
    type=click.Choice((*DIALECTS, "auto")),
    default="openai",
    show_default=True,
    help="The replies' form; auto finds it out from each one's first event or object.",
)
@click.option(
    "--content-type",
    help="The replies' Content-Type, where it matters (text/html is no text answer).",
)
@click.option(
    "--status",
    type=click.IntRange(100, 999),
    default=200,
    show_default=True,
    help="The replies' status.",
)
@click.option(
    "--failure-tail",
    help='What means failure at the very end of a text, as "Internal server error".',
)
@click.option("-r", "--recursive", is_flag=True, help="Take all files in folders, too.")
@click.option(
    "--json", "as_json", is_flag=True, help="A JSON object a reply, one a line; also of one FILE."
)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each text to DIR, in a file of its own that must not exist.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Of many: how many to use; all processors unless given.",
)
@click.option(
    "--max-reply-bytes",
    type=click.IntRange(min=1),
    default=MAX_REPLY_BYTES,
    show_default=True,
    help="Of many: the most bytes of a reply, unpacked.",
)
def decode(
    files: tuple[str, ...],
    recursive: bool,
    as_json: bool,
    output: Path | None,
    threads: int | None,
    max_reply_bytes: int,
    **options: Any,
) -> int:
    """Print the text of a reply: of FILE, or of stdin (curl -N ... | tailrace decode).

    What else it holds (tool calls, reasoning, a refusal) is named on stderr; --json gives it. Of
    several FILEs each is a reply. They are decoded on all processors, and make a JSON object a
    line, or files in the folder that --output names. What is compressed with gzip or zstd is
    unpacked.
    """
    if as_json and output:
        raise click.UsageError("--json and --output exclude each other")
    if len(files) <= 1 and not (recursive or as_json or output):
        return _decode_one(files[0] if files else "-", options)
    return _decode_many(
        _files_at(files, recursive=recursive),
        _Folder(output) if output else _Lines(),
        {"threads": threads, "max_reply_bytes": max_reply_bytes, **options},
    )


# -- one -------------------------------------------------------------------------------------------


def _decode_one(name: str, options: dict[str, Any]) -> int:
    file: IO[bytes] = click.File("rb").convert(name, None, click.get_current_context())
    decoder = DeltaDecoder(**options)
    decoder.collect()
    last, broken = "\n", None
    try:
        with closing(pieces(file, READ_SIZE)) as data:
            while decoder.end == "open" and (piece := next(data, b"")):
                last = _print(decoder.feed_text(piece), last)
    except ArchiveError as error:
        broken = error
    last = _print("".join(decoder.close(complete=broken is None)), last)
    if not last.endswith("\n"):
        click.echo()
    tell_besides(decoder)
    if decoder.bad_events:
        click.echo(
            f"tailrace: {decoder.bad_events} of {decoder.events} events skipped: bad data", err=True
        )
    if broken is not None:
        raise ArchiveError(f"{visible_line(name)}: {broken}")
    if decoder.error is not None:
        click.echo(f"tailrace: {decoder.error}", err=True)
        return exits.SITE
    return exits.OK


def _print(text: str, last: str) -> str:
    if text:
        click.echo(text, nl=False)
    return text or last


# -- many ------------------------------------------------------------------------------------------


def _files_at(paths: Iterable[str], *, recursive: bool) -> list[File]:
    for path in paths:
        if path == "-":
            raise click.UsageError("stdin (-) is one reply, and stands alone")
        if not recursive and Path(path).is_dir():
            raise click.UsageError(
                f"{visible_line(path)}: Is a directory; -r takes the files in it"
            )
    files = list(find(paths))
    if not files:
        raise click.UsageError(
            "there are no files; stdin is decoded without -r, --json and --output"
        )
    return files


def _decode_many(files: list[File], output: _Folder | _Lines, options: dict[str, Any]) -> int:
    tally = _Tally()
    shown = sys.stderr.isatty() and not (isinstance(output, _Lines) and sys.stdout.isatty())
    bar = _progress(sum(file.size for file in files)) if shown else nullcontext(lambda _: None)
    with bar as advance, closing(decode_files(files, **options)) as batches:
        for batch in batches:
            output.write(batch, tally)
            advance(sum(each.file.size for each in batch))
    click.echo(tally.summary(), err=True)
    return tally.code()


class _Tally:
    """The counts of a run: replies by their end, files with problems, bytes and seconds."""

    def __init__(self) -> None:
        self._ends: Counter[str] = Counter()
        self._with_more = 0
        self._problems = 0
        self._bytes = 0
        self._start = time.perf_counter()

    def reply(self, decoded: Decoded, reply: DecodedReply) -> None:
        """Count one reply and the bytes of its file."""
        self._ends[reply.end] += 1
        self._bytes += decoded.size

    def more_than_text(self) -> None:
        """Count a reply that holds more than the text that is written."""
        self._with_more += 1

    def problem(self, file: File, problem: str) -> None:
        """Count and report a file that cannot be read to its end, or cannot be written."""
        self._problems += 1
        _complain(file, problem)

    def summary(self) -> str:
        """Return all counts and the speed as one line."""
        seconds = time.perf_counter() - self._start
        count = self._ends.total()
        ends = ", ".join(
            f"{self._ends[end]:,} {end}" for end in ("done", "stopped", "truncated", "failed")
        )
        files = f"; {self._problems:,} {'file' if self._problems == 1 else 'files'} with problems"
        more = f"; {self._with_more:,} with more than text, which --json shows"
        return (
            f"tailrace: {count:,} {'reply' if count == 1 else 'replies'}: "
            f"{ends}{more if self._with_more else ''}{files if self._problems else ''}; "
            f"{self._bytes:,} bytes in {seconds:.2f} s, {self._bytes / seconds / 1e9:.2f} GB/s"
        )

    def code(self) -> int:
        """Return the exit code; a problem with a file outranks one with a reply."""
        if self._problems:
            return exits.USAGE
        return exits.SITE if self._ends["truncated"] or self._ends["failed"] else exits.OK


def _complain(file: File, problem: object) -> None:
    click.echo(f"tailrace: {visible_line(file.name)}: {visible_line(str(problem))}", err=True)


def _progress(total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Show a progress bar on stderr, over the bytes of the files on the disk."""
    from rich.progress import (  # noqa: PLC0415 - slow to import, needed on a terminal only
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    @contextmanager
    def bar() -> Iterator[Callable[[int], None]]:
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(
            *columns,
            console=console(stderr=True),
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        ) as progress:
            task = progress.add_task("", total=total)
            yield lambda size: progress.advance(task, size)

    return bar()


class _Lines:
    """Replies as JSON on stdout, one a line."""

    def write(self, batch: list[Decoded], tally: _Tally) -> None:
        """Write a batch; the error of a reply is part of its line."""
        lines = []
        for decoded in batch:
            if decoded.reply is not None:
                lines.append(_line(decoded.file.name, decoded.reply))
                tally.reply(decoded, decoded.reply)
            if decoded.problem is not None:
                tally.problem(decoded.file, decoded.problem)
        data = msgspec.json.Encoder().encode_lines(lines)
        # A file's JSON is UTF-8, whatever the locale; a terminal is written text.
        click.echo(data.decode() if sys.stdout.isatty() else data, nl=False)


def _line(name: str, reply: DecodedReply) -> dict[str, Any]:
    usage, error = reply.usage, reply.error
    return {
        # A name may be no UTF-8.
        "file": name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
        "text": reply.text,
        "end": reply.end,
        "finish_reason": reply.finish_reason,
        "usage": usage and usage._asdict(),
        "ids": reply.ids,
        "error": error
        and {
            "type": type(error).__name__,
            "kind": error.kind,
            "message": str(error),
            "code": error.code,
        },
        "events": reply.events,
        "bad_events": reply.bad_events,
        **told(reply),
    }


class _Folder:
    """Texts in files of their own below a folder; a file that exists is not overwritten."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, batch: list[Decoded], tally: _Tally) -> None:
        """Write a batch; errors of replies go to stderr, since a file holds the text alone."""
        for decoded in batch:
            problem = decoded.problem
            if decoded.reply is not None:
                tally.reply(decoded, decoded.reply)
                if named(decoded.reply):
                    tally.more_than_text()
                if decoded.reply.error is not None:
                    _complain(decoded.file, decoded.reply.error)
                problem = self._write_text(decoded.file.name, decoded.reply.text) or problem
            if problem is not None:
                tally.problem(decoded.file, problem)

    def _write_text(self, name: str, text: str) -> str | None:
        """Write one text; return why it cannot be written, None where it was."""
        path = self._folder / below(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            return f"{path}: {error.strerror or error}"
        return None


def below(name: str) -> Path:
    """Return a relative path for the text of the file `name`, without ``..``.

    Characters that some system refuses in names become ``_``.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
    return Path(
        *(re.sub(r'[\0-\x1f\x7f<>:"|?*]', "_", part) for part in [*parts[:-1], f"{parts[-1]}.txt"])
    )
