"""Errors in Google's form: a code, a message, a status, and details."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.replica._sites.models.site import RequestRefusedError, as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tailrace.replica._response import SiteResponse

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The statuses by their codes; of any other code it is ``UNKNOWN``."""

_TYPE = "type.googleapis.com/google.rpc"


def error(status: int, message: str, details: Sequence[dict[str, Any]] = ()) -> SiteResponse:
    """Return the response that tells an error."""
    return as_json(status, error_object(status, message, details))


def error_object(
    status: int, message: str, details: Sequence[dict[str, Any]] = ()
) -> dict[str, object]:
    """Return the object that is an error's body, or a part of a stream."""
    found: dict[str, object] = {
        "code": status,
        "message": message,
        "status": STATUSES.get(status, "UNKNOWN"),
    }
    return {"error": {**found, "details": list(details)} if details else found}


def refused(message: str, details: Sequence[dict[str, Any]] = ()) -> RequestRefusedError:
    """Return what refuses a request."""
    return RequestRefusedError(error(400, message, details))


def refused_field(place: str, message: str) -> RequestRefusedError:
    """Return what refuses a request whose JSON is not that of its message, at `place`."""
    violation = {"field": place, "description": message} if place else {"description": message}
    detail = {"@type": f"{_TYPE}.BadRequest", "fieldViolations": [violation]}
    return refused(message, [detail])


def retry_details(delay: str) -> list[dict[str, Any]]:
    """Return the details of an error that is over after `delay`, such as ``7s``."""
    quota = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": "GenerateRequestsPerMinutePerProjectPerModel",
        "quotaValue": "10",
    }
    return [
        {"@type": f"{_TYPE}.QuotaFailure", "violations": [quota]},
        {"@type": f"{_TYPE}.RetryInfo", "retryDelay": delay},
    ]


def key_details() -> list[dict[str, Any]]:
    """Return the details of the error that tells of a wrong key."""
    return [
        {
            "@type": f"{_TYPE}.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        }
    ]
