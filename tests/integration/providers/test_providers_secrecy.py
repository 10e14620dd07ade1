"""Servers that say again what they were sent as a secret: no error, and no line of a log, tells it.

What a model says is delivered as it is. `tests/fleet` has the same table over a fleet.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import engine, page
from echoes import ECHOES, UNQUOTED, Echo, Echoing, left_out, secrets_of, told
from loopback import serve

from tailrace import RetryPolicy, Site, doctor
from tailrace._calls.token_cache import TokenCache
from tailrace.errors import TailraceError
from tailrace.providers import RetryProvider
from tailrace.transport import AiohttpTransport, ImpersonateTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loopback import Exchange, Server

KIT = Path(__file__).parents[2] / "vectors/captures/ai-power/2.4.0/page_json.body"
KEY = "sk-proj-Ab3/xyz+0123456789_QwErTy="
MORE: Mapping[str, Any] = {
    "headers": {"X-Gate-Token": 'gate-"0123"-456789'},
    "cookies": {"session": "crumb-0123456789abc", "seen": "0a9z8y7x"},
}
MESSAGES = [{"role": "user", "content": "hi"}]
SERVERS: Mapping[str, dict[str, Any]] = {
    "openai": {"software": "openai", "api_key": KEY},
    "openai-responses": {"software": "openai", "api": "responses", "api_key": KEY},
    "openai, a key in the query": {"software": "openai", "query": "?key=AIza-0123456789-abc"},
    "openai, a key in extra": {"software": "openai", "extra": {"api_key": "sk-extra-0123456789"}},
    "openai, a user": {"software": "openai", "user": "me:pass%2Fword9@"},
    "openai, a short key": {"software": "openai", "api_key": "hunter22"},
    "anthropic": {"software": "anthropic", "api_key": KEY},
    "gemini": {"software": "gemini", "api_key": KEY},
    "ollama": {"software": "ollama", "api_key": KEY},
    "ai-power": {"software": "wordpress", "page": page()},
    "aipkit": {"software": "wordpress", "page": KIT.read_bytes()},
    "ai-engine": {"software": "ai-engine", "page": page(rest=engine())},
    "geminiprochat": {"software": "geminiprochat", "password": KEY, "secret_key": "signs-012345"},
    "chatgpt-demo": {"software": "chatgpt-demo", "password": KEY},
}


def site_at(server: Server, row: dict[str, Any], **options: Any) -> Site:
    """The site of a row of the table at a server."""
    row = {**MORE, **row, **options}
    row.pop("page", None)
    url = f"http://{row.pop('user', '')}127.0.0.1:{server.port}/v1{row.pop('query', '')}"
    if row["software"] in ("wordpress", "ai-engine"):
        row["token_cache"] = TokenCache()
    elif row["software"] not in ("geminiprochat", "chatgpt-demo"):
        row["model"] = "m"
    return Site(url, **row)


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("name", SERVERS)
async def test_no_error_tells_what_was_sent(
    name: str, echo: str, caplog: pytest.LogCaptureFixture
) -> None:
    row, retry = SERVERS[name], RetryPolicy(attempts=2, first_wait=0)
    echoing = Echoing(ECHOES[echo], row.get("page", b""))
    error: TailraceError | None = None
    text = ""
    with caplog.at_level(logging.DEBUG):
        async with serve(echoing.answer) as server:
            stream = site_at(server, row, retry=retry).stream("hi")
            async with stream:
                try:
                    async for delta in stream:
                        text += delta
                except TailraceError as failure:
                    error = failure
    assert echoing.secrets
    logged = [each.getMessage() for each in caplog.records if each.name.startswith("tailrace")]
    if error is None:  # an answer, which is delivered as it is
        assert text == "x" or any(secret in text for secret in echoing.secrets)
        return
    texts = told(error, *logged, *told(pickle.loads(pickle.dumps(error))))
    texts += [line for each in stream.attempts for line in told(each)]
    assert left_out(echoing.secrets, texts) or echo in UNQUOTED


@pytest.mark.parametrize("kind", [AiohttpTransport, ImpersonateTransport])
async def test_no_error_of_a_transport_tells_what_was_sent(kind: Any) -> None:
    echoing = Echoing(ECHOES["a redirect"])
    async with serve(echoing.answer) as server, kind() as transport:
        session = transport.session(headers={"X-Api-Key": KEY}, cookies={"c": "crumb-0123456789"})
        async with session:
            for ask in (session.get(server.url), session.post(server.url, body=b"x")):
                with pytest.raises(TailraceError) as raised:
                    await ask
                assert left_out(echoing.secrets, told(raised.value))
    assert echoing.secrets >= {KEY, "crumb-0123456789"}


async def test_no_list_of_failures_and_no_log_tells_what_was_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    echoing = Echoing(ECHOES["message"])
    async with serve(echoing.answer) as server:
        sites = [site_at(server, SERVERS[name]) for name in ("openai", "anthropic")]
        with caplog.at_level(logging.DEBUG), pytest.raises(TailraceError) as raised:
            await RetryProvider(sites, shuffle=False).create_async("", MESSAGES)
    logged = [each.getMessage() for each in caplog.records]
    assert any("[secret]" in line for line in logged)
    assert left_out(echoing.secrets, told(raised.value, *logged))


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "ollama"])
async def test_no_error_of_a_list_of_models_tells_what_was_sent(name: str) -> None:
    echoing = Echoing(ECHOES["json in json"])
    async with serve(echoing.answer) as server:
        with pytest.raises(TailraceError) as raised:
            await site_at(server, SERVERS[name]).models()
    assert left_out(echoing.secrets, told(raised.value))


@pytest.mark.parametrize("name", ["openai", "ai-power", "geminiprochat"])
async def test_no_diagnosis_tells_what_was_sent(name: str) -> None:
    row = SERVERS[name]
    echoing = Echoing(ECHOES["a page of headers"], row.get("page", b""))
    async with serve(echoing.answer) as server:
        diagnosis = await doctor(site_at(server, row), keep=False)
    assert diagnosis.error is not None
    steps = [f"{step.detail} {step.advice}" for step in diagnosis.steps]
    assert left_out(echoing.secrets, told(diagnosis.error, *steps))


async def test_no_diagnosis_of_a_page_tells_what_was_sent() -> None:
    echoing = Echoing(ECHOES["a redirect"])
    async with serve(echoing.answer) as server:
        diagnosis = await doctor(site_at(server, SERVERS["ai-power"]), keep=False)
    assert diagnosis.failed is not None
    assert diagnosis.error is not None
    steps = [f"{step.detail} {step.advice}" for step in diagnosis.steps]
    assert left_out(echoing.secrets, told(diagnosis.error, *steps))


async def test_an_answer_is_delivered_as_it_is() -> None:
    async def answer(exchange: Exchange) -> None:
        said = ", ".join(secrets_of(exchange)).replace('"', '\\"')
        body = f'data: {{"choices":[{{"delta":{{"content":"{said}"}},"finish_reason":"stop"}}]}}\n\n'
        await Echo("200 OK", body.encode(), "text/event-stream").send(exchange)

    async with serve(answer) as server:
        assert KEY in await site_at(server, SERVERS["openai"]).ask("hi")
