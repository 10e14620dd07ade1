"""``tailrace doctor``: its lines, its JSON, its exit codes, the verdict it keeps."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from cli_process import run_in, run_process

from tailrace import ChatGptt
from tailrace.replica import Replica
from tailrace.sites._diagnosis import STEPS
from tailrace.sites._verdicts import Verdict, store_verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


@pytest.fixture
def config(replica: Replica, tmp_path: Path) -> dict[str, str]:
    """The environment of a user with two sites, and a state folder."""
    file = tmp_path / "tailrace.toml"
    file.write_text(
        f"[sites.shop]\nurl = '{replica.page('ai-power', 'two')}'\n"
        f"[sites.sick]\nurl = '{replica.page('ai-power', 'no-chat')}'\n"
    )
    return {"TAILRACE_CONFIG": str(file), "XDG_STATE_HOME": str(tmp_path)}


async def test_a_healthy_site_and_what_is_kept_of_it(config: dict[str, str]) -> None:
    end = await run_in(config, "doctor", "shop")
    assert (end.code, end.stderr) == (
        0,
        "If all goes well, shop is sent one short message; --no-post leaves it out.\n",
    )
    lines = end.stdout.splitlines()
    assert [line[:12].rstrip() for line in lines] == list(STEPS)
    assert [line[12:20].rstrip() for line in lines] == ["ok", "ok", "skipped"] + ["ok"] * 7
    shop, sick = json.loads((await run_in(config, "sites", "--json")).stdout)
    assert shop["doctor"]["failed"] is None
    assert shop["doctor"]["at"].endswith("Z")
    assert sick["doctor"] is None


async def test_a_sick_site_is_3_and_the_step_and_what_to_do_are_named(
    config: dict[str, str],
) -> None:
    end = await run_in(config, "doctor", "sick")
    assert end.code == 3
    lines = end.stdout.splitlines()
    place = next(
        number for number, line in enumerate(lines) if line.startswith("widget      failed")
    )
    assert "this page shows no chat" in lines[place]
    assert lines[place + 1].startswith("            what to do: give the page that shows the chat")
    assert [line.split()[-2:] for line in lines[place + 2 :]] == [["not", "reached"]] * 4
    end = await run_in(config, "doctor", "sick", "--json")
    assert (end.code, end.stderr) == (3, "")
    found = json.loads(end.stdout)
    assert (found["site"], found["failed"], found["answered"]) == ("sick", "widget", False)
    assert found["error"]["type"] == "WidgetNotFoundError"
    assert [step["name"] for step in found["steps"]] == list(STEPS)
    assert (
        json.loads((await run_in(config, "sites", "--json")).stdout)[1]["doctor"]["failed"]
        == "widget"
    )


async def test_no_reply_is_4(config: dict[str, str]) -> None:
    for arguments in (["http://127.0.0.1:1/"], ["shop", "--proxy", "http://127.0.0.1:1"]):
        end = await run_in(config, "doctor", "--json", *arguments)
        assert (end.code, json.loads(end.stdout)["failed"]) == (4, "tcp")


async def test_without_a_message(replica: Replica, config: dict[str, str]) -> None:
    end = await run_in(config, "doctor", "--no-post", "shop")
    assert (end.code, end.stderr) == (0, "")
    assert end.stdout.count("not asked for") == 3
    assert [each.method for each in replica.exchanges] == ["GET"]


async def test_wrong_usage_is_2(replica: Replica, config: dict[str, str]) -> None:
    for arguments, says in (
        (["nobody"], "there is no provider 'nobody'"),
        (["shop", "--software", "geminiprochat"], "shop runs wordpress, not geminiprochat"),
        (["shop", "--timeout", "0"], "0.0 is not in the range"),
    ):
        end = await run_in(config, "doctor", *arguments)
        assert (end.code, end.stdout) == (2, "")
        assert says in end.stderr
    end = await run_in(config, "doctor", replica.url("geminiprochat"), "--software", "openai")
    assert end.code == 2
    assert "wants a model's name" in end.stdout


async def test_a_verdict_that_cannot_be_kept_is_no_failure(config: dict[str, str]) -> None:
    # A warning is logged, which is seen where no handler is there: in a process without pytest.
    environment = {**config, "XDG_STATE_HOME": "/dev/null/none"}
    end = await run_process("doctor", "shop", environment=environment)
    assert end.code == 0
    assert "the doctor's verdict cannot be kept" in end.stderr


async def test_a_certificate_that_is_known_is_good(tmp_path: Path) -> None:
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    authority.issue_cert("127.0.0.1").configure_cert(tls)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", answer)
    app.router.add_post("/api/generate", answer)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=tls)
    try:
        url, trusted = str(server.make_url("/")), str(tmp_path / "authority.pem")
        # Read once, when a process first makes a connection.
        environment = {"SSL_CERT_FILE": trusted}
        end = await run_process(
            "doctor", url, "--software", "geminiprochat", "--json", environment=environment
        )
    finally:
        await server.close()
    steps = {step["name"]: step for step in json.loads(end.stdout)["steps"]}
    assert end.code == 0
    assert steps["tls"]["verdict"] == "ok"
    assert steps["tls"]["detail"].startswith("TLSv1.3, certificate good until ")
    assert steps["end"]["detail"] == "done, 5 characters"


async def test_providers_show_the_last_verdict_and_no_other(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path), "COLUMNS": "80"}
    verdict = Verdict(site="ChatGptt", url=ChatGptt.url, failed="challenge", at=1_800_000_000)
    assert store_verdict(verdict, tmp_path / "tailrace")
    rows = json.loads((await run_in(environment, "providers", "--json")).stdout)
    assert [row["doctor"] for row in rows] == [
        {"failed": "challenge", "at": "2027-01-15T08:00:00Z"},
        None,
        None,
        None,
    ]
    assert [row["working"] for row in rows] == [True] * 4
    end = await run_in(environment, "providers")
    assert (end.code, end.stderr) == (0, "")
    for word in ("challenge", "2027-01-15"):
        assert word in end.stdout
    assert end.stdout.count("never asked") == 3
    assert " yes " not in end.stdout
