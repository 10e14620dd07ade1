"""The files of sites that are read, and the lists of models that servers told."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

import llm
import pytest
from aiohttp import web
from mill import KEY, answer, model

from tailrace._streams.loop_thread import LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("default")

API = '[sites.{name}]\nurl = "{url}"\nsoftware = "openai"\ndefault_model = "any"\n'


@pytest.fixture
def folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file in its folder, and two folders without one; the first is entered."""
    own = home / "config" / "tailrace"
    for folder in (own, home / "one", home / "two"):
        folder.mkdir(parents=True)
    shutil.move(home / "tailrace.toml", own / "tailrace.toml")
    monkeypatch.delenv("TAILRACE_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.chdir(home / "one")
    return home


# -- files -----------------------------------------------------------------------------------------


def test_a_strangers_file_with_an_error_takes_no_site_of_ones_own(folders: Path) -> None:
    (folders / "one" / "tailrace.toml").write_text("[sites.x]\nurl = 5\n")
    assert model("chat").prompt("Hello").text() == answer()


def test_a_models_site_stays_the_one_it_was(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may go to another folder, and a site there may have the same name."""
    profiles = (folders / "config" / "tailrace" / "tailrace.toml").read_text("utf-8")
    shop = profiles[profiles.index("[sites.shop]") : profiles.index("[sites.kit]")]
    (folders / "one" / "tailrace.toml").write_text(shop.replace("shop", "mine"))
    (folders / "two" / "tailrace.toml").write_text(
        API.format(name="mine", url="http://127.0.0.1:9/v1")
    )
    asked = model("mine")
    monkeypatch.setenv("TAILRACE_CONFIG", "tailrace.toml")
    named = model("mine")
    monkeypatch.chdir(folders / "two")
    assert named.prompt("Hello").text() == answer()
    assert asked.prompt("Hello").text() == answer()


def test_a_file_that_is_named_later_is_no_sign_of_trust(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders / "one" / "tailrace.toml").write_text(
        API.format(name="mine", url="http://127.0.0.1:9/v1") + 'api_key_env = "MILL_KEY"\n'
    )
    asked = model("mine")
    monkeypatch.setenv("TAILRACE_CONFIG", str(folders / "config" / "tailrace" / "tailrace.toml"))
    with pytest.raises(llm.ModelError, match="run `tailrace trust`"):
        asked.prompt("Hello").text()


def test_sites_stand_in_the_order_of_their_files(folders: Path) -> None:
    mine = API.format(name="mine", url="http://127.0.0.1:9/v1")
    (folders / "one" / "tailrace.toml").write_text(mine)
    ids = [each.model_id for each in llm.get_models() if each.model_id.startswith("tailrace/")]
    assert ids[:2] == ["tailrace/mine", "tailrace/shop"]


def test_a_folder_that_is_gone_takes_no_other_model(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "one").rmdir()
    assert llm.get_model("gpt-4o")
    assert "no site is a model" in capsys.readouterr().err


async def test_a_files_error_is_told_once(home: Path, command: Callable[..., Any]) -> None:
    """It may quote what a stranger wrote for the terminal to obey."""
    (home / "tailrace.toml").write_text('[sites."a\\u001b[2J"]\nurl = 5\n')
    code, _, errors = await command("-m", "nowhere", "Hello")
    assert (code, errors.count(r"sites.a\u001b[2J")) == (1, 1)


# -- lists -----------------------------------------------------------------------------------------


@pytest.fixture
def listing(home: Path) -> Iterator[Callable[..., Any]]:
    """Servers whose list of models a test gives, each a site by its name; None never answers."""
    lists: dict[str, list[str] | None] = {}
    asked: set[str] = set()
    all_asked = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        asked.add(name)
        if asked >= lists.keys():
            all_asked.set()
        await all_asked.wait()  # who asks one after the other waits for good
        names = lists[name]
        if names is None:
            await asyncio.Event().wait()
        return web.json_response({"data": [{"id": each} for each in names or ()]})

    with LoopThread() as loop:
        app = web.Application()
        app.router.add_get("/{name}/v1/models", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        loop.run(runner.setup())
        loop.run(web.TCPSite(runner, "127.0.0.1", 0).start())
        port = runner.addresses[0][1]

        def serving(**named: list[str] | None) -> None:
            lists.update(named)
            (home / "tailrace.toml").write_text(
                "".join(
                    API.format(name=name, url=f"http://127.0.0.1:{port}/{name}/v1")
                    for name in named
                )
            )

        yield serving
        loop.run(runner.cleanup())


async def test_servers_are_asked_at_once(
    listing: Callable[..., Any], command: Callable[..., Any]
) -> None:
    listing(one=["a"], two=["b", "c"], three=["d"])
    code, output, errors = await command("tailrace", "refresh")
    assert (code, errors) == (0, "")
    assert sorted(output.splitlines()) == ["one: 1 model", "three: 1 model", "two: 2 models"]


async def test_an_interrupt_keeps_what_was_told(listing: Callable[..., Any], home: Path) -> None:
    listing(one=["a"], two=None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "llm", "tailrace", "refresh"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(home)},
    )
    assert process.stdout is not None
    told = await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert told == b"one: 1 model\n"
    assert (process.returncode, b"Traceback" in errors) == (1, False)
    assert model("one/a")
    assert "two" not in json.loads((home / "tailrace-models.json").read_text("utf-8"))


async def test_names_that_no_terminal_may_see_are_left_out(
    listing: Callable[..., Any], command: Callable[..., Any]
) -> None:
    listing(one=["a", "", "b\x1b[2J", "a", "c" * 257])
    code, output, errors = await command("tailrace", "refresh")
    assert (code, output) == (0, "one: 1 model\n")
    assert errors == "one: left out as they cannot be shown: 3\n"
    _, output, _ = await command("models", "list", "-q", "tailrace/")
    assert output == "Tailrace: tailrace/one\nTailrace: tailrace/one/a\n"


async def test_a_list_without_end_is_refused(
    listing: Callable[..., Any], home: Path, command: Callable[..., Any]
) -> None:
    listing(one=[str(number) for number in range(10_001)])
    code, output, errors = await command("tailrace", "refresh")
    assert (code, output) == (1, "")
    assert errors.startswith("one: 10,001 models are more than the 10,000 that are kept here")
    assert not any(name.startswith("tailrace-models") for name in await listed(home))


async def test_lists_of_sites_with_one_name_do_not_mix(
    listing: Callable[..., Any], home: Path, command: Callable[..., Any]
) -> None:
    listing(one=["a"])
    first = (home / "tailrace.toml").read_text()
    await command("tailrace", "refresh")
    (home / "tailrace.toml").write_text(first.replace("127.0.0.1", "localhost"))
    assert "tailrace/one/a" not in [each.model_id for each in llm.get_models()]
    await command("tailrace", "refresh")
    for text in (first, first.replace("127.0.0.1", "localhost")):
        (home / "tailrace.toml").write_text(text)
        assert model("one/a")


async def test_a_list_that_cannot_be_kept_is_told(
    listing: Callable[..., Any], home: Path, command: Callable[..., Any]
) -> None:
    listing(one=["a"])
    (home / "tailrace-models.json").mkdir()
    code, _, errors = await command("tailrace", "refresh")
    assert (code, "Traceback" in errors) == (1, False)
    assert "tailrace-models.json cannot be written" in errors
    assert not any(name.endswith(".part") for name in await listed(home))


async def listed(folder: Path) -> list[str]:
    return await asyncio.to_thread(os.listdir, folder)


async def test_kept_lists_that_are_none_are_told(home: Path, command: Callable[..., Any]) -> None:
    (home / "tailrace-models.json").write_text("[]")
    code, _, errors = await command("models", "list", "-q", "tailrace/shop")
    assert (code, errors.count("is not read: it is no object")) == (0, 1)


async def test_where_there_is_nobody_to_ask_that_is_told(
    home: Path, command: Callable[..., Any]
) -> None:
    (home / "tailrace.toml").write_text("")
    code, output, errors = await command("tailrace", "refresh")
    assert (code, output) == (0, "")
    assert "no site that is read here" in errors
    assert not (home / "tailrace-models.json").exists()


async def test_a_refused_key_is_told(command: Callable[..., Any]) -> None:
    code, output, errors = await command("tailrace", "refresh", "chat", MILL_KEY="sk-wrong")
    assert (code, output) == (1, "")
    assert errors.startswith("chat: ")
    assert "401" in errors
    assert "sk-wrong" not in errors
    assert KEY not in errors
