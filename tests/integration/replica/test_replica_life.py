"""The replica as a server: ports, clients that leave, shutdown, and the modules it imports."""

from __future__ import annotations

import ast
import asyncio
import io
import socket
from pathlib import Path

import aiohttp
import pytest
from replica_client import ENDPOINT, page_nonce, signed

import tailrace.replica
from tailrace.errors import InvalidRequestError
from tailrace.replica import HistoryTurn, Question, Replica, builtin_answer
from tailrace.replica._answers import tokenize
from tailrace.replica._sites import SITES

FOREVER = 3600.0


async def open_chat(
    session: aiohttp.ClientSession, replica: Replica, message: str
) -> aiohttp.ClientResponse:
    form = {
        "_wpnonce": await page_nonce(session, replica),
        "action": "wpaicg_chat_shortcode_message",
    }
    form |= {"message": message, "bot_id": "4"}
    return await session.post(replica.url("ai-power") + ENDPOINT, data=form)


@pytest.mark.parametrize(("pace", "message"), [(0.0, "hi [[stall]]"), (FOREVER, "hi")])
async def test_client_that_leaves_ends_its_exchange(pace: float, message: str) -> None:
    async with Replica(pace=pace) as replica, aiohttp.ClientSession() as session:
        reply = await open_chat(session, replica, message)
        assert (await reply.content.readany()).startswith(b"data: {")
        assert replica.exchanges.open == 1
        reply.close()
        await replica.exchanges.settled()
        assert (replica.exchanges[-1].ended, replica.exchanges.aborted) == ("aborted", 1)
        assert (await open_chat(session, replica, "hi [[unreachable]]")).status == 200


async def test_client_that_gives_up_waiting_ends_its_exchange() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        url = f"{replica.url('geminiprochat')}/api/generate"
        posting = asyncio.create_task(session.post(url, json=signed("[[silent]]", secret="")))
        await replica.exchanges.changed()
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting
        await replica.exchanges.settled()
        assert (replica.exchanges[-1].ended, replica.exchanges[-1].status) == ("aborted", None)


@pytest.mark.parametrize(("pace", "message"), [(0.0, "hi [[stall]]"), (FOREVER, "hi")])
async def test_shutdown_breaks_what_is_open_and_leaves_no_task(pace: float, message: str) -> None:
    async with aiohttp.ClientSession() as session:
        before = asyncio.all_tasks()
        async with Replica(pace=pace, shutdown_timeout=0.05) as replica:
            reply = await open_chat(session, replica, message)
            await reply.content.readany()
            assert replica.exchanges.open == 1
        assert (replica.exchanges.open, replica.exchanges[-1].ended) == (0, "aborted")
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()
        assert asyncio.all_tasks() == before


async def test_shutdown_of_an_idle_replica_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with Replica():
        pass
    assert asyncio.all_tasks() == before


async def test_too_large_a_request_is_refused() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        url = f"{replica.url('geminiprochat')}/api/generate"
        async with session.post(url, data=io.BytesIO(b"x" * (8 * 2**20 + 1))) as reply:
            assert reply.status == 413
        await replica.exchanges.settled()
        assert replica.exchanges.failed == 0


def free_ports(count: int) -> list[socket.socket]:
    """Return sockets bound to ports in a row, not listening."""
    while True:
        taken: list[socket.socket] = []
        try:
            for _ in range(count):
                taken.append(socket.socket())
                taken[-1].bind(
                    ("127.0.0.1", taken[0].getsockname()[1] + len(taken) - 1 if taken[1:] else 0)
                )
        except (OSError, OverflowError):
            for each in taken:
                each.close()
            continue
        return taken


async def test_sites_take_ports_in_order_and_give_them_back() -> None:
    *others, last = free_ports(len(SITES))
    port = others[0].getsockname()[1]
    for other in others:
        other.close()
    last.listen()
    with pytest.raises(OSError, match="address already in use"):
        await Replica(port=port).__aenter__()
    last.close()
    async with Replica(port=port) as replica:
        expected = [f"http://127.0.0.1:{port + number}" for number in range(len(SITES))]
        assert [site.url for site in replica.sites] == expected


async def test_head_has_no_body() -> None:
    async with Replica() as replica, aiohttp.ClientSession() as session:
        for site in replica.sites:
            for page in site.pages:
                # Anthropic's server wants its version of every request.
                headers = {"anthropic-version": "2023-06-01"}
                async with session.head(page.url, headers=headers) as reply:
                    assert (reply.status, await reply.read()) == (200, b"")


