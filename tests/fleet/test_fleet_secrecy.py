"""The table of servers that say again what they were sent, over a fleet: no end of it tells it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from echoes import ECHOES, UNQUOTED, Echoing, left_out, told
from loopback import serve
from rows import chat, write_rows
from secret_sites import APIS, KEY, SERVERS, site_at

from tailrace import RetryPolicy, batch, load
from tailrace.fleet import Fleet
from tailrace.sites._site import begin_call
from tailrace.transport._rules import merged_headers

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Exchange, Server

    from tailrace.fleet import Ended

MESSAGES = [{"role": "user", "content": "hi"}]


async def asked(server: Server, row: dict[str, Any], **options: Any) -> Ended:
    """The end of what a site of the table is sent, over a fleet."""
    site = site_at(server, {**row, "cookies": {}})
    async with begin_call(site, MESSAGES, {}, model="m") as begun:
        call: Any = begun
        posted, dialect = call.posted(call.check()), call.dialect
        headers = merged_headers(call.request.headers, posted.headers)
    async with Fleet(dialect=dialect, **options) as fleet:
        fleet.submit(posted.url, data=posted.body, headers=headers)
        async for batch in fleet.batches():
            for ended in batch.ended:
                return ended
    raise AssertionError("nothing ended")


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("name", [name for name in APIS if "extra" not in SERVERS[name]])
async def test_no_end_tells_what_was_sent(name: str, echo: str) -> None:
    """A fleet does not read the bodies that it sends, and knows no key in them."""
    echoing = Echoing(ECHOES[echo])
    async with serve(echoing.answer) as server:
        ended = await asked(server, SERVERS[name])
    assert echoing.secrets
    assert ended.error is not None
    assert left_out(echoing.secrets, told(ended.error)) or echo in UNQUOTED


async def test_no_end_tells_the_password_of_a_proxy() -> None:
    said = base64.b64encode(b"me:opens-0123456789")

    async def answer(exchange: Exchange) -> None:
        assert exchange.headers["proxy-authorization"] == f"Basic {said.decode()}"
        await ECHOES["a page of headers"](exchange).send(exchange)

    async with serve(answer) as server:
        proxy = f"http://me:opens-0123456789@127.0.0.1:{server.port}"
        ended = await asked(server, SERVERS["openai"], proxy=proxy)
    assert ended.error is not None
    assert left_out({"opens-0123456789", said.decode()}, told(ended.error))


@pytest.mark.parametrize("echo", ["message", "json in json", "a page of headers"])
async def test_no_batch_over_a_fleet_tells_what_was_sent(echo: str, tmp_path: Path) -> None:
    echoing, row = Echoing(ECHOES[echo]), {**SERVERS["openai, a key in extra"], "api_key": KEY}
    rows = write_rows(tmp_path / "in.jsonl", [chat("hi")])
    plan = batch.Plan(concurrency=1, retry=RetryPolicy(attempts=1))
    async with serve(echoing.answer) as server:
        site = site_at(server, {**row, "cookies": {}})
        report = await batch.run(rows, tmp_path / "out", site, plan, engine="fleet")
    files = [each.read_text("utf-8") for each in (tmp_path / "out").iterdir() if each.is_file()]
    assert len(echoing.secrets) == 3
    assert left_out(echoing.secrets, [*files, repr(report)])


@pytest.mark.parametrize("echo", ["message", "a page of headers"])
async def test_no_load_over_a_fleet_tells_what_was_sent(echo: str) -> None:
    echoing, row = Echoing(ECHOES[echo]), {**SERVERS["openai, a key in extra"], "api_key": KEY}
    async with serve(echoing.answer) as server:
        site = site_at(server, {**row, "cookies": {}})
        report = await load.run(site, load.Plan(users=1, requests=2), engine="fleet")
    assert sum(report.errors.values()) == 2
    assert len(echoing.secrets) == 3
    assert left_out(echoing.secrets, [repr(report)])
