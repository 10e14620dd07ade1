"""Errors in Anthropic's form, and the reading of fields that are checked one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.replica._sites.models.site import RequestRefusedError, as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tailrace.replica._response import SiteResponse

REQUEST_ID = "req_011ReplicaReplicaReplica"
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The types of errors by their status; of any other the type is ``api_error``."""


def error(status: int, message: str, headers: Sequence[tuple[str, str]] = ()) -> SiteResponse:
    """Return the response that tells an error."""
    return as_json(status, error_object(status, message), (("request-id", REQUEST_ID), *headers))


def error_object(status: int, message: str) -> dict[str, object]:
    """Return the object that is an error's body, or its event in a stream."""
    type_ = TYPES.get(status, "api_error")
    return {
        "type": "error",
        "error": {"type": type_, "message": message},
        "request_id": REQUEST_ID,
    }


def refused(message: str) -> RequestRefusedError:
    """Return what refuses a request."""
    return RequestRefusedError(error(400, message))


def check_fields(
    value: object, place: str, required: Iterable[str], optional: Iterable[str] = ()
) -> Mapping[str, Any]:
    """Return `value`, an object with the required fields and no others than the optional ones."""
    if not isinstance(value, dict):
        raise refused(f"{place}: Input should be a valid dictionary")
    start = f"{place}." if place else ""
    required, optional = tuple(required), tuple(optional)
    for name in required:
        if name not in value:
            raise refused(f"{start}{name}: Field required")
    for name in value:
        if name not in required and name not in optional:
            raise refused(f"{start}{name}: Extra inputs are not permitted")
    return value


def check_text(value: object, place: str) -> str:
    """Return `value`, which must be text."""
    if not isinstance(value, str):
        raise refused(f"{place}: Input should be a valid string")
    return value


def check_number(value: object, place: str, least: float, most: float, *, whole: bool) -> None:
    """Refuse what is no number from `least` to `most`."""
    kinds = (int,) if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise refused(f"{place}: Input should be a valid {'integer' if whole else 'number'}")
    if value < least:
        raise refused(f"{place}: Input should be greater than or equal to {least}")
    if value > most:
        raise refused(f"{place}: Input should be less than or equal to {most}")


def check_one_of(value: object, place: str, known: Sequence[str]) -> str:
    """Return `value`, which must be one of `known`."""
    if not isinstance(value, str) or value not in known:
        raise refused(f"{place}: Input should be {', '.join(map(repr, known))}")
    return value
