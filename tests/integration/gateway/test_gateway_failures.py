"""Failures before the first delta have a status, those after it are the stream's last event; none
is silent.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from calls_site import SSE, Asked, Line, Site, delta
from gateway_app import (
    RunningGateway,
    asked,
    asking,
    content,
    events,
    made,
    outcomes,
    posting,
    replicas_sites,
    serving,
)
from yarl import URL

from tailrace import sites
from tailrace.providers import OpenAIProvider, WordPressChatProvider
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    async with serving(replicas_sites(replica)) as running:
        yield running


# -- before the first delta ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("marker", "status", "code", "again"),
    [
        ("err401", 502, "site_refused_gateway", "false"),
        ("err429", 429, "rate_limit_exceeded", "true"),
        ("quota", 429, "insufficient_quota", "false"),
        ("err500", 502, "upstream", "true"),
        ("too-long", 400, "context_length_exceeded", "false"),
        ("html502", 502, "upstream", "true"),
    ],
)
async def test_a_site_that_refuses(
    gateway: RunningGateway, marker: str, status: int, code: str, again: str, *, stream: bool
) -> None:
    async with posting(gateway, asking(f"[[{marker}]]", "open/mini", stream=stream)) as reply:
        assert reply.status == status
        assert reply.content_type == "application/json"
        error = (await reply.json())["error"]
        assert error["code"] == code
        assert error["message"]
        assert reply.headers["x-should-retry"] == again
        assert reply.headers.get("Retry-After") == ("7" if marker == "err429" else None)
    assert outcomes(gateway) == {"failed": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_site_that_is_silent_is_a_504(replica: Replica, *, stream: bool) -> None:
    url = f"{replica.url('openai')}/v1"
    impatient = sites.Site(url, name="impatient", software="openai", timeout=0.2)
    async with (
        serving([impatient]) as gateway,
        posting(gateway, asking("[[silent]]", "impatient/gpt-4o", stream=stream)) as reply,
    ):
        assert reply.status == 504
        assert (await reply.json())["error"]["code"] == "timeout"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_site_that_is_not_there_is_a_502(unused_tcp_port: int, *, stream: bool) -> None:
    absent = made("absent", OpenAIProvider, f"http://127.0.0.1:{unused_tcp_port}/v1")
    async with (
        serving([absent]) as gateway,
        posting(gateway, asking("x", "absent/m", stream=stream)) as reply,
    ):
        assert reply.status == 502
        assert (await reply.json())["error"]["code"] == "connection_failed"


@pytest.mark.parametrize(("page", "code"), [("no-chat", "no_token"), ("stream", "challenge")])
async def test_a_page_without_a_chat(replica: Replica, page: str, code: str) -> None:
    site = made(
        "site",
        WordPressChatProvider,
        replica.page("ai-power", page, *(["challenge"] if code == "challenge" else [])),
    )
    async with (
        serving([site]) as gateway,
        posting(gateway, asking("x", "site/default", stream=True)) as reply,
    ):
        assert reply.status == (503 if code == "challenge" else 502)
        assert (await reply.json())["error"]["code"] == code
        assert reply.headers["x-should-retry"] == "false"


async def test_an_empty_answer_is_an_answer(gateway: RunningGateway) -> None:
    async with posting(gateway, asking("[[empty]]", "open/mini", stream=True)) as reply:
        *chunks, end = await events(reply)
    assert (reply.status, len(chunks), content(chunks), end) == (200, 2, "", "[DONE]")
    async with posting(gateway, asking("[[empty]]", "open/mini")) as reply:
        assert (await reply.json())["choices"][0]["message"]["content"] == ""
    assert outcomes(gateway) == {"done": 2}


async def test_a_stream_without_its_sentinel_is_whole_all_the_same(gateway: RunningGateway) -> None:
    async with posting(gateway, asking("[[nodone]]", "open/mini", stream=True)) as reply:
        *chunks, end = await events(reply)
    assert (chunks[-1]["choices"][0]["finish_reason"], end) == ("stop", "[DONE]")
    assert outcomes(gateway) == {"stopped": 1}


# -- after it --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marker", "code", "outcome"),
    [("midfail", "upstream", "failed"), ("cut", "truncated", "truncated")],
)
async def test_a_failure_in_the_middle_is_the_last_event(
    gateway: RunningGateway, marker: str, code: str, outcome: str
) -> None:
    async with posting(gateway, asking(f"[[{marker}]]", "open/mini", stream=True)) as reply:
        assert reply.status == 200
        *chunks, failure = await events(reply)
        assert reply.connection is None  # closed, not kept for a next request
    assert content(chunks)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert set(failure) == {"error"}
    assert set(failure["error"]) == {"message", "type", "param", "code"}
    assert (failure["error"]["type"], failure["error"]["code"]) == ("upstream_error", code)
    assert outcomes(gateway) == {outcome: 1}


@pytest.mark.parametrize("marker", ["midfail", "cut"])
async def test_a_failure_in_the_middle_of_an_answer_that_is_not_streamed_has_a_status(
    gateway: RunningGateway, marker: str
) -> None:
    async with posting(gateway, asking(f"[[{marker}]]", "open/mini")) as reply:
        assert reply.status == 502
        assert (await reply.json())["error"]["type"] == "upstream_error"


@pytest.mark.parametrize("how", ["reset", "eof", "idle"])
async def test_a_site_that_breaks_off(how: str) -> None:
    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        await line.chunks([delta("Hel"), delta("lo")])
        if how == "reset":
            line.reset()
        elif how == "idle":
            await line.stall()

    def impatient(url: str) -> sites.Site:
        return sites.Site(url, name="site", software="openai", timeout=0.3)

    async with (
        Site(answer) as site,
        serving([impatient(f"{site.url}/v1")]) as gateway,
        posting(gateway, asking("x", "site/m", stream=True)) as reply,
    ):
        *chunks, failure = await events(reply)
    assert content(chunks) == "Hello"
    assert failure["error"]["code"] == ("timeout" if how == "idle" else "truncated")


HOSTILE = '"}]}\n\ndata: [DONE]\n\n</script>\u2028\x85\x1b[31m \\"\r\nevent: error'
ONE_LINE = '"}]} data: [DONE] </script> \x1b[31m \\" event: error'  # as an error's message is


async def test_what_a_site_says_stays_in_its_string() -> None:
    async def answer(_: Asked, line: Line) -> None:
        await line.begin(SSE)
        said = {"choices": [{"delta": {"content": HOSTILE}}]}
        failed = {"error": {"message": HOSTILE, "code": HOSTILE}}
        await line.chunks(
            [f"data: {json.dumps(each)}\n\n".encode() for each in (said, said, failed)]
        )
        await line.end()

    async with (
        Site(answer) as site,
        serving([made("site", OpenAIProvider, f"{site.url}/v1")]) as gateway,
        posting(gateway, asking("x", "site/m", stream=True)) as reply,
    ):
        text = (await reply.read()).decode()
    lines = text.splitlines()
    assert lines[1::2] == [""] * (len(lines) // 2)
    first, second, failure = [json.loads(line.removeprefix("data: ")) for line in lines[::2]][-3:]
    assert (content([first]), content([second])) == (HOSTILE, HOSTILE)
    assert failure["error"]["message"].endswith(f": {ONE_LINE}")
    assert failure["error"]["code"] == ONE_LINE
    assert "<" not in text


# -- what reaches no site --------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["nowhere/x", "", "shop", "http://127.0.0.1:9/"])
async def test_a_model_that_is_none(gateway: RunningGateway, model: str) -> None:
    async with posting(gateway, asking("x", model, stream=True)) as reply:
        assert reply.status == 404
        assert (await reply.json())["error"]["code"] == "model_not_found"
    assert outcomes(gateway) == {}


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("chat/completions", {"messages": HELLO, "max_tokens": 0}, "max_tokens"),
        ("chat/completions", {"messages": HELLO, "n": 2, "max_tokens": 0}, "max_tokens"),
        ("completions", {"prompt": "Hello", "max_tokens": 0}, "max_tokens"),
        ("responses", {"input": "Hello", "max_output_tokens": 0}, "max_output_tokens"),
        ("embeddings", {"input": "Hello", "encoding_format": "x"}, "encoding_format"),
        ("embeddings", {"input": ""}, "input"),
    ],
)
async def test_the_field_that_a_site_refuses_is_named(
    replica: Replica, path: str, fields: dict[str, Any], param: str
) -> None:
    model = "text-embedding-3-small" if path == "embeddings" else "gpt-4o"
    site = made("open", OpenAIProvider, f"{replica.url('openai')}/v1", default_model=model)
    async with serving([site]) as gateway, aiohttp.ClientSession() as session:
        body = {"model": f"open/{model}", **fields}
        async with session.post(f"{gateway.base_url}/{path}", json=body) as reply:
            assert reply.status == 400
            error = (await reply.json())["error"]
    assert error["message"].startswith("the site reported an error (HTTP 400): ")
    assert error["param"] == param


async def test_messages_without_text(gateway: RunningGateway, replica: Replica) -> None:
    async with posting(gateway, asking("  \n")) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]["type"] == "invalid_request_error"
    assert asked(replica) == 0


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_a_body_that_a_page_of_elsewhere_could_send_unasked(
    gateway: RunningGateway, kind: str
) -> None:
    body = json.dumps(asking("x")).encode()
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:
        headers = {"Content-Type": kind} if kind else {}
        async with session.post(
            f"{gateway.base_url}/chat/completions", data=body, headers=headers
        ) as reply:
            assert reply.status == 415
            assert "application/json" in (await reply.json())["error"]["message"]


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_body_that_is_too_large(replica: Replica, *, compressed: bool) -> None:
    body = json.dumps(asking("x" * 100_000)).encode()
    headers = {"Content-Type": "application/json"} | (
        {"Content-Encoding": "gzip"} if compressed else {}
    )
    async with (
        serving(replicas_sites(replica), max_body_bytes=50_000) as gateway,
        aiohttp.ClientSession() as session,
        session.post(
            f"{gateway.base_url}/chat/completions",
            data=gzip.compress(body) if compressed else body,
            headers=headers,
        ) as reply,
    ):
        assert reply.status == 413
        assert (await reply.json())["error"]["code"] == "body_too_large"


async def test_a_body_that_is_not_what_it_says(gateway: RunningGateway) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{gateway.base_url}/chat/completions", data=b"no gzip at all", headers=headers
        ) as reply,
    ):
        assert reply.status == 400


async def test_models(gateway: RunningGateway) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{gateway.base_url}/models") as reply:
            body = await reply.json()
        assert body["object"] == "list"
        assert [model["id"] for model in body["data"]] == [
            model.id for model in gateway.context.registry.models
        ]
        for card in body["data"]:
            assert card == {
                "id": card["id"],
                "created": 1_700_000_000,
                "owned_by": card["id"].split("/")[0],
            } | {"object": "model"}
            for written in (
                card["id"],
                card["id"].replace("/", "%2F"),
                card["id"].replace("/", "%2f"),
            ):
                async with session.get(
                    URL(f"{gateway.base_url}/models/{written}", encoded=True)
                ) as reply:
                    assert await reply.json() == card
        for unknown in ("nowhere", "nowhere/x", "nowhere%2Fx", "%00", "shop"):
            async with session.get(
                URL(f"{gateway.base_url}/models/{unknown}", encoded=True)
            ) as reply:
                assert (reply.status, (await reply.json())["error"]["code"]) == (
                    404,
                    "model_not_found",
                )


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/v1/messages", "/models", "/v1"])
async def test_a_wrong_base_url_is_told_the_right_one(gateway: RunningGateway, path: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}{path}", json=asking("Hello")) as reply,
    ):
        assert reply.status == 404
        error = (await reply.json())["error"]
    assert error["code"] == "unknown_url"
    assert "the base URL of OpenAI's clients ends with /v1, that of Anthropic's" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/chat/completions", 405, "POST"),
        ("PUT", "/chat/completions", 405, "POST"),
        ("POST", "/models", 405, "GET"),
        ("DELETE", "/models/shop/default", 405, "GET"),
        ("POST", "/moderations", 404, None),
        ("POST", "/images/generations", 404, None),
        ("POST", "/audio/speech", 404, None),
        ("GET", "", 404, None),
        ("GET", "/", 404, None),
        ("GET", "/../etc/passwd", 404, None),
    ],
)
async def test_everything_else(
    gateway: RunningGateway, method: str, path: str, status: int, allow: str | None
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, URL(f"{gateway.base_url}{path}", encoded=True)) as reply,
    ):
        assert reply.status == status
        assert allow is None or allow in reply.headers["Allow"].split(",")
        assert (await reply.json())["error"]["type"] == "invalid_request_error"
