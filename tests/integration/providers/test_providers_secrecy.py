"""Servers that say again what they were sent as a secret: no error, and no line of a log, tells it.

What a model says is delivered as it is. `tests/fleet` has the same table over a fleet.
"""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from echoes import ECHOES, UNQUOTED, Echo, Echoing, left_out, secrets_of, told
from loopback import serve
from secret_sites import KEY, SERVERS, site_at

from tailrace import RetryPolicy, doctor
from tailrace._secrecy import SentSecrets
from tailrace.errors import TailraceError
from tailrace.providers import RetryProvider
from tailrace.transport import AiohttpTransport, ImpersonateTransport

if TYPE_CHECKING:
    from loopback import Exchange

MESSAGES = [{"role": "user", "content": "hi"}]


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
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - of this test
    texts = told(error, *logged, *told(again))
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


async def test_an_answer_costs_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: SentSecrets) -> None:
        raise AssertionError("secrets were looked for")

    monkeypatch.setattr(SentSecrets, "__init__", refuse)

    async def answer(exchange: Exchange) -> None:
        body = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n'
        await Echo("200 OK", body, "text/event-stream").send(exchange)

    async with serve(answer) as server:
        assert await site_at(server, SERVERS["openai"]).ask("hi") == "x"
    with pytest.raises(AssertionError, match="were looked for"):
        await site_at(server, SERVERS["openai"]).ask("hi")


async def test_an_answer_is_delivered_as_it_is() -> None:
    async def answer(exchange: Exchange) -> None:
        said = ", ".join(secrets_of(exchange)).replace('"', '\\"')
        body = (
            f'data: {{"choices":[{{"delta":{{"content":"{said}"}},"finish_reason":"stop"}}]}}\n\n'
        )
        await Echo("200 OK", body.encode(), "text/event-stream").send(exchange)

    async with serve(answer) as server:
        assert KEY in await site_at(server, SERVERS["openai"]).ask("hi")