async def test_replica_can_be_entered_again() -> None:
    replica = Replica()
    async with replica:
        pass
    async with replica, aiohttp.ClientSession() as session:
        reply = await open_chat(session, replica, "hi [[stall]]")
        assert await reply.content.readany()
        reply.close()
        await replica.exchanges.settled()
    with pytest.raises(InvalidRequestError, match="not running"):
        replica.url("ai-power")


async def test_sites_describe_themselves() -> None:
    async with Replica() as replica:
        by_name = {site.name: site for site in replica.sites}
        assert [site.software for site in replica.sites] == [
            "wordpress",
            "geminiprochat",
            *["wordpress"] * 5,
            "chatgpt-demo",
            "openai",
            "anthropic",
            "gemini",
            "ollama",
            *["ai-engine"] * 5,
        ]
        assert list(by_name) == [
            "ai-power",
            "geminiprochat",
            "aipkit",
            "aipkit-2.4.0",
            "ai-power-1.8.79",
            "ai-power-1.8.90",
            "ai-power-1.8.95",
            "chatgpt-demo",
            "openai",
            "anthropic",
            "gemini",
            "ollama",
            "ai-engine",
            "ai-engine-3.0.1",
            "ai-engine-2.8.0",
            "ai-engine-2.0.9",
            "ai-engine-1.9.99",
        ]
        for name, site in by_name.items():
            assert site.url == replica.url(name)
            assert len({marker.name for marker in site.markers}) == len(site.markers)
            for page in site.pages:
                assert page.url == replica.page(name, page.name)
                assert page.url.startswith(f"{site.url}/")
        assert replica.page("ai-power", "two").endswith("/chat-two/")


async def test_wrong_names_and_settings_are_errors_that_name_the_right_ones() -> None:
    with pytest.raises(InvalidRequestError, match="not running"):
        Replica().url("ai-power")
    with pytest.raises(InvalidRequestError, match="geminiprochat"):
        Replica().url("nowhere")
    with pytest.raises(InvalidRequestError, match="no page 'three'; it has default, stream"):
        Replica().page("ai-power", "three")
    with pytest.raises(InvalidRequestError, match="no nonces"):
        Replica().expire_nonces("geminiprochat")
    with pytest.raises(InvalidRequestError, match="port"):
        Replica(port=65_535)
    with pytest.raises(InvalidRequestError, match="pace"):
        Replica(pace=-1.0)
    with pytest.raises(InvalidRequestError, match="lifetime"):
        Replica(nonce_lifetime=0.0)


async def test_exchanges_tell_what_was_sent_and_do_not_print_it() -> None:
    async with Replica() as replica, aiohttp.ClientSession(headers={"X-Trace": "t"}) as session:
        reply = await open_chat(session, replica, "a secret wish")
        body = await reply.read()
        exchange = replica.exchanges[-1]
    assert (exchange.site, exchange.method, exchange.path) == ("ai-power", "POST", ENDPOINT)
    assert exchange.headers["X-Trace"] == "t"
    assert exchange.form is not None
    assert exchange.form["message"] == "a secret wish"
    assert (exchange.status, exchange.bytes_sent, exchange.ended) == (200, len(body), "finished")
    assert "secret" not in repr(exchange)
    assert (len(replica.exchanges), replica.exchanges.finished) == (2, 2)


@pytest.mark.parametrize(
    "message", ["hello", "", "x" * 500, "日本語 👩‍👩‍👧", 'quote " and \\ backslash']
)
async def test_builtin_answer_depends_on_the_question_alone(message: str) -> None:
    turns = (HistoryTurn("user", "a"), HistoryTurn("assistant", "b"))
    answer = await builtin_answer(Question("any", message, turns))
    assert answer == await builtin_answer(Question("another", message, turns))
    assert message[:80] in answer
    assert "(2 earlier turns)" in answer
    assert len(answer) > 600
    for hard in ("字", "👩‍👩‍👧", "é", '"', "\\", "\u2028", "```", "<b>", "&"):
        assert hard in answer
    pieces = tokenize(answer)
    assert "".join(pieces) == answer
    assert {len(piece) for piece in pieces[:-1]} == set(range(1, 9))
    assert b"".join(tokenize(answer.encode())) == answer.encode()


async def test_builtin_answers_differ() -> None:
    answers = {await builtin_answer(Question("any", f"message {number}")) for number in range(20)}
    assert len({answer.partition("\n")[2] for answer in answers}) > 5


def test_it_shares_nothing_with_providers_and_decoders() -> None:
    allowed = ("tailrace.replica", "tailrace.errors", "tailrace.recording", "tailrace._json")
    for path in Path(tailrace.replica.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.ImportFrom) or not node.level
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            foreign = module.startswith("tailrace") and not module.startswith(allowed)
            assert not foreign, f"{path.name} imports {module}"
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("tailrace") for alias in node.names)
