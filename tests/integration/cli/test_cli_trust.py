"""``tailrace trust`` and ``--trust``: what a folder's file of sites may read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cli_process import run_in

from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


@pytest.fixture
def file(replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a folder that somebody else made, and that is the working folder."""
    file = tmp_path / "cloned" / "tailrace.toml"
    file.parent.mkdir()
    file.write_text(
        f"[sites.shop]\nurl = '{replica.page('ai-power', 'two')}'\ncookies_env = 'HOME_KEY'\n"
        f"[sites.plain]\nurl = '{replica.page('ai-power', 'two')}'\n"
    )
    monkeypatch.chdir(file.parent)
    return file


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """The environment of a user, with a variable that is nobody's business."""
    return {
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "HOME_KEY": "key=hunter2",
    }


def change(file: Path) -> None:
    file.write_text(file.read_text().replace("HOME_KEY", "PATH"))


def make_empty(file: Path) -> None:
    file.touch()


def remove(file: Path) -> None:
    file.unlink()


def described_by_user(folder: Path) -> Path:
    own = folder / "config" / "tailrace" / "tailrace.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[sites.plain]\nurl = 'https://mine.example'\n")
    return own


def cookies(replica: Replica) -> set[str | None]:
    return {each.headers.get("Cookie") for each in replica.exchanges}


async def test_a_clone_is_sent_no_variable(
    replica: Replica, file: Path, user: dict[str, str]
) -> None:
    for command in (
        ["chat", "--provider", "shop", "hello"],
        ["doctor", "shop"],
        ["record", "shop", "hello", "call.jsonl"],
    ):
        end = await run_in(user, *command)
        assert (end.code, end.stdout) == (2, "")
        assert f"{file}: sites.shop.cookies_env: the environment variable HOME_KEY" in end.stderr
        assert "tailrace trust" in end.stderr
    assert len(replica.exchanges) == 0
    assert (await run_in(user, "chat", "--provider", "plain", "hello")).code == 0
    assert cookies(replica) == {None}


@pytest.mark.usefixtures("file")
async def test_trust_for_one_command(replica: Replica, user: dict[str, str]) -> None:
    end = await run_in(user, "chat", "--trust", "--provider", "shop", "hello")
    assert (end.code, end.stderr) == (0, "")
    assert cookies(replica) == {"key=hunter2"}
    assert (await run_in(user, "chat", "--provider", "shop", "hello")).code == 2


async def test_trust_until_the_file_changes(
    replica: Replica, file: Path, user: dict[str, str]
) -> None:
    end = await run_in(user, "trust")
    assert (end.code, end.stderr) == (0, "")
    page = replica.page("ai-power", "two")
    assert end.stdout.splitlines() == [
        f"shop  {page}  reads HOME_KEY",
        f"plain  {page}  reads no variable",
        f"{file} is trusted until it changes.",
    ]
    assert (await run_in(user, "chat", "--provider", "shop", "hello")).code == 0
    assert cookies(replica) == {"key=hunter2"}
    change(file)
    assert (await run_in(user, "chat", "--provider", "shop", "hello")).code == 2
    assert (await run_in(user, "trust", str(file))).code == 0
    for says in ("is trusted no more", "was not trusted"):
        end = await run_in(user, "trust", "--revoke")
        assert (end.code, end.stdout) == (0, f"{file} {says}.\n")
    assert (await run_in(user, "doctor", "shop")).code == 2


async def test_sites_say_what_keeps_them_from_being_used(
    replica: Replica, file: Path, user: dict[str, str], tmp_path: Path
) -> None:
    own = described_by_user(tmp_path)
    rows = json.loads((await run_in(user, "sites", "--json")).stdout)
    assert [(row["name"], row["trusted"], row["hides"]) for row in rows] == [
        ("shop", False, None),
        ("plain", False, str(own)),
    ]
    end = await run_in({**user, "COLUMNS": "200"}, "sites")
    assert "run tailrace trust" in end.stdout
    assert "your own file has this one" in end.stdout
    end = await run_in(user, "chat", "--trust", "--provider", "plain", "hello")
    assert end.code == 2
    assert f"{file}: sites.plain: it would hide the site of this name in {own}" in end.stderr
    assert len(replica.exchanges) == 0


async def test_discover_says_where_it_saves(
    replica: Replica, file: Path, user: dict[str, str], tmp_path: Path
) -> None:
    page = replica.page("ai-power", "json")
    end = await run_in(user, "discover", page, "--save", "bot")
    assert (end.code, end.stderr) == (0, f"bot is written to {file}.\n")
    remove(file)
    own = tmp_path / "config" / "tailrace" / "tailrace.toml"
    end = await run_in(user, "discover", page, "--save", "bot")
    assert (end.code, end.stderr) == (0, f"bot is written to {own}, your own file.\n")
    make_empty(file)
    end = await run_in(user, "discover", page, "--save", "Bot")
    assert end.code == 2
    assert f"{own}: sites.bot: a site of this name is there" in end.stderr


async def test_wrong_usage_is_2(
    user: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    end = await run_in(user, "trust")
    assert (end.code, end.stdout) == (2, "")
    assert "there is no tailrace.toml in this folder" in end.stderr
    wrong = tmp_path / "tailrace.toml"
    wrong.write_text("[sites.shop]\nurl = 5")
    end = await run_in(user, "trust")
    assert (end.code, end.stdout) == (2, "")
    assert "sites.shop.url: expected str, got int" in end.stderr
    assert not (tmp_path / "state").exists()
    wrong.write_text("")
    end = await run_in({**user, "XDG_STATE_HOME": "/dev/null/none"}, "trust")
    assert end.code == 2
    assert "the trust in it cannot be kept" in end.stderr
