"""AIPKit's pages: the facts of the captured ones, read with the standard library's tokenizer."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from replica_captures import PLUGIN

from tailrace.replica import Replica

CAPTURED_PAGES = [
    ("aipkit", "inline", "2.4.71/page_inline"),
    ("aipkit", "two", "2.4.71/page_two"),
    ("aipkit", "no-chat", "2.4.71/page_nochat"),
    ("aipkit-2.4.0", "json", "2.4.0/page_json"),
]


class Tags(HTMLParser):
    """The tags with a class of the plugin's, in order, and the text of each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.written: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "div" and re.match(
            r"aipkit_(chat_container|popup_wrapper|popup_hint) ", attributes.get("class", "")
        ):
            self.found.append(attributes)
            self.written.append(self.get_starttag_text() or "")

    @property
    def configs(self) -> list[dict[str, Any]]:
        return [json.loads(tag["data-config"]) for tag in self.found if "data-config" in tag]


async def fetch(replica: Replica, site: str, page: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(replica.page(site, page)) as reply:
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/html; charset=UTF-8"
        assert len(reply.headers.getall("Link")) == 3
        return await reply.text()


@pytest.mark.parametrize(("site", "page", "captured"), CAPTURED_PAGES)
async def test_tags_and_configurations_are_those_of_the_captured_page(
    site: str, page: str, captured: str
) -> None:
    async with Replica() as replica:
        html = await fetch(replica, site, page)
    captured_html = (PLUGIN / f"{captured}.body").read_text()
    ours, theirs = Tags(html), Tags(captured_html)
    assert [list(tag) for tag in ours.found] == [list(tag) for tag in theirs.found]
    for name in ("class", "id", "data-bot-id"):
        assert [tag.get(name) for tag in ours.found] == [tag.get(name) for tag in theirs.found]
    assert [keys_and_types(config) for config in ours.configs] == [
        keys_and_types(config) for config in theirs.configs
    ]
    for name in ("botId", "postId", "popupEnabled", "streamEnabled", "provider"):
        assert [config.get(name) for config in ours.configs] == [
            config.get(name) for config in theirs.configs
        ]
    for one, other in zip(ours.written, theirs.written, strict=True):
        assert re.findall(r"[\w-]+=[\"']", one) == re.findall(r"[\w-]+=[\"']", other)
        assert 0.8 < len(one) / len(other) < 1.25
    assert 0.75 < len(html) / len(captured_html) < 1.35
    assert ("aipkit" in html) == ("aipkit" in captured_html)
    assert "data-nonce" not in html


def keys_and_types(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, keys_and_types(item)) for key, item in value.items()]
    return type(value).__name__


async def test_configuration_names_the_endpoint_and_is_escaped_twice() -> None:
    async with Replica() as replica:
        html = await fetch(replica, "aipkit", "two")
        url = replica.url("aipkit")
    tags = Tags(html)
    assert [config["ajaxUrl"] for config in tags.configs] == [f"{url}/wp-admin/admin-ajax.php"] * 2
    assert len({config["nonce"] for config in tags.configs}) == 1
    assert re.fullmatch(r"[0-9a-f]{10}", tags.configs[0]["nonce"])
    assert tags.configs[0]["headerName"] == 'Pilot "A" & <b>'
    assert (
        "&quot;headerName&quot;:&quot;Pilot \\u0022A\\u0022 \\u0026 \\u003Cb\\u003E&quot;" in html
    )
    assert "it\\u0027s a fine day — come in" in html
    assert "&quot;http:\\/\\/127.0.0.1:" in html


async def test_bots_of_2_4_0_say_whether_they_stream() -> None:
    async with Replica() as replica:
        pages = [Tags(await fetch(replica, "aipkit-2.4.0", page)) for page in ("json", "stream")]
    assert [config["streamEnabled"] for tags in pages for config in tags.configs] == [False, True]


async def test_popup_page_has_the_popup_alone() -> None:
    async with Replica() as replica:
        tags = Tags(await fetch(replica, "aipkit", "popup"))
    assert [(config["botId"], config["popupEnabled"]) for config in tags.configs] == [(6, True)]


async def test_unknown_path_has_nothing_of_the_plugins() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        async with session.get(f"{replica.url('aipkit')}/nowhere/") as reply:
            assert reply.status == 404
            assert "aipkit" not in await reply.text()
        async with session.get(
            replica.page("aipkit", "two").rstrip("/"), allow_redirects=False
        ) as reply:
            assert (reply.status, reply.headers["Location"]) == (301, replica.page("aipkit", "two"))
