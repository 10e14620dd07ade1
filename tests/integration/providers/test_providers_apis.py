"""Servers with an API, byte by byte: where a request goes, with which headers, and their errors."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import JSON, SSE, Asked, Line, Site

import tailrace
from tailrace.errors import (
    InvalidRequestError,
    LimitExceeded,
    MissingAuthError,
    ModelNotFoundError,
    ModelNotServedError,
    RateLimitError,
    StreamError,
    TimeoutError,  # noqa: A004 - the one that is meant
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from calls_site import Answer

    from tailrace.sites import SiteOptions

OPTIONS: Mapping[str, SiteOptions] = {
    "openai": {"software": "openai"},
    "openai-responses": {"software": "openai", "api": "responses"},
    "anthropic": {"software": "anthropic"},
    "gemini": {"software": "gemini"},
    "ollama": {"software": "ollama"},
}
EVENTS: Mapping[str, list[dict[str, Any]]] = {
    "openai": [
        {"choices": [{"delta": {"content": "Hi"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ],
    "openai-responses": [
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    ],
    "anthropic": [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_stop"},
    ],
    "gemini": [{"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}],
    "ollama": [{"message": {"content": "Hi"}, "done": False}, {"message": {}, "done": True}],
}
KEYS: Mapping[str, dict[str, str]] = {
    "openai": {"authorization": "Bearer k"},
    "openai-responses": {"authorization": "Bearer k"},
    "anthropic": {"x-api-key": "k", "anthropic-version": "2023-06-01"},
    "gemini": {"x-goog-api-key": "k"},
    "ollama": {"authorization": "Bearer k"},
}


def answering(api: str) -> Answer:
    async def answer(asked: Asked, line: Line) -> None:
        del asked
        lines = [json.dumps(event) for event in EVENTS[api]]
        if api == "ollama":
            body, kind = "".join(f"{each}\n" for each in lines), "application/x-ndjson"
        else:
            body, kind = "".join(f"data: {each}\n\n" for each in lines), SSE
        await line.reply(body.encode(), kind)

    return answer


def replying(*bodies: object, status: str = "200 OK", headers: str = "") -> Answer:
    left = list(bodies)

    async def answer(asked: Asked, line: Line) -> None:
        del asked
        await line.reply(json.dumps(left.pop(0)).encode(), JSON, status, headers)

    return answer


def site_at(url: str, api: str, **options: Any) -> tailrace.Site:
    return tailrace.Site(url, **{**OPTIONS[api], "model": "m", **options})


@pytest.mark.parametrize(
    ("api", "below", "path"),
    [
        ("openai-responses", "/v1", "/v1/responses"),
        ("openai-responses", "/v1/responses?a=b", "/v1/responses?a=b"),
        ("anthropic", "", "/v1/messages"),
        ("anthropic", "/v1/", "/v1/messages"),
        ("anthropic", "/proxy/v1/messages", "/proxy/v1/messages"),
        ("gemini", "", "/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("gemini", "/v1", "/v1/models/m:streamGenerateContent?alt=sse"),
        ("gemini", "/a/v1alpha/?b=c", "/a/v1alpha/models/m:streamGenerateContent?b=c&alt=sse"),
        ("ollama", "", "/api/chat"),
        ("ollama", "/api", "/api/chat"),
        ("ollama", "/at/home/", "/at/home/api/chat"),
    ],
)
async def test_where_a_request_goes_and_with_which_key(api: str, below: str, path: str) -> None:
    async with Site(answering(api)) as site:
        assert await site_at(site.url + below, api, api_key="k").ask("hello") == "Hi"
        assert await site_at(site.url + below, api).ask("hello") == "Hi"
    with_key, without = site.asked
    assert (with_key.method, with_key.path) == (without.method, without.path) == ("POST", path)
    assert {name: with_key.headers[name] for name in KEYS[api]} == KEYS[api]
    assert not any("k" in without.headers.get(name, "").split() for name in KEYS[api])


@pytest.mark.parametrize(
    ("model", "path"),
    [("tunedModels/x", "tunedModels/x"), ("models/m", "models/m"), ("a b?", "models/a%20b%3F")],
)
async def test_geminis_model_is_in_the_path(model: str, path: str) -> None:
    async with Site(answering("gemini")) as site:
        assert await site_at(site.url, "gemini", model=model).ask("hello") == "Hi"
    assert site.asked[0].path == f"/v1beta/{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("model", ["..", "tunedModels/../models/m", "models//m", "/m", "./m"])
async def test_no_name_of_a_gemini_model_leads_elsewhere(model: str) -> None:
    site = site_at("http://127.0.0.1:9", "gemini", model=model)
    with pytest.raises(InvalidRequestError, match="is no name of Gemini's API"):
        await site.ask("hello")


@pytest.mark.parametrize("api", [each for each in OPTIONS if each != "openai"])
async def test_an_endpoint_of_its_own_and_no_model(api: str) -> None:
    async with Site(answering(api)) as site:
        own = site_at(site.url, api, endpoint=f"{site.url}/own/door")
        assert await own.ask("hello") == "Hi"
        with pytest.raises(InvalidRequestError, match="wants a model's name"):
            await tailrace.Site(site.url, **OPTIONS[api]).ask("hello")
    assert [each.path for each in site.asked] == ["/own/door"]


# -- lists of models -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "pages", "paths", "models"),
    [
        ("openai", [{"data": [{"id": "a"}, {"id": "b"}]}], ["/v1/models"], ["a", "b"]),
        ("openai-responses", [{"data": []}], ["/v1/models"], []),
        (
            "anthropic",
            [
                {"data": [{"id": "a"}], "has_more": True, "last_id": "a/&"},
                {"data": [{"id": "b"}], "has_more": False, "last_id": "b"},
            ],
            ["/v1/models?limit=1000", "/v1/models?limit=1000&after_id=a%2F%26"],
            ["a", "b"],
        ),
        (
            "gemini",
            [
                {
                    "models": [
                        {"name": "models/a", "supportedGenerationMethods": ["generateContent"]},
                        {"name": "models/e", "supportedGenerationMethods": ["embedContent"]},
                    ],
                    "nextPageToken": "t=",
                },
                {"models": [{"name": "tunedModels/b"}]},
            ],
            ["/v1/models?pageSize=1000", "/v1/models?pageSize=1000&pageToken=t%3D"],
            ["a", "tunedModels/b"],
        ),
        ("ollama", [{"models": [{"name": "q:4b", "model": "q:4b"}]}], ["/v1/api/tags"], ["q:4b"]),
    ],
)
async def test_a_server_tells_its_models(
    api: str, pages: list[Any], paths: list[str], models: list[str]
) -> None:
    async with Site(replying(*pages)) as site:
        assert await site_at(f"{site.url}/v1", api, api_key="k").models() == models
    assert [each.path for each in site.asked] == paths
    for asked in site.asked:
        assert {name: asked.headers[name] for name in KEYS[api]} == KEYS[api]


@pytest.mark.parametrize("below", ["/v1/chat/completions", "/v1/responses", "/v1"])
async def test_the_list_of_models_is_beside_the_endpoint(below: str) -> None:
    async with Site(replying({"data": [{"id": "a"}]})) as site:
        assert await site_at(f"{site.url}{below}?v=1", "openai").models() == ["a"]
    assert site.asked[0].path == "/v1/models?v=1"


@pytest.mark.parametrize("api", OPTIONS)
@pytest.mark.parametrize(
    "body", [[], {}, {"data": 1, "models": 1}, {"data": [1], "models": [{}]}, "x", None]
)
async def test_what_is_no_list_of_models(api: str, body: object) -> None:
    async with Site(replying(body)) as site:
        with pytest.raises(StreamError) as raised:
            await site_at(site.url, api).models()
    assert raised.value.kind in ("not_a_stream", "upstream")


async def test_a_list_of_models_without_end() -> None:
    async with Site(replying(*[{"data": [], "has_more": True, "last_id": "x"}] * 101)) as site:
        with pytest.raises(LimitExceeded, match="more than 100 pages"):
            await site_at(site.url, "anthropic").models()
    assert len(site.asked) == 100


async def test_a_list_of_models_that_never_comes() -> None:
    async def answer(asked: Asked, line: Line) -> None:
        del asked
        await line.begin(JSON)
        await line.stall()

    async with Site(answer) as site:
        with pytest.raises(TimeoutError, match="idle"):
            await site_at(site.url, "openai", timeout=0.05).models()


async def test_a_list_of_models_is_left() -> None:
    """Cancelled in the middle, the call closes its connection."""

    async def answer(asked: Asked, line: Line) -> None:
        del asked
        await line.begin(JSON)
        await line.stall()

    async with Site(answer) as site:
        asking = asyncio.create_task(site_at(site.url, "openai").models())
        await site.until(lambda: site.open > 0 and bool(site.asked))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_the_models_of_a_page_are_those_of_its_profile() -> None:
    page = tailrace.Site("http://host.example", models=["a", "b"])
    assert await page.models() == ["a", "b"]
    with pytest.raises(InvalidRequestError, match="wordpress tell no list of models"):
        await tailrace.Site("http://host.example").models()


# -- errors ----------------------------------------------------------------------------------------

ERRORS: Mapping[str, dict[str, Any]] = {
    "openai": {"error": {"message": "no", "type": "x", "code": "bad_key"}},
    "openai-responses": {"error": {"message": "no", "type": "x", "code": "bad_key"}},
    "anthropic": {"type": "error", "error": {"type": "authentication_error", "message": "no"}},
    "gemini": {"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}},
    "ollama": {"error": "no"},
}


@pytest.mark.parametrize("api", OPTIONS)
async def test_an_error_of_an_api_has_its_message_and_wait(api: str) -> None:
    async with Site(replying(ERRORS[api], ERRORS[api], status="401 Unauthorized")) as site:
        for asking in (site_at(site.url, api).ask("hello"), site_at(site.url, api).models()):
            with pytest.raises(MissingAuthError) as refused:
                await asking
            assert refused.value.message == "no"
    headers = "Retry-After: 7\r\n"
    limited = replying(*[ERRORS[api]] * 2, status="429 Too Many Requests", headers=headers)
    async with Site(limited) as site:
        for asking in (site_at(site.url, api).ask("hello"), site_at(site.url, api).models()):
            with pytest.raises(RateLimitError) as busy:
                await asking
            assert busy.value.retry_after == 7


async def test_geminis_wait_stands_in_the_error() -> None:
    """Google sends no Retry-After, but google.rpc.RetryInfo in the error's details."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    body = {"error": {"code": 429, "message": "Quota exceeded.", "details": [info]}}
    async with Site(replying(body, status="429 Too Many Requests")) as site:
        with pytest.raises(RateLimitError) as busy:
            await site_at(site.url, "gemini").ask("hello")
    assert (busy.value.message, busy.value.retry_after) == ("Quota exceeded.", 34.5)


