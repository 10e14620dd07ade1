"""``tailrace discover``: what it says, what it writes, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_process import run

from tailrace.replica import Replica
from tailrace.sites import load_profiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A file that need not exist; the parameter is what is in it already."""
    file = tmp_path / "tailrace.toml"
    if hasattr(request, "param"):
        file.write_text(request.param, encoding="utf-8")
    return str(file)


def content(config: str) -> str | None:
    file = Path(config)
    return file.read_text("utf-8") if file.exists() else None


async def test_what_a_page_shows(replica: Replica) -> None:
    url = replica.page("ai-power", "two")
    end = await run("discover", url)
    assert (end.code, end.stderr) == (0, "")
    assert end.stdout.splitlines()[0] == f"page      {url} (200)"
    assert "software  wordpress\n" in end.stdout
    assert "dialect   ai-power\n" in end.stdout
    assert "bot       4, ai-power, inline, streams\n" in end.stdout
    assert "bot       5, ai-power, inline, answers whole\n" in end.stdout
    end = await run("discover", "--json", url)
    assert (end.code, end.stderr) == (0, "")
    found = json.loads(end.stdout)
    assert (found["software"], found["dialect"]) == ("wordpress", "ai-power")
    assert (found["dialect"], found["usable"], [bot["bot_id"] for bot in found["bots"]]) == (
        "ai-power",
        True,
        ["4", "5"],
    )


async def test_a_page_without_a_chat_is_3(replica: Replica, config: str) -> None:
    for url, says in (
        (
            replica.page("ai-power", "no-chat"),
            "problem   the site has the chat plugin, but this page shows no chat",
        ),
        (replica.url("geminiprochat"), "say --software geminiprochat"),
        (replica.url("ai-power") + "/nothing", "problem   the page answered 404"),
    ):
        end = await run("discover", url)
        assert (end.code, end.stderr) == (3, "")
        assert says in end.stdout
    end = await run(
        "discover", "--save", "shop", replica.url("geminiprochat"), TAILRACE_CONFIG=config
    )
    assert end.code == 2
    assert "tailrace: the page does not tell its software: name one of wordpress, " in end.stderr
    assert content(config) is None


async def test_a_pages_words_do_not_move_the_terminals_cursor() -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(
            text="<title>a\x1b[2Jb &amp; \xe9</title>", content_type="text/html", charset="utf-8"
        )

    app = web.Application()
    app.router.add_get("/", page)
    async with TestServer(app) as server:
        end = await run("discover", str(server.make_url("/")))
    assert end.code == 3
    assert "title     a\\u001b[2Jb & \xe9\n" in end.stdout


async def test_a_guessed_endpoint_is_shown_as_one() -> None:
    async def page(_request: web.Request) -> web.Response:
        text = "<div class=wpaicg-chat-shortcode data-nonce=abcdef0123 data-post-id=7></div>"
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    async with TestServer(app) as server:
        end = await run("discover", str(server.make_url("/")))
    assert end.code == 0
    assert "/wp-admin/admin-ajax.php (a guess: the page names none)\n" in end.stdout


async def test_where_no_page_comes_it_is_4() -> None:
    end = await run("discover", "http://127.0.0.1:1/")
    assert (end.code, end.stdout) == (4, "")


@pytest.mark.parametrize("config", ["# mine\n"], indirect=True)
async def test_a_saved_site_answers(replica: Replica, config: str) -> None:
    url = replica.page("ai-power", "two")
    end = await run("discover", "--save", "shop", "--bot", "5", url, TAILRACE_CONFIG=config)
    assert (end.code, end.stderr) == (0, f"shop is written to {config}.\n")
    assert (content(config) or "").startswith("# mine\n")
    settings = load_profiles([Path(config)])["shop"].settings
    assert (settings.url, settings.software, settings.bot) == (url, "wordpress", "5")
    end = await run("chat", "--provider", "shop", "hello", TAILRACE_CONFIG=config)
    assert (end.code, end.stderr) == (0, "")
    assert "You asked: “hello”" in end.stdout


