"""Each failure as a client is told it: status, OpenAI's error object, and whether to ask again."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import Site, errors
from tailrace.batch import Plan, Report
from tailrace.errors import StreamError, TailraceError, reply_error
from tailrace.gateway._logs import words_of
from tailrace.gateway._problems import (
    Problem,
    RefusedError,
    logged_failure,
    problem_of,
    problem_response,
)
from tailrace.sites import Secret

if TYPE_CHECKING:
    from tailrace.errors import StreamErrorKind


def status(
    code: int,
    *,
    kind: StreamErrorKind = "upstream",
    why: str | None = None,
    wait: float | None = None,
    said: str = "the site's words",
) -> StreamError:
    error = reply_error(kind, said, code, why)
    if isinstance(error, errors.ResponseStatusError):
        error.retry_after = wait
    return error


QUOTA = errors.ConversationLimitError("upstream", "used up", status=200, code="tokenLimitReached")
PROFILE = errors.ProfileError(
    "/home/someone/tailrace.toml", "sites.shop.api_key_env", "the variable KEY is not set"
)

TABLE = errors.BatchTableError(
    errors.InvalidRequestError("no column"),
    Report(
        site="s",
        url="http://s",
        software="openai",
        model="m",
        at="",
        input="in",
        output="out",
        shard=(0, 1),
        plan=Plan(),
    ),
)

INVALID, UPSTREAM = "invalid_request_error", "upstream_error"
CASES: list[tuple[TailraceError, int, str, str | None, str | None]] = [
    # what failed, and then: status, type, code, x-should-retry
    (errors.InvalidRequestError("no text"), 400, INVALID, None, "false"),
    (errors.ModelNotFoundError("no model"), 404, INVALID, "model_not_found", "false"),
    (errors.ModelNotSupportedError("no model"), 404, INVALID, "model_not_found", "false"),
    (errors.RecordingError("no recording"), 400, INVALID, None, "false"),
    (errors.ArchiveError("no archive"), 400, INVALID, None, "false"),
    (errors.BatchFolderError("in use"), 400, INVALID, None, "false"),
    (errors.BatchLockedError("in use"), 400, INVALID, None, "false"),
    (errors.BatchInputError("no rows"), 400, INVALID, None, "false"),
    (PROFILE, 503, UPSTREAM, "site_not_set_up", "false"),
    (errors.MissingRequirementsError("the extra"), 503, UPSTREAM, "site_not_set_up", "false"),
    (errors.TimeoutError("connect", 3), 504, UPSTREAM, "timeout", "true"),
    (errors.TimeoutError("first byte", 3), 504, UPSTREAM, "timeout", "true"),
    (errors.TimeoutError("idle", 3), 504, UPSTREAM, "timeout", "true"),
    (errors.TimeoutError("total", 3), 504, UPSTREAM, "timeout", "false"),
    (errors.ConnectError("refused"), 502, UPSTREAM, "connection_failed", "true"),
    (errors.NetworkError("failed"), 502, UPSTREAM, "connection_failed", "true"),
    (errors.ReplyBrokenError("reset"), 502, UPSTREAM, "truncated", "true"),
    (errors.ProxyError("refused"), 502, UPSTREAM, "proxy_failed", "false"),
    (errors.InvalidProxyError("no URL"), 502, UPSTREAM, "proxy_failed", "false"),
    (errors.TLSError("expired"), 502, UPSTREAM, "tls_failed", "false"),
    (errors.TokenNotFoundError("missing_nonce"), 502, UPSTREAM, "no_token", "false"),
    (errors.WidgetNotFoundError("no bot"), 502, UPSTREAM, "no_widget", "false"),
    (errors.RedirectError("moved", "http://x"), 502, UPSTREAM, "redirected", "false"),
    (errors.EndpointError("elsewhere"), 502, UPSTREAM, "wrong_endpoint", "false"),
    (errors.ToolArgumentsError("f", "x", "{"), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.ProviderNotFoundError("none"), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.ProviderNotWorkingError("none"), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.StreamNotSupportedError("none"), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.RetryNoProviderError("none"), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.ResponseError("nothing"), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.BatchWriteError("full"), 502, UPSTREAM, "upstream_failed", "false"),
    (TABLE, 502, UPSTREAM, "upstream_failed", "false"),
    (errors.BatchWorkersError("died"), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.TailraceError("anything"), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.RetryProviderError([("A", errors.TLSError("x")), ("B", status(429))]), 429, "requests",
     "rate_limit_exceeded", "true"),
    (errors.RetryProviderError([]), 502, UPSTREAM, "upstream_failed", "false"),
    (errors.ChallengeError(status=403), 503, UPSTREAM, "challenge", "false"),
    (errors.CloudflareError("upstream", "guard", status=403), 503, UPSTREAM, "challenge", "false"),
    (errors.NonceRefusedError("upstream", "old", status=403), 502, UPSTREAM, "nonce_refused",
     "false"),
    (errors.LimitExceeded("too large"), 502, UPSTREAM, "limit", "false"),
    (errors.ResponseStatusError("upstream", "no", status=403), 502, UPSTREAM, "upstream", "false"),
    (QUOTA, 429, "insufficient_quota", "insufficient_quota", "false"),
    (StreamError("upstream", "a word of error", status=200), 502, UPSTREAM, "upstream", "false"),
    (StreamError("upstream", "a word", status=200, code="messageFlagged"), 400, INVALID,
     "messageFlagged", "false"),
    (StreamError("upstream", "refused", status=200, code="message_moderated"), 400, INVALID,
     "message_moderated", "false"),
    (StreamError("truncated", "broke off", status=200), 502, UPSTREAM, "truncated", "true"),
    (StreamError("not_a_stream", "html", status=200), 502, UPSTREAM, "not_a_stream", "false"),
    (StreamError("empty", "nothing", status=200), 502, UPSTREAM, "empty", "true"),
    (status(400, why="context_length_exceeded"), 400, INVALID, "context_length_exceeded", "false"),
    (status(401), 502, UPSTREAM, "site_refused_gateway", "false"),
    (status(402), 429, "insufficient_quota", "insufficient_quota", "false"),
    (status(403), 502, UPSTREAM, "upstream", "false"),
    (status(404), 502, UPSTREAM, "upstream", "false"),
    (status(404, why="model_not_found"), 404, INVALID, "model_not_found", "false"),
    (status(404, why="not_found_error", said="model: claude-9"), 404, INVALID, "model_not_found",
     "false"),
    (status(404, why="not_found_error", said="Not Found"), 502, UPSTREAM, "not_found_error",
     "false"),
    (status(404, why="NOT_FOUND", said="models/x is not found for API version v1beta"), 404,
     INVALID, "model_not_found", "false"),
    (status(404, said="model 'x' not found"), 404, INVALID, "model_not_found", "false"),
    (status(404, said="The model `x` does not exist."), 404, INVALID, "model_not_found", "false"),
    (status(404, said="our model shop is closed"), 502, UPSTREAM, "upstream", "false"),
    (status(408), 504, UPSTREAM, "upstream", "true"),
    (status(413), 413, INVALID, None, "false"),
    (status(422), 422, INVALID, None, "false"),
    (status(429, wait=7), 429, "requests", "rate_limit_exceeded", "true"),
    (status(429, why="insufficient_quota"), 429, "insufficient_quota", "insufficient_quota",
     "false"),
    (status(500), 502, UPSTREAM, "upstream", "true"),
    (status(502), 502, UPSTREAM, "upstream", "true"),
    (status(503, wait=0.2), 503, UPSTREAM, "upstream", "true"),
    (status(504), 504, UPSTREAM, "upstream", "true"),
    (status(529, why="overloaded_error"), 503, UPSTREAM, "overloaded_error", "true"),
    (status(599), 502, UPSTREAM, "upstream", "false"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code", "kind", "why", "again"),
    [
        pytest.param(*case, id=f"{type(case[0]).__name__}-{number}")
        for number, case in enumerate(CASES)
    ],
)
def test_failures(
    error: TailraceError, code: int, kind: str, why: str | None, again: str | None
) -> None:
    problem = problem_of(error)
    response = problem_response(problem)
    assert isinstance(response.body, bytes)
    told = json.loads(response.body)["error"]
    assert (response.status, told["type"], told["code"]) == (code, kind, why)
    assert set(told) == {"message", "type", "param", "code"}
    assert response.headers.get("x-should-retry") == again
    assert response.content_type == "application/json"


def test_every_class_has_a_case() -> None:
    classes = {
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, TailraceError)
    }
    # `reply_error` makes those below of a status.
    made = {
        errors.StreamError,
        errors.MissingAuthError,
        errors.PaymentRequiredError,
        errors.RateLimitError,
    }
    assert classes - {type(case[0]) for case in CASES} - made == set()


def test_retry_after_is_passed_on_in_whole_seconds() -> None:
    assert problem_response(problem_of(status(429, wait=7))).headers["Retry-After"] == "7"
    assert problem_response(problem_of(status(503, wait=0.2))).headers["Retry-After"] == "1"
    assert problem_response(problem_of(status(402, wait=60))).headers["Retry-After"] == "60"
    assert "Retry-After" not in problem_response(problem_of(status(429))).headers


def test_a_profiles_file_and_variable_are_not_told() -> None:
    message = problem_of(PROFILE).message
    assert message == "the site is not set up on this gateway"
    assert Path(PROFILE.file).name not in message


def test_what_the_site_said_is_told_as_text() -> None:
    hostile = '"}}\n\ndata: [DONE]\n\n</script>\x1b[31m'
    response: Any = problem_response(Problem(502, hostile, hostile, hostile, hostile))
    assert json.loads(response.body) == {
        "error": {"message": hostile, "type": hostile, "param": hostile, "code": hostile}
    }
    assert b"\n" not in response.body


def test_a_long_word_of_a_site_is_cut() -> None:
    problem = problem_of(StreamError("upstream", "x" * 100_000, status=500, code="y" * 100_000))
    assert len(problem.message) == 300
    assert problem.code == "y" * 99 + "…"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (status(529, why="overloaded_error"), "overloaded_error"),
        (StreamError("upstream", "busy", status=200, code="overloaded_error"), "overloaded_error"),
        (StreamError("upstream", "odd", status=200, code="permission_error"), "api_error"),
        (status(503), "overloaded_error"),
        (status(400), "invalid_request_error"),
    ],
)
def test_anthropics_clients_get_a_type_of_their_api(error: TailraceError, kind: str) -> None:
    assert problem_of(error).anthropic_kind == kind


def test_no_secret_of_a_site_is_told() -> None:
    variables = {"KEY": "sk-one-0123456789"}
    site = Site(
        "https://me:pass%2Fword@upstream.example/v1",
        software="openai",
        api_key=Secret(variable="KEY"),
        cookies={"session": "crumb-0123456789"},
        headers={"X-Gate": "gate-0123456789", "X-On": "on"},
    )
    said = "sk-one-0123456789, pass/word and crumb-0123456789 at gate-0123456789 go on"
    error = StreamError("upstream", said, status=500, code="sk-one-0123456789")
    problem = problem_of(error, [site], variables)
    assert problem.message.endswith(": [secret], [secret] and [secret] at [secret] go on")
    assert problem.code == "[secret]"
    odd = StreamError("upstream", "x", status=500, code="https://upstream.example/1")
    assert problem_of(odd, [site], variables).code == "[address]"


def test_no_beginning_of_a_secret_is_told() -> None:
    key = "sk-one-0123456789"
    site = Site("https://upstream.example/v1", software="openai", api_key=key)
    start = "the site reported an error (HTTP 500): "
    for length in range(1, len(key) + 20):
        said = "x" * (299 - len(start) - length) + " " + key + " is no key" + "y" * 300
        message = problem_of(StreamError("upstream", said, status=500), [site]).message
        assert message.endswith("…")
        assert key[:3] not in message
    for length in range(3, len(key)):
        code = "x" * (99 - length) + key + "y" * 100
        assert problem_of(StreamError("upstream", "", code=code), [site]).code == (
            "x" * (99 - length) + "[secret]…"
        )


def test_no_secret_of_a_site_is_a_logs_code() -> None:
    site = Site("https://upstream.example/v1", software="openai", api_key="sk-one-0123456789")
    error = StreamError("upstream", "no", status=401, code="sk-one-0123456789")
    last = errors.RetryProviderError([("A", error)])
    assert words_of(logged_failure(last, [site], {})) == "HTTP 401"
    refusal = RefusedError.of(error, [site])
    assert refusal.error is not None
    assert words_of(refusal.error) == "HTTP 401"


SITE = Site("https://upstream.example/v1", software="openai", proxy="http://proxy.example:3128")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.ConnectError("https://upstream.example could not be reached: refused"),
         "the site could not be reached"),
        (errors.NetworkError("upstream.example:443 broke"), "the connection to the site failed"),
        (errors.ProxyError("the proxy proxy.example:3128 could not be reached"),
         "the gateway's proxy to the site failed"),
        (errors.TLSError("TLS with upstream.example failed"), "TLS with the site failed"),
        (errors.ReplyBrokenError("the reply of https://upstream.example broke off"),
         "the site's reply broke off"),
        (errors.TimeoutError("idle", 3, "https://upstream.example/v1"), "idle timeout after 3 s"),
        (errors.RedirectError("https://a.example redirected to https://b.example", "https://b"),
         "the site redirects to where it is not followed"),
        (errors.EndpointError("the page at a.example names an endpoint at b.example"),
         "the site's page names an endpoint on another server"),
        (errors.TokenNotFoundError("missing_nonce", "https://upstream.example/help?x=1"),
         ("the page holds no chat nonce: is the chat widget on this page, and is the page its "
          "public one at [address]")),
        (status(401), "the site refused this gateway's key or password"),
        (reply_error("upstream", "see https://docs.upstream.example/x, (or 10.0.0.7:8000)", 400),
         "the site reported an error (HTTP 400): see [address] (or [address])"),
        (reply_error("upstream", "UPSTREAM.example:8443 and [::1]:80, proxy.example. is down", 500),
         "the site reported an error (HTTP 500): [address] and [address], [address]. is down"),
        (reply_error("upstream", "my-upstream.example, upstream.example.org, v1.2.3.4, 1.2", 500),
         ("the site reported an error (HTTP 500): my-upstream.example, upstream.example.org, "
          "v1.2.3.4, 1.2")),
    ],
)  # fmt: skip
def test_no_address_of_a_site_or_a_proxy_is_told(error: TailraceError, told: str) -> None:
    assert problem_of(error, [SITE]).message == told
    last = errors.RetryProviderError([("A", errors.TLSError("x")), ("B", error)])
    assert problem_of(last, [SITE]).message == told


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_anthropics_clients_are_told_in_their_own_form(code: int, kind: str) -> None:
    problem = Problem(code, "no", param="x", code="y", retry_after=3)
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        response: Any = problem_response(problem, path)
        body = {"type": "error", "error": {"type": kind, "message": "no"}}
        assert (response.status, json.loads(response.body)) == (code, body)
        assert response.headers["Retry-After"] == "3"
    others: Any = problem_response(problem, "/v1/messages-of-another-kind")
    assert json.loads(others.body)["error"]["code"] == "y"


def test_a_quota_is_a_matter_of_billing_to_anthropics_clients() -> None:
    assert problem_of(QUOTA).anthropic_kind == "billing_error"