NO_MODEL: Mapping[str, dict[str, Any]] = {
    "openai": {
        "error": {
            "message": "The model `m` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
    },
    "openai-responses": {
        "error": {
            "message": "The requested model 'm' does not exist.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    },
    "anthropic": {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}},
    "gemini": {
        "error": {
            "code": 404,
            "message": "models/m is not found for API version v1beta, or is not supported for "
            "generateContent.",
            "status": "NOT_FOUND",
        }
    },
    "ollama": {"error": "model 'm' not found"},
}


@pytest.mark.parametrize("api", OPTIONS)
async def test_a_server_without_the_model_is_a_model_not_found(api: str) -> None:
    async with Site(replying(NO_MODEL[api], status="404 Not Found")) as site:
        with pytest.raises(ModelNotFoundError) as caught:
            await site_at(site.url, api).ask("hello")
    assert isinstance(caught.value, ModelNotServedError)
    assert caught.value.status == 404
    assert "m" in caught.value.message


@pytest.mark.parametrize("api", OPTIONS)
async def test_the_next_site_is_asked_where_one_has_not_the_model(api: str) -> None:
    async with (
        Site(replying(NO_MODEL[api], status="404 Not Found")) as first,
        Site(answering(api)) as second,
    ):
        sites = [site_at(first.url, api), site_at(second.url, api)]
        asked = tailrace.RetryProvider(sites, shuffle=False)
        assert await asked.create_async("m", [{"role": "user", "content": "hello"}]) == "Hi"
    assert len(first.asked) == len(second.asked) == 1


@pytest.mark.parametrize("api", OPTIONS)
async def test_a_path_that_is_not_there_is_no_missing_model(api: str) -> None:
    async with Site(replying({"error": "404 page not found"}, status="404 Not Found")) as site:
        with pytest.raises(StreamError) as caught:
            await site_at(site.url, api).ask("hello")
    assert not isinstance(caught.value, ModelNotFoundError)