async def test_of_several_bots_it_says_and_writes_which(replica: Replica, config: str) -> None:
    page = replica.page("ai-power", "two")
    end = await run("discover", "--save", "shop", page, TAILRACE_CONFIG=config)
    says = "It asks the first of the page's bots, 4; --bot names another: 5.\n"
    assert (end.code, end.stderr) == (0, f"shop is written to {config}.\n{says}")
    assert load_profiles([Path(config)])["shop"].settings.bot == "4"


@pytest.mark.parametrize(
    ("site", "path", "software"),
    [
        ("openai", "", "openai"),
        ("openai", "/v1", "openai"),
        ("openai", "/v1/models", "openai"),
        ("anthropic", "", "anthropic"),
        ("gemini", "/v1beta/models", "gemini"),
        ("ollama", "", "ollama"),
        ("ollama", "/api/tags", "ollama"),
        ("ollama", "/v1", "openai"),  # which Ollama has, too
    ],
)
async def test_an_api_is_named_as_one(
    replica: Replica, config: str, site: str, path: str, software: str
) -> None:
    url = replica.url(site) + path
    end = await run("discover", url)
    assert end.code == 3
    assert (
        f"this looks like an API, not a page with a chat: say --software {software}" in end.stdout
    )
    found = json.loads((await run("discover", "--json", url)).stdout)
    assert (found["looks_like"], found["software"]) == (software, None)
    end = await run("discover", url, "--save", "mine", TAILRACE_CONFIG=config)
    assert end.code == 2
    assert f"say --software {software} if it is one" in end.stderr
    end = await run("doctor", url)
    assert end.code == 3
    assert f"no page with a chat: say --software {software}" in end.stdout


async def test_a_name_is_overwritten_with_force_only(replica: Replica, config: str) -> None:
    save = ["discover", "--save", "shop"]
    assert (await run(*save, replica.page("ai-power", "two"), TAILRACE_CONFIG=config)).code == 0
    before = content(config)
    end = await run(*save, replica.page("ai-power", "json"), TAILRACE_CONFIG=config)
    assert end.code == 2
    assert "sites.shop: a site of this name is there already; --force replaces it" in end.stderr
    assert content(config) == before
    end = await run(*save, "--force", replica.page("ai-power", "json"), TAILRACE_CONFIG=config)
    assert end.code == 0
    assert load_profiles([Path(config)])["shop"].settings.url == replica.page("ai-power", "json")


async def test_a_software_the_page_does_not_tell_is_saved_when_given(
    replica: Replica, config: str
) -> None:
    url = replica.url("geminiprochat")
    end = await run(
        "discover", url, "--save", "gem", "--software", "geminiprochat", TAILRACE_CONFIG=config
    )
    assert end.code == 0
    assert (await run("chat", "--provider", "gem", "hello", TAILRACE_CONFIG=config)).code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--bot", "5"], "say what --save writes"),
        (["--force"], "say what --save writes"),
        (["--software", "gopher"], "'gopher' is not one of"),
        (["--software", "aipkit"], "'aipkit' is now called 'wordpress'"),
        (["--dialect", "aipkit"], "--dialect is now --software: write --software wordpress"),
        (["--save", "ChatGptt"], "the name belongs to the provider ChatGptt"),
        (["--save", "a b"], "a site's name is 1 to 64 letters"),
    ],
)
async def test_wrong_usage_is_2_and_writes_nothing(
    replica: Replica, config: str, arguments: list[str], says: str
) -> None:
    end = await run("discover", replica.page("ai-power", "two"), *arguments, TAILRACE_CONFIG=config)
    assert end.code == 2
    assert says in end.stderr
    assert content(config) is None


async def test_a_bot_that_is_not_there_is_3_and_writes_nothing(
    replica: Replica, config: str
) -> None:
    page = replica.page("ai-power", "two")
    end = await run("discover", page, "--save", "shop", "--bot", "17", TAILRACE_CONFIG=config)
    assert end.code == 3
    assert "the page shows no bot '17'; it shows 4, 5" in end.stderr
    assert content(config) is None
