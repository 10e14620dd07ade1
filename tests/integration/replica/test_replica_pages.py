"""The WordPress pages, held against the captured ones with the standard library's tokenizer."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import aiohttp
import pytest
from replica_captures import AI_POWER

from tailrace.replica import Replica

CAPTURED_PAGES = {
    "default": "default", "stream": "stream", "json": "json", "two": "two", "escaped": "escaped",
    "widget": "widget", "no-chat": "nochat",
}  # fmt: skip


class Tags(HTMLParser):
    """Start tags in order; raw text is no markup, as in a browser."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "textarea":
            self.set_cdata_mode(tag)
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    @property
    def widgets(self) -> list[dict[str, str]]:
        classes = {"wpaicg-chat-shortcode", "wpaicg-chatbox"}
        return [attrs for _, attrs in self.found if classes & set(attrs.get("class", "").split())]


async def fetch(replica: Replica, page: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(replica.page("ai-power", page)) as reply,
    ):
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/html; charset=UTF-8"
        assert len(reply.headers.getall("Link")) == 3
        return await reply.text()


def captured(page: str) -> str:
    return (AI_POWER / f"page_{CAPTURED_PAGES[page]}.body").read_text()


@pytest.mark.parametrize("page", CAPTURED_PAGES)
async def test_widgets_are_those_of_the_captured_page(page: str) -> None:
    async with Replica() as replica:
        ours = Tags(await fetch(replica, page)).widgets
    theirs = Tags(captured(page)).widgets
    assert [list(widget) for widget in ours] == [list(widget) for widget in theirs]
    same = (
        "class",
        "data-post-id",
        "data-bot-id",
        "data-openai_stream_nav",
        "data-assistant-enabled",
        "data-type",
    )
    for name in (*same, "data-memory-limit"):
        assert [widget[name] for widget in ours] == [widget[name] for widget in theirs]


@pytest.mark.parametrize("page", CAPTURED_PAGES)
async def test_attributes_are_written_as_captured(page: str) -> None:
    written = re.compile(r'^     ([\w-]+)( ?= ?)"', re.MULTILINE)
    async with Replica() as replica:
        ours = await fetch(replica, page)
    assert written.findall(ours) == written.findall(captured(page))


@pytest.mark.parametrize("page", CAPTURED_PAGES)
async def test_size_and_positions(page: str) -> None:
    async with Replica() as replica:
        ours = await fetch(replica, page)
    theirs = captured(page)
    assert 0.75 < len(ours) / len(theirs) < 1.35
    for text in ("\n     data-nonce=", "wpaicgParams = "):
        assert (text in ours) == (text in theirs)
    if "\n     data-nonce=" in ours:
        distance = ours.index("wpaicgParams = ") - ours.rindex("\n     data-nonce=")
        assert 7_000 < distance < 11_000


@pytest.mark.parametrize("page", CAPTURED_PAGES)
async def test_script_names_the_endpoint_and_the_same_nonce(page: str) -> None:
    async with Replica() as replica:
        html = await fetch(replica, page)
        url = replica.url("ai-power")
    found = re.search(r"^var wpaicgParams = (.*);$", html, re.MULTILINE)
    assert found is not None
    assert found[1].startswith('{"ajax_url":"http:\\/\\/127.0.0.1:')
    params = json.loads(found[1])
    assert params["ajax_url"] == f"{url}/wp-admin/admin-ajax.php"
    for widget in Tags(html).widgets:
        assert widget["data-nonce"] == params["search_nonce"]
        assert widget["data-url"].startswith(url)
        assert not widget["data-url"].endswith("/")


async def test_values_are_entity_encoded() -> None:
    async with Replica() as replica:
        html = await fetch(replica, "stream")
    assert 'data-feedback_title = "Was it &quot;good&quot; &gt; bad?"' in html
    assert "I&#039;m &quot;bot 4&quot; &lt;ask me&gt;" in html


async def test_hidden_input_holds_another_features_nonce() -> None:
    async with Replica() as replica:
        tags = Tags(await fetch(replica, "stream"))
    decoys = [
        attrs["value"]
        for tag, attrs in tags.found
        if tag == "input" and attrs.get("id") == "wpaicg-img-nonce"
    ]
    assert len(decoys) == 1
    assert re.fullmatch(r"[0-9a-f]{10}", decoys[0])
    assert decoys[0] != tags.widgets[0]["data-nonce"]


async def test_fake_nonce_stands_in_text_only_and_first() -> None:
    async with Replica() as replica:
        html = await fetch(replica, "escaped")
    tags = Tags(html)
    assert html.index("deadbeef00") < html.index("\n     data-nonce=")
    assert html.count("deadbeef00") == 4
    assert len(tags.widgets) == 1
    assert tags.widgets[0]["data-nonce"] != "deadbeef00"


async def test_assistant_page() -> None:
    async with Replica() as replica:
        (widget,) = Tags(await fetch(replica, "assistant")).widgets
    assert (widget["data-assistant-enabled"], widget["data-openai_stream_nav"]) == ("true", "1")


async def test_missing_slash_redirects_and_unknown_path_is_a_page() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        url = replica.page("ai-power", "stream")
        async with session.get(url.rstrip("/"), allow_redirects=False) as reply:
            assert (reply.status, reply.headers["Location"]) == (301, url)
        async with session.get(f"{replica.url('ai-power')}/nowhere/") as reply:
            assert reply.status == 404
            assert not Tags(await reply.text()).widgets
