"""``tailrace chat`` on a terminal: what is typed, what is sent, and what is seen."""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("termios")

from cli_process import run_in
from seen_terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, on_terminal
from written_site import written_site

from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from seen_terminal import SeenTerminal
    from written_site import WrittenSite

LAST_WORDS = "so is event: error. 👋"  # of the replica's answers, as Markdown


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1, pace=0) as running:
        yield running


@asynccontextmanager
async def talk(
    site: WrittenSite, state: Path, *arguments: str, **options: Any
) -> AsyncIterator[SeenTerminal]:
    """A conversation with a written site, begun."""
    asked = ("--url", site.url, "--software", "openai", "-m", "m", *arguments)
    async with on_terminal("chat", *asked, XDG_STATE_HOME=str(state), **options) as terminal:
        await terminal.prompted()
        yield terminal


def turns(asked: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in asked["messages"]]


async def test_turns_are_remembered_and_ctrl_d_leaves(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        site.write("**Hi**, Zed", None, "Zed", None)
        terminal.type(f"I am Zed{ENTER}")
        await terminal.prompted(2)
        terminal.type(f"Who am I?{ENTER}")
        seen = await terminal.prompted(3)
        terminal.type(CTRL_D)
        assert await terminal.end() == 0
    assert "> I am Zed\nHi, Zed\n" in seen
    assert "> Who am I?\nZed\n" in seen
    assert turns(site.asked[1]) == [
        ("user", "I am Zed"),
        ("assistant", "**Hi**, Zed"),
        ("user", "Who am I?"),
    ]


async def test_a_question_has_several_lines(tmp_path: Path) -> None:
    keys = (
        f"one{ALT_ENTER}two",
        "one\ntwo",  # Ctrl-J
        f"one\\{ENTER}two",
        "\x1b[200~one\r\ntwo\x1b[201~",  # pasted
        "\x1b[200~one\ntwo\x1b[201~",
    )
    async with written_site() as site, talk(site, tmp_path) as terminal:
        for number, each in enumerate(keys):
            site.write("ok", None)
            terminal.type(each + ENTER)
            await terminal.prompted(number + 2)
            assert turns(site.asked[number])[-1] == ("user", "one\ntwo")


async def test_questions_are_remembered_for_the_next_time(tmp_path: Path) -> None:
    async with written_site() as site:
        for keys in ("föö 漢字", "\x1b[A"):  # the arrow upwards
            async with talk(site, tmp_path) as terminal:
                site.write("ok", None)
                terminal.type("x")
                await terminal.until("> x")  # so that the earlier ones are there
                terminal.type(f"\x7f{keys}")
                await terminal.until("föö 漢字")
                terminal.type(ENTER)
                await terminal.prompted(2)
                terminal.type(CTRL_D)
                assert await terminal.end() == 0
        assert [turns(each) for each in site.asked] == [[("user", "föö 漢字")]] * 2
    file = tmp_path / "tailrace" / "questions.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_ctrl_c_stops_the_answer_and_not_the_conversation(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        site.write("The first words")
        terminal.type(f"go{ENTER}")
        await terminal.until("first words")
        terminal.type(CTRL_C)
        await site.gone.wait()  # the connection is closed
        seen = await terminal.prompted(2)
        assert "\nThe first words\nstopped\n" in seen
        site.write("and the last", None)
        terminal.type(f"go on{ENTER}")
        await terminal.prompted(3)
        assert turns(site.asked[1]) == [
            ("user", "go"),
            ("assistant", "The first words"),
            ("user", "go on"),
        ]
        terminal.type(CTRL_D)
        assert await terminal.end() == 0


async def test_while_a_site_is_silent_there_is_a_sign_of_life(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        terminal.type(f"go{ENTER}")
        await terminal.until(lambda text: re.search(r". waiting, \d+ s$", text) is not None)
        site.write("Well")
        await terminal.until(
            lambda text: re.search(r"\nWell\n. waiting for more, \d+ s$", text) is not None
        )
        site.write(" then.", None)
        seen = await terminal.prompted(2)
    assert "\nWell then.\n" in seen
    assert "waiting" not in seen


async def test_what_is_pasted_during_an_answer_is_one_question(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        terminal.type(f"go{ENTER}")
        await terminal.until("waiting")
        *_, told = re.findall(rb"\x1b\[\?2004[hl]", terminal.got)
        assert told == b"\x1b[?2004h"  # the terminal says what is pasted
        # The mark is parted by how much is read at once, and an Escape comes alone.
        for keys in ("x" * 1021 + "\x1b[200~one\rtwo\x1b[201~", "\x1b"):
            terminal.type(keys)
            for _ in range(2):  # turns of the sign of life: what was typed has been read
                before = len(terminal.got)
                await terminal.until(lambda _: len(terminal.got) > before)  # noqa: B023 - here alone
        site.write("yes", None)
        await terminal.until("\nyes\n")
        site.write("and that", None)
        terminal.type(f"!{ENTER}")
        await terminal.until("\nand that\n")
    assert turns(site.asked[1])[-1] == ("user", "x" * 1021 + "one\ntwo!")


async def test_ctrl_c_before_the_first_byte_and_what_was_typed_meanwhile(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        terminal.type(f"go{ENTER}")
        await terminal.until("waiting")
        terminal.type("thrown away" + CTRL_C)
        await site.gone.wait()
        seen = await terminal.prompted(2)
        assert "go\nstopped\n" in seen
        terminal.type(CTRL_C + "line" + CTRL_C)  # drops a line, and ends nothing
        await terminal.prompted(4)
        terminal.type(f"go on{ENTER}")
        await terminal.until("waiting")
        terminal.type("next")  # which waits for its turn, unseen
        site.write("yes", None)
        seen = await terminal.until("> next")
        assert "\nyes\n" in seen
        assert [turns(each) for each in site.asked] == [[("user", "go")], [("user", "go on")]]


async def test_a_failed_turn_does_not_count_and_can_be_asked_again(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        site.write("first", None, "You c", OSError, "You can", OSError, "You can.", None)
        terminal.type(f"one{ENTER}")
        await terminal.prompted(2)
        terminal.type(f"can I?{ENTER}")
        seen = await terminal.until("the turn does not count; /retry asks again")
        assert "\nYou c\ntailrace: " in seen
        await terminal.prompted(3)
        terminal.type(f"/retry{ENTER}")
        await terminal.until("\nYou can\ntailrace: ")
        await terminal.prompted(5)
        terminal.type(f"/retry{ENTER}")
        await terminal.until("\nYou can.\n")
        await terminal.prompted(7)
        site.write("Yes.", None)
        terminal.type(f"/retry{ENTER}")  # of one that was answered: the answer goes
        await terminal.until("\nYes.\n")
    once = [("user", "one"), ("assistant", "first"), ("user", "can I?")]
    assert [turns(each) for each in site.asked[1:]] == [once] * 4


async def test_a_turn_that_is_asked_again_twice_takes_one_place(tmp_path: Path) -> None:
    """The answer stays until there is another; no try is sent what an earlier one has asked."""
    async with written_site() as site, talk(site, tmp_path) as terminal:
        site.write("first", None)
        terminal.type(f"one{ENTER}")
        await terminal.prompted(2)
        site.write(OSError)
        terminal.type(f"/retry{ENTER}")
        await terminal.until("the turn does not count")
        await terminal.prompted(4)
        terminal.type(f"/retry{ENTER}")
        await terminal.until("waiting")
        terminal.type(CTRL_C)
        await terminal.until("\nstopped\n")
        await terminal.prompted(6)
        terminal.type(f"/system Be brief.{ENTER}")
        await terminal.until("is set")
        await terminal.prompted(7)
        site.write("second", None)
        terminal.type(f"/retry{ENTER}")
        await terminal.until("\nsecond\n")
        await terminal.prompted(9)
        site.write("third", None)
        terminal.type(f"two{ENTER}")
        await terminal.until("\nthird\n")
    assert [turns(each) for each in site.asked[:3]] == [[("user", "one")]] * 3
    asked = [("system", "Be brief."), ("user", "one")]
    assert turns(site.asked[3]) == asked
    assert turns(site.asked[4]) == [*asked, ("assistant", "second"), ("user", "two")]


async def test_what_a_command_does_not_take_is_named_and_not_dropped(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        for number, name in enumerate(("help", "retry", "new", "quit"), 2):
            terminal.type(f"/{name} me{ENTER}")
            await terminal.until(f"/{name} takes nothing behind it")
            await terminal.prompted(number)
        terminal.type(f"/system Be brief,{ALT_ENTER}and  kind.{ENTER}")
        await terminal.until("the system message is set")
        await terminal.prompted(6)
        site.write("ok", None)
        # What is pasted has lines, a tab, and an escape that must not reach the terminal raw.
        terminal.type(f"\x1b[200~    if x:\r\n\ty = '\x1b]0;title\x07'\x1b[201~{ENTER}")
        await terminal.until("\nok\n")
        await terminal.prompted(7)
        terminal.type(f"/retry{ENTER}")
        await terminal.until("title\\u0007")
        assert b"\x1b]0;title" not in terminal.got
        site.write("ok", None)
        await terminal.prompted(9)
    assert turns(site.asked[0]) == [
        ("system", "Be brief,\nand  kind."),
        ("user", "    if x:\n\ty = '\x1b]0;title\x07'"),
    ]


async def test_an_answer_that_was_cut_is_told_and_one_that_was_not_is_not(tmp_path: Path) -> None:
    cut = "the answer was cut: its finish reason is "
    async with written_site() as site:
        async with talk(site, tmp_path) as terminal:
            for number, reason in enumerate(("stop", "STOP", "completed", "length", "SAFETY"), 2):
                site.write("ok", f"[{reason}]", None)
                terminal.type(f"go{ENTER}")
                seen = await terminal.prompted(number)
        assert re.findall(f"{cut}(.*)", seen) == ["length", "SAFETY"]
        for reason, told in (("MAX_TOKENS", f"tailrace: {cut}MAX_TOKENS\n"), ("end_turn", "")):
            site.write("ok", f"[{reason}]", None)
            asked = ("chat", "--url", site.url, "--software", "openai", "-m", "m", "go")
            end = await run_in({}, *asked)
            assert (end.code, end.stdout, end.stderr) == (0, "ok\n", told)


async def test_options_are_for_the_site_they_were_given_for(tmp_path: Path) -> None:
    async with (
        written_site() as site,
        written_site() as other,
        talk(site, tmp_path, "-H", "X-Key: pepper") as terminal,
    ):
        prompts = 1
        for each in (site, other, site):
            for command in (f"/site {each.url} openai", "/model m"):
                terminal.type(f"{command}{ENTER}")
                await terminal.prompted(prompts := prompts + 1)
            each.write("ok", None)
            terminal.type(f"hello{ENTER}")
            await terminal.prompted(prompts := prompts + 1)
    assert [each.get("X-Key") for each in site.headers] == ["pepper", "pepper"]
    assert [each.get("X-Key") for each in other.headers] == [None]


async def test_no_secret_of_a_command_is_kept(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        for number, keys in enumerate(("What?", "/ new", "/site http://u:hunter2@127.0.0.1:9/"), 2):
            site.write("ok", None)
            terminal.type(f"{keys}{ENTER}")
            seen = await terminal.prompted(number)
        terminal.type("\x1b[A\x1b[A")  # they are there as long as this lasts
        await terminal.until("> / new")
    assert "there is no /: " in seen
    text = (tmp_path / "tailrace" / "questions.jsonl").read_text("utf-8")
    assert text == '"What?"\n'


async def test_a_system_message_from_a_file_does_not_order_the_terminal(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path, "-s", "\x1b]0;t\x07a") as terminal:
        terminal.type(f"/system{ENTER}")
        await terminal.until("\\u001b]0;t\\u0007a")
        assert b"\x1b]0;t" not in terminal.got


async def test_a_files_name_with_spaces_is_completed(tmp_path: Path) -> None:
    (tmp_path / "my long talk.md").touch()
    async with written_site() as site, talk(site, tmp_path, columns=400) as terminal:
        terminal.type(f"/save {tmp_path}/my lo\t")
        await terminal.until(f"/save {tmp_path}/my long talk.md")


async def test_commands(tmp_path: Path, replica: Replica) -> None:
    config = tmp_path / "tailrace.toml"
    config.write_text(f'[sites.shop]\nurl = "{replica.page("ai-power", "stream")}"\n')
    file = tmp_path / "talk.md"
    async with (
        written_site() as site,
        # So wide that what holds a path stands on one line.
        talk(site, tmp_path, columns=400, TAILRACE_CONFIG=str(config)) as terminal,
    ):

        async def command(keys: str, says: str) -> str:
            terminal.type(f"{keys}{ENTER}")
            await terminal.until(says)
            return await terminal.prompted()

        await command("/help", "/quit")
        await command("/mdoel", "did you mean /model?")
        await command("/system Be brief.", "the system message is set")
        await command("/model large", "large answers from now on")
        site.write("Ha.", None)
        await command("Say ha", "\nHa.")
        assert site.asked[0]["model"] == "large"
        assert turns(site.asked[0]) == [("system", "Be brief."), ("user", "Say ha")]
        site.write("Hm.", None)
        await command("/retry", "\nHm.")
        assert turns(site.asked[1]) == turns(site.asked[0])
        await command(f"/save {file}", "3 messages are in")
        await command(f"/save {file}", "is there already")
        await command("/site shp", "there is no provider 'shp'")
        await command("/site shop", "shop answers from now on, and is sent all turns")
        await command("And now?", LAST_WORDS)
        sent = replica.exchanges[-1].form
        assert sent is not None
        assert "Hm." in sent["message"]
        await command("/system -", "the system message is gone")
        await command("/new", "a new conversation")
        await command("/retry", "there is nothing to ask again")
        await command(" /etc/hosts is a file", LAST_WORDS)
        terminal.type(f"/quit{ENTER}")
        assert await terminal.end() == 0
    text = file.read_text("utf-8")
    assert text == "## system\n\nBe brief.\n\n## user\n\nSay ha\n\n## assistant\n\nHm.\n"


async def test_commands_sites_and_models_are_completed(tmp_path: Path) -> None:
    config = tmp_path / "tailrace.toml"
    config.write_text('[sites.shop]\nurl = "http://127.0.0.1:9/"\nmodels = ["large", "small"]\n')
    arguments = ("chat", "--no-keep", "-p", "shop")
    async with on_terminal(*arguments, TAILRACE_CONFIG=str(config)) as terminal:
        await terminal.prompted()
        for keys, seen in (
            ("/mod\t", "> /model"),
            (" la\t", "> /model large"),
            (f"{CTRL_C}/site sh\t", "> /site shop"),
        ):
            terminal.type(keys)
            await terminal.until(seen)


async def test_a_conversation_is_kept_for_its_user_alone_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "tailrace" / "conversations"
    secret = ("-H", "Authorization: Bearer sk-pepper", "--option", 'extra={"k": "sk-pepper"}')
    async with written_site() as site:
        async with talk(site, tmp_path, *secret, "-s", "Be brief.") as terminal:
            site.write("Hi Zed", None)
            terminal.type(f"I am Zed{ENTER}")
            await terminal.prompted(2)
            terminal.type(CTRL_D)
            assert await terminal.end() == 0
        assert site.headers[0]["Authorization"] == "Bearer sk-pepper"
        assert site.asked[0]["k"] == "sk-pepper"
        (file,) = folder.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert "pepper" not in file.read_text("utf-8")
        async with on_terminal("chat", "-c", XDG_STATE_HOME=str(tmp_path)) as terminal:
            seen = await terminal.prompted()
            assert "going on with 2 messages" in seen
            assert "I am Zed\nHi Zed\n" in seen
            site.write("Zed", None)
            terminal.type(f"Who am I?{ENTER}")
            await terminal.until("\nZed\n")
            await terminal.prompted()
        assert turns(site.asked[1]) == [
            ("system", "Be brief."),
            ("user", "I am Zed"),
            ("assistant", "Hi Zed"),
            ("user", "Who am I?"),
        ]
        # One question goes on as well, in a pipe too.
        state = {"XDG_STATE_HOME": str(tmp_path)}
        site.write("Sure", None)
        end = await run_in(state, "chat", "--continue", "Sure?")
        assert (end.code, end.stdout, end.stderr) == (0, "Sure\n", "")
        assert len(site.asked[2]["messages"]) == 6
        assert [each.name for each in folder.iterdir()] == [file.name]
        assert len(json.loads(file.read_bytes())["messages"]) == 7


async def test_nothing_is_kept_where_nothing_shall_be(tmp_path: Path) -> None:
    config = tmp_path / "tailrace.toml"
    config.write_text("[chat]\nkeep = false\n")
    state = tmp_path / "state"
    async with written_site() as site:
        for arguments, variables in (
            (("--no-keep",), {}),
            ((), {"TAILRACE_CONFIG": str(config)}),
        ):
            async with talk(site, state, *arguments, **variables) as terminal:
                site.write("ok", None)
                terminal.type(f"hello{ENTER}")
                await terminal.prompted(2)
        site.write("ok", None)
        end = await run_in(
            {"XDG_STATE_HOME": str(state)},
            *("chat", "--url", site.url, "--software", "openai", "-m", "m", "hello"),
        )
        assert end.code == 0  # in a pipe
    assert not state.exists()
    end = await run_in({"TAILRACE_CONFIG": str(config)}, "chat", "-c", "x")
    assert (end.code, end.stdout) == (2, "")
    assert f"nothing is kept: {config} says keep = false" in end.stderr


async def test_two_conversations_at_once_do_not_meet(tmp_path: Path) -> None:
    async with (
        written_site() as first,
        written_site() as second,
        talk(first, tmp_path) as one,
        talk(second, tmp_path) as two,
    ):
        for site, terminal, words in ((first, one, "red"), (second, two, "blue")):
            site.write(words, None)
            terminal.type(f"{words}?{ENTER}")
            await terminal.prompted(2)
        # Both go on, and a third goes on with what the second has written.
        async with on_terminal("chat", "-c", XDG_STATE_HOME=str(tmp_path)) as three:
            await three.prompted()
            second.write("more blue", None)
            two.type(f"more?{ENTER}")
            await two.until("more blue\n")
            await two.prompted()
            second.write("other blue", None)
            three.type(f"other?{ENTER}")
            await three.until("somebody else went on with it: this is a copy")
    kept = [
        [each["content"] for each in json.loads(file.read_bytes())["messages"]]
        for file in (tmp_path / "tailrace" / "conversations").iterdir()
    ]
    assert sorted(kept) == [
        ["blue?", "blue", "more?", "more blue"],
        ["blue?", "blue", "other?", "other blue"],
        ["red?", "red"],
    ]


async def test_a_broken_state_is_told_and_harms_no_conversation(tmp_path: Path) -> None:
    folder = tmp_path / "tailrace" / "conversations"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{")
    (tmp_path / "tailrace" / "questions.jsonl").write_bytes(b'{\n"old"\n\xff\n5\n')
    state = {"XDG_STATE_HOME": str(tmp_path)}
    end = await run_in(state, "chat", "-c", "x")
    assert (end.code, end.stdout) == (2, "")
    assert f"the last conversation, {folder / 'x.json'}, cannot be read" in end.stderr
    async with written_site() as site:
        async with talk(site, tmp_path) as terminal:
            terminal.type("x")
            await terminal.until("> x")
            terminal.type("\x7f\x1b[A")
            await terminal.until("> old")
        blocked = tmp_path / "file"
        blocked.touch()
        async with talk(site, blocked) as terminal:
            site.write("ok", None, "ok", None)
            terminal.type(f"hello{ENTER}")
            seen = await terminal.prompted(2)
            terminal.type(f"again{ENTER}")
            seen = await terminal.prompted(3)
        assert seen.count("the conversation is not kept: ") == 1
        assert seen.count("questions are not kept: ") == 1


async def test_who_goes_on_elsewhere_is_sent_what_is_meant_for_there(tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path)}
    async with written_site() as site, written_site() as other:
        async with talk(site, tmp_path) as terminal:
            site.write("Hi Zed", None)
            terminal.type(f"I am Zed{ENTER}")
            await terminal.prompted(2)
        end = await run_in(state, "chat", "-c", "--software", "ollama", "x")
        assert (end.code, end.stdout) == (2, "")
        assert "the conversation is one with openai: give the URL, too" in end.stderr
        elsewhere = ("--url", other.url, "--software", "openai")
        end = await run_in(state, "chat", "-c", *elsewhere, "x")
        assert end.code == 2  # the model was one of the other site's
        assert other.asked == []
        other.write("Zed", None)
        end = await run_in(state, "chat", "-c", *elsewhere, "-m", "n", "Who am I?")
        assert (end.code, end.stdout) == (0, "Zed\n")
        assert other.asked[0]["model"] == "n"


async def test_what_is_no_text_is_kept_with_its_bytes_replaced(tmp_path: Path) -> None:
    async with written_site() as site:
        site.write("ok", None)
        asked = ("chat", "--url", site.url, "--software", "openai", "-m", "\udcff", "\udcfe?")
        async with on_terminal(*asked, XDG_STATE_HOME=str(tmp_path)) as terminal:
            assert await terminal.end() == 0
            assert terminal.text == "ok"
    (file,) = (tmp_path / "tailrace" / "conversations").iterdir()
    kept = json.loads(file.read_bytes())
    assert (kept["model"], kept["messages"][0]["content"]) == ("?", "??")


async def test_a_kept_file_from_elsewhere_is_written_where_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "tailrace" / "conversations"
    folder.mkdir(parents=True)
    state = {"XDG_STATE_HOME": str(tmp_path)}
    async with written_site() as site:
        text = (
            '{"version": 1, "id": "../../elsewhere", "begun": "", "site": "", "url": "URL", '
            '"whole": true, "software": "openai", "bot": null, "model": "m", '
            '"messages": [{"role": "user", "content": "I am Zed"}]}'
        )
        kept = json.loads(text.replace("URL", site.url))
        (folder / "theirs.json").write_text(json.dumps(kept))
        site.write("Zed", None)
        end = await run_in(state, "chat", "-c", "Who am I?")
        assert (end.code, end.stdout, end.stderr) == (0, "Zed\n", "")
        for wrong in ({"url": "http://["}, {"software": "x"}, {"bot": "5"}, {"site": "nobody"}):
            (folder / "theirs.json").write_text(json.dumps({**kept, **wrong}))
            end = await run_in(state, "chat", "-c", "x")
            assert (end.code, end.stdout) == (2, "")
            assert "who answered in the last conversation, " in end.stderr
    assert os.listdir(tmp_path) == ["tailrace"]  # noqa: PTH208 - pathlib's own would wait, too
    assert os.listdir(folder) == ["theirs.json"]  # noqa: PTH208


async def test_without_a_kept_conversation_it_is_2(tmp_path: Path) -> None:
    end = await run_in({"XDG_STATE_HOME": str(tmp_path)}, "chat", "-c", "x")
    assert (end.code, end.stdout) == (2, "")
    assert "there is no conversation to go on with" in end.stderr
    end = await run_in({}, "chat", "-c", "-n", "x")
    assert end.code == 2
    assert "leave out --no-keep" in end.stderr


async def test_a_conversation_stays_with_its_site(tmp_path: Path, replica: Replica) -> None:
    """A site of the same name elsewhere, or a URL whose secret is gone, is sent no history."""
    config = tmp_path / "tailrace.toml"
    config.write_text(f'[sites.shop]\nurl = "{replica.page("ai-power", "stream")}"\n')
    variables: dict[str, Any] = {
        "XDG_STATE_HOME": str(tmp_path),
        "TAILRACE_CONFIG": str(config),
    }
    async with on_terminal("chat", "-p", "shop", "hello", **variables) as terminal:
        assert await terminal.end() == 0
    config.write_text('[sites.shop]\nurl = "http://127.0.0.1:9/"\n')
    end = await run_in(variables, "chat", "-c", "x")
    assert end.code == 2
    assert "shop is another site here, http://127.0.0.1:9, than the one of the" in end.stderr
    secret = replica.page("ai-power", "stream").replace("http://", "http://u:hunter2@")
    async with on_terminal("chat", "-p", f"{secret}?key=pepper", "hello", **variables) as terminal:
        assert await terminal.end() == 0
    for file in (tmp_path / "tailrace" / "conversations").iterdir():
        assert not re.search("hunter2|pepper", file.read_text("utf-8"))
    end = await run_in(variables, "chat", "-c", "x")
    assert end.code == 2
    assert "held a secret, which is not kept" in end.stderr


async def test_sigterm_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        terminal.type(f"go{ENTER}")
        await terminal.until("waiting")
        terminal.process.terminate()
        assert await terminal.end() == 143
        assert "Traceback" not in terminal.text


async def test_the_other_end_of_the_terminal_goes(tmp_path: Path) -> None:
    async with written_site() as site, talk(site, tmp_path) as terminal:
        terminal.type(f"go{ENTER}")
        await terminal.until("waiting")
    assert terminal.process.returncode is not None


async def test_without_a_terminal_no_conversation_begins() -> None:
    end = await run_in({}, "chat", "--replica", stdin=b"hello")
    assert (end.code, end.stderr) == (0, "")
    assert end.stdout.startswith("You asked: “hello”")
    async with on_terminal("chat", "--replica", "--json") as terminal:
        await terminal.until("end it with Ctrl-D")
        terminal.type(f"hello\n{CTRL_D}")
        assert await terminal.end() == 0
    assert '"end": "done"' in terminal.text
