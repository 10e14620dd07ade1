"""Failures as replies: HTTP's status, OpenAI's error object, and whether a retry is of use.

OpenAI's clients choose their exception by the status, wait as long as Retry-After says, and repeat
the request by themselves unless ``x-should-retry`` is false. A site counts every attempt, so the
header is false for every lasting failure.

No message holds the address of a site or of a proxy, or what is sent to one as a secret: where
answers come from is the operator's business. The log has the addresses.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from tailrace import errors
from tailrace._calls.retry_policy import passes
from tailrace.errors import tells_no_model
from tailrace.sites._site import sent_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tailrace import Site
    from tailrace._secrecy import SentSecrets
    from tailrace.errors import TailraceError

__all__ = [
    "INVALID_REQUEST",
    "STOPPING",
    "AnthropicErrorBody",
    "ErrorBody",
    "Problem",
    "RefusedError",
    "is_anthropics",
    "last_failure",
    "logged_failure",
    "problem_body",
    "problem_of",
    "problem_response",
]

INVALID_REQUEST = "invalid_request_error"
UPSTREAM = "upstream_error"
QUOTA = "insufficient_quota"

STOPPING = "stopping"
"""The code of what the end of the gateway refuses or cuts."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure, as a reply reports it.

    `kind`: the error object's ``type``; `retry_after`: in seconds; `lasts`: the same request fails
    again, so a client should not repeat it; None leaves that to the client.
    """

    status: int
    message: str
    kind: str = INVALID_REQUEST
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None
    lasts: bool | None = None

    @property
    def anthropic_kind(self) -> str:
        """The error object's ``type`` in Anthropic's API: a site's own, or that of the status."""
        if self.code == QUOTA:
            return "billing_error"
        if self.code in _PASSING_KINDS:
            return self.code
        return _ANTHROPIC_KINDS.get(self.status, _ANTHROPIC_KINDS[self.status // 100 * 100])

    @property
    def headers(self) -> dict[str, str]:
        """The reply's headers ``Retry-After`` and ``x-should-retry``, where they are known."""
        headers: dict[str, str] = {}
        if self.retry_after is not None and math.isfinite(self.retry_after):
            headers["Retry-After"] = str(math.ceil(self.retry_after))
        if self.lasts is not None:
            headers["x-should-retry"] = "false" if self.lasts else "true"
        return headers


_PASSING_KINDS = ("overloaded_error", "rate_limit_error", "timeout_error")
"""A site's own types that are as true of the gateway's reply."""

_ANTHROPIC_KINDS = {
    400: INVALID_REQUEST,
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class RefusedError(Exception):
    """A request is refused, or fails before its answer has begun; `problem` is the reply.

    `error`: the failure that it is the reply to, None where the gateway refuses.
    """

    def __init__(self, problem: Problem, error: TailraceError | None = None) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.error = error

    @classmethod
    def of(
        cls,
        error: TailraceError,
        sites: Iterable[Site] = (),
        environ: Mapping[str, str] | None = None,
    ) -> RefusedError:
        """Return the refusal that a client gets for `error`.

        `sites`: those that were to answer, `environ`: the variables of their secrets.
        """
        sites = tuple(sites)
        problem = problem_of(error, sites, environ)
        return cls(problem, logged_failure(error, sites, environ or {}))


class ErrorObject(msgspec.Struct):
    """OpenAI's error object: what failed, of which kind, and the field and code, if any."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct):
    """The body of a reply that tells a failure, as OpenAI's API has it."""

    error: ErrorObject


class AnthropicErrorObject(msgspec.Struct):
    """Anthropic's error object: what failed, and of which kind."""

    type: str
    message: str


class AnthropicErrorBody(msgspec.Struct):
    """The body of a reply that tells a failure, as Anthropic's API has it."""

    error: AnthropicErrorObject
    type: str = "error"


def problem_body(problem: Problem, path: str = "") -> bytes:
    """Write a failure as JSON: OpenAI's error object or, below Anthropic's `path`, Anthropic's."""
    if is_anthropics(path):
        kind = problem.anthropic_kind
        return msgspec.json.encode(AnthropicErrorBody(AnthropicErrorObject(kind, problem.message)))
    error = ErrorObject(problem.message, problem.kind, problem.param, problem.code)
    return msgspec.json.encode(ErrorBody(error))


def is_anthropics(path: str) -> bool:
    """Tell whether the path of a request is one of Anthropic's API."""
    return path == _MESSAGES or path.startswith(f"{_MESSAGES}/")


_MESSAGES = "/v1/messages"


def problem_response(problem: Problem, path: str = "") -> web.Response:
    """Make the reply to a request that failed before the head of its reply was sent.

    `path`: that of the request, which tells the API that its client speaks.
    """
    return web.Response(
        status=problem.status,
        body=problem_body(problem, path),
        content_type="application/json",
        headers=problem.headers,
    )


def problem_of(
    error: TailraceError, sites: Iterable[Site] = (), environ: Mapping[str, str] | None = None
) -> Problem:
    """Return the problem that a client gets for a call that failed with `error`.

    `sites`: those that were asked, whose hosts, proxies and secrets the reply does not name;
    `environ`: the variables that hold secrets.
    """
    error = last_failure(error)
    if getattr(error, "code", None) == QUOTA:
        row, lasts = _Row(429, QUOTA, QUOTA), True
    else:
        row, lasts = _row_of(error), not passes(error)
    private = _Private.of(sites, environ or {})
    return Problem(
        row.status,
        row.message or private.left_out(_words(error)),
        row.kind,
        param=row.param,
        code=None if row.code is None else private.left_out(row.code),
        retry_after=error.retry_after if isinstance(error, errors.ResponseStatusError) else None,
        lasts=lasts,
    )


def last_failure(error: TailraceError) -> TailraceError:
    """Return the failure of the site that was asked last; `error` itself where one was asked."""
    if isinstance(error, errors.RetryProviderError) and error.errors:
        return last_failure(error.errors[-1][1])
    return error


def logged_failure(
    error: TailraceError, sites: Iterable[Site], environ: Mapping[str, str]
) -> TailraceError:
    """Return `last_failure` as the log may hold it: without a secret of `sites` as its code."""
    failure = last_failure(error)
    if isinstance(failure, errors.StreamError) and failure.code is not None:
        failure.code = _Private.of(sites, environ).secrets.out_of(failure.code)
    return failure


def _words(error: TailraceError) -> str:
    if isinstance(error, errors.TimeoutError):  # without the URL
        return str(errors.TimeoutError(error.phase, error.seconds))
    return str(error)


class _Private(NamedTuple):
    """The `hosts` of sites and of their proxies, in lower case, and the `secrets` sent to them."""

    hosts: frozenset[str]
    secrets: SentSecrets

    @classmethod
    def of(cls, sites: Iterable[Site], environ: Mapping[str, str]) -> _Private:
        sites = tuple(sites)
        urls = [url for site in sites for url in (site.url, site.proxy) if isinstance(url, str)]
        hosts = frozenset(filter(None, (urlsplit(url).hostname for url in urls)))
        return cls(hosts, sent_secrets(sites, environ, every_header=True))

    def left_out(self, text: str) -> str:
        """Return a text without these, and without URLs and IP addresses."""
        text = self.secrets.out_of(text)
        for pattern in (_URL, _IPV4, _IPV6):
            text = pattern.sub(_ADDRESS, text)
        if not self.hosts:
            return text
        return _HOST.sub(lambda each: _ADDRESS if each[1].lower() in self.hosts else each[0], text)


_ADDRESS = "[address]"
_URL = re.compile(r"\b(?:https?|wss?|socks[45][ah]?)://[^\s\"'<>]{1,2048}", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?!\w|\.\w)")
_IPV6 = re.compile(r"\[[0-9a-fA-F]{0,4}:[0-9a-fA-F:.]{1,41}\](?::\d{1,5})?")
_HOST = re.compile(r"(?<![\w.-])([\w.-]{1,253}?)(?::\d{1,5})?(?![\w-]|\.\w)")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table `_BY_CLASS`; a `message` replaces that of the error."""

    status: int
    kind: str
    code: str | None
    param: str | None = None
    message: str | None = None


def _row_of(error: TailraceError) -> _Row:
    for family, row in _BY_CLASS:
        if isinstance(error, family):
            return row
    if not isinstance(error, errors.StreamError):
        return _Row(502, UPSTREAM, "upstream_failed")
    if error.status in _THE_CLIENTS_OWN:
        return _Row(error.status, INVALID_REQUEST, error.code)
    if tells_no_model(error.code):  # within a stream
        return _Row(404, INVALID_REQUEST, _NO_MODEL, "model")
    if error.code in _MESSAGE_REFUSED:  # at a status of 200
        return _Row(400, INVALID_REQUEST, error.code)
    return _Row(_BY_STATUS.get(error.status or 0, 502), UPSTREAM, error.code or error.kind)


_NO_MODEL = "model_not_found"
_MESSAGE_REFUSED = frozenset(
    # AI Power's and AI Engine's moderation and banned words; OpenAI's.
    {"messageFlagged", "modflag", "message_moderated", "content_policy_violation"}
)
"""Codes by which a site refuses a message for what it says."""

_THE_CLIENTS_OWN = frozenset({400, 413, 422})  # statuses about the client's input
_BY_STATUS = {408: 504, 503: 503, 504: 504, 529: 503}
_BY_CLASS: tuple[tuple[type[TailraceError], _Row], ...] = (
    # A profile's error names a file and a variable of this machine, which no client may see.
    (
        errors.ProfileError,
        _Row(503, UPSTREAM, "site_not_set_up", message="the site is not set up on this gateway"),
    ),
    (errors.ModelNotFoundError, _Row(404, INVALID_REQUEST, _NO_MODEL, "model")),
    (errors.InvalidRequestError, _Row(400, INVALID_REQUEST, None)),
    (errors.MissingRequirementsError, _Row(503, UPSTREAM, "site_not_set_up")),
    (errors.TimeoutError, _Row(504, UPSTREAM, "timeout")),
    (errors.ConversationLimitError, _Row(429, QUOTA, QUOTA)),
    (errors.PaymentRequiredError, _Row(429, QUOTA, QUOTA)),
    (errors.RateLimitError, _Row(429, "requests", "rate_limit_exceeded")),
    # The site refused this gateway's key, not the client's: a 401 would send the client looking in
    # the wrong place.
    (
        errors.MissingAuthError,
        _Row(
            502,
            UPSTREAM,
            "site_refused_gateway",
            message="the site refused this gateway's key or password",
        ),
    ),
    (errors.CloudflareError, _Row(503, UPSTREAM, "challenge")),
    (errors.NonceRefusedError, _Row(502, UPSTREAM, "nonce_refused")),
    (errors.TokenNotFoundError, _Row(502, UPSTREAM, "no_token")),
    (errors.WidgetNotFoundError, _Row(502, UPSTREAM, "no_widget")),
    (
        errors.RedirectError,
        _Row(502, UPSTREAM, "redirected", message="the site redirects to where it is not followed"),
    ),
    (
        errors.EndpointError,
        _Row(
            502,
            UPSTREAM,
            "wrong_endpoint",
            message="the site's page names an endpoint on another server",
        ),
    ),
    (
        errors.ProxyError,
        _Row(502, UPSTREAM, "proxy_failed", message="the gateway's proxy to the site failed"),
    ),
    (errors.TLSError, _Row(502, UPSTREAM, "tls_failed", message="TLS with the site failed")),
    (
        errors.ReplyBrokenError,
        _Row(502, UPSTREAM, "truncated", message="the site's reply broke off"),
    ),
    (
        errors.ConnectError,
        _Row(502, UPSTREAM, "connection_failed", message="the site could not be reached"),
    ),
    (
        errors.NetworkError,
        _Row(502, UPSTREAM, "connection_failed", message="the connection to the site failed"),
    ),
)
