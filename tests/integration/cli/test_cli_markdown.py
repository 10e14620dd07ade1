"""Markdown of an answer on a terminal: its words, whatever the screen."""

from __future__ import annotations

import re
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("termios")

from cli_process import run
from seen_terminal import on_terminal
from written_site import written_site

from tailrace.replica import Replica

if TYPE_CHECKING:
    from pathlib import Path

    from written_site import WrittenSite

MARKDOWN = "# Head\n\nSome **bold** and `code`.\n\n- one\n- two\n\n```py\nx = 1\n```\n"


def asking(site: WrittenSite, *arguments: str) -> tuple[str, ...]:
    return ("chat", "-n", "--url", site.url, "--software", "openai", "-m", "m", *arguments, "hello")


async def test_a_long_answer_is_seen_whole_on_a_small_screen() -> None:
    async with Replica(pace=0) as replica:
        url = replica.url("ai-power")
        arguments = ("chat", "--no-keep", "--url", url, "hello [[long]]")
        words = (await run(*arguments)).stdout.split()
        async with on_terminal(*arguments, columns=30, lines=6) as terminal:
            assert await terminal.end() == 0
            assert terminal.text.split() == words
    assert len(words) >= 400


async def test_markdown_is_shown_in_a_pipe_and_when_plain_as_it_is() -> None:
    async with written_site() as site:
        site.write(MARKDOWN, None, MARKDOWN, None, MARKDOWN, None)
        async with on_terminal(*asking(site)) as terminal:
            assert await terminal.end() == 0
            shown = "Head\n\nSome bold and code.\n\n• one\n• two\n\n```py\nx = 1\n```"
            assert terminal.text == shown
            assert b"\x1b[1m" in terminal.got
        async with on_terminal(*asking(site, "--plain")) as terminal:
            assert await terminal.end() == 0
            assert terminal.text == MARKDOWN.strip()
        end = await run(*asking(site))
        assert (end.code, end.stdout, end.stderr) == (0, MARKDOWN, "")


async def test_plain_can_be_set_for_good(tmp_path: Path) -> None:
    config = tmp_path / "tailrace.toml"
    config.write_text("[chat]\nplain = true\n")
    async with written_site() as site:
        site.write(MARKDOWN, None)
        async with on_terminal(*asking(site), TAILRACE_CONFIG=str(config)) as terminal:
            assert await terminal.end() == 0
            assert terminal.text == MARKDOWN.strip()


async def test_without_colours_and_on_a_dumb_terminal() -> None:
    async with written_site() as site:
        site.write(MARKDOWN, None, MARKDOWN, None)
        async with on_terminal(*asking(site), NO_COLOR="1") as terminal:
            assert await terminal.end() == 0
            assert "Some bold and code." in terminal.text
            assert re.search(rb"\x1b\[[0-9;]*[34][0-7]m", terminal.got) is None
        async with on_terminal(*asking(site), TERM="dumb") as terminal:
            assert await terminal.end() == 0
            assert terminal.got.decode().replace("\r\n", "\n") == MARKDOWN
        async with on_terminal(*asking(site)[:-1], TERM="dumb") as terminal:
            await terminal.prompted()
            site.write(MARKDOWN, None)
            terminal.type("hello\r")
            await terminal.until(MARKDOWN.strip())
            terminal.type("\x04")
            assert await terminal.end() == 0
            assert "> hello\n" in terminal.text
            assert b"\x1b" not in terminal.got


async def test_a_terminal_that_changes_its_size_loses_and_doubles_no_word() -> None:
    """The emulator cuts lines where its size shrinks: what is written to it is looked at."""
    words = [f"word{number:03}" for number in range(120)]
    async with written_site() as site, on_terminal(*asking(site), columns=60, lines=12) as terminal:
        begun = 0
        for first, size in ((0, (20, 8)), (40, (100, 30)), (80, None)):
            part = words[first : first + 40]
            site.write(" ".join(part) + " ")
            last = part[-1].encode()
            await terminal.until(lambda _: last in terminal.got)  # noqa: B023 - called here alone
            written = set(re.findall(r"word\d+", terminal.got[begun:].decode()))
            assert written == set(part)
            begun = len(terminal.got)
            if size is not None:
                terminal.resize(*size)
        site.write(None)
        assert await terminal.end() == 0


async def test_while_an_answer_comes_keys_are_not_echoed() -> None:
    async with written_site() as site, on_terminal(*asking(site)) as terminal:
        site.write("One")
        await terminal.until("One")
        terminal.type("secret words\r")
        site.write(" two", None)
        assert await terminal.end() == 0
        assert terminal.text == "One two"


async def test_sigterm_in_an_answer_leaves_the_terminal_as_it_was() -> None:
    async with written_site() as site, on_terminal(*asking(site)) as terminal:
        site.write("One")
        await terminal.until("One")
        assert not terminal.echoes
        terminal.process.terminate()
        assert await terminal.end() == -signal.SIGTERM
        assert terminal.echoes


async def test_in_the_background_of_a_terminal_an_answer_comes() -> None:
    """A process that changes a terminal that is not its own is stopped."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    async with written_site() as site:
        site.write("One two", None)
        background = (bash, "-mc", '"$@" & wait "$!"', bash)
        async with on_terminal(*asking(site), by=background) as terminal:
            await terminal.until("One two")
            assert await terminal.end() == 0


async def test_a_terminal_with_room_for_little() -> None:
    async with written_site() as site:
        site.write(
            "Some **bold** words, 漢字漢字漢字, and a\n\n| long head | b |\n|--|--|\n| c | d |\n",
            None,
        )
        async with on_terminal(*asking(site)[:-1], columns=12, lines=4) as terminal:
            await terminal.prompted()
            terminal.type("hi 漢字\r")
            seen = await terminal.until(lambda text: "│ d" in text and text.endswith(">"))
            terminal.type("\x04")
            assert await terminal.end() == 0
    assert "127.0…> hi" in seen
    assert "Some bold\nwords,\n漢字漢字漢\n字, and a\n\nlong    │ b\nhead    │\n" in seen


async def test_lines_that_end_in_cr_lf_are_lines_when_plain_too() -> None:
    async with written_site() as site:
        site.write("one\r", "\ntwo\r\n", "a\rb\r", None)
        async with on_terminal(*asking(site, "--plain")) as terminal:
            assert await terminal.end() == 0
            assert terminal.text == "one\ntwo\na\\u000db\\u000d"


async def test_an_encoding_that_lacks_letters_is_drawn_on_no_more_than_a_pipe_is() -> None:
    """Where an escape stands for a letter, no line is as wide as it was measured."""
    lines = "".join(f"| ü{number} | 漢字 |\n" for number in range(9))
    text = f"| ü | b |\n|--|--|\n{lines}"
    async with written_site() as site:
        site.write(*text.splitlines(keepends=True), None)
        async with on_terminal(
            *asking(site), columns=20, PYTHONIOENCODING="latin-1", PYTHONUTF8="0"
        ) as terminal:
            assert await terminal.end() == 0
    shown = terminal.got.decode("latin-1").replace("\r\n", "\n")
    assert shown == text.replace("漢字", "\\u6f22\\u5b57")


async def test_a_sign_of_life_has_one_line_when_plain_too() -> None:
    async with (
        written_site() as site,
        on_terminal(*asking(site, "--plain"), columns=12) as terminal,
    ):
        await terminal.until("waiting")
        site.write("ok", None)
        assert await terminal.end() == 0
    assert terminal.text == "ok"
