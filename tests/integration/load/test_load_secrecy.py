"""Loads on servers that say again what they were sent: no report tells it."""

from __future__ import annotations

import pytest
from echoes import ECHOES, UNQUOTED, Echoing, left_out
from loopback import serve
from secret_sites import APIS, SERVERS, site_at

from tailrace import load
from tailrace.load import Plan


@pytest.mark.parametrize("echo", ["message", "a page of headers", "an event", "a redirect"])
@pytest.mark.parametrize("name", APIS)
async def test_no_report_tells_what_was_sent(name: str, echo: str) -> None:
    echoing = Echoing(ECHOES[echo])
    async with serve(echoing.answer) as server:
        report = await load.run(site_at(server, SERVERS[name]), Plan(users=1, requests=2))
    assert echoing.secrets
    assert sum(report.errors.values()) == 2
    assert left_out(echoing.secrets, [repr(report)]) or echo in UNQUOTED
