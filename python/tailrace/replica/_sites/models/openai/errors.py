"""Errors in OpenAI's form: an object under ``error``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.replica._sites.models.site import RequestRefusedError, as_json, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tailrace.replica._response import SiteResponse


def error(
    status: int,
    message: str,
    *,
    type_: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> SiteResponse:
    """Return the response that tells an error."""
    return as_json(
        status, error_object(message, type_=type_, param=param, code=code), headers=headers
    )


def error_object(
    message: str, *, type_: str, param: str | None = None, code: str | None = None
) -> dict[str, object]:
    """Return the object that is an error's body, or its event in a stream."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def refused(message: str, param: str | None = None, code: str | None = None) -> RequestRefusedError:
    """Return what refuses a request, whose field `param` is wrong."""
    return RequestRefusedError(error(400, message, param=param, code=code))


def read_body(data: bytes) -> dict[str, Any]:
    """Read a request's body, which is a JSON object."""
    try:
        body = read_object(data)
    except ValueError:
        raise refused("The body is not JSON.") from None
    if body is None:
        raise refused("The body is not a JSON object.")
    return body


def known_model(model: object, models: Sequence[str]) -> str:
    """Return `model`, which must be one of `models`."""
    if not isinstance(model, str) or not model:
        raise refused("`model` is the name of a model.", "model")
    if model not in models:
        raise RequestRefusedError(
            error(404, f"There is no model {model!r} here.", code="model_not_found")
        )
    return model


def read_flag(body: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """Read a field that is true or false, or null for its default."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise refused(f"`{name}` is true or false.", name)
    return default if value is None else value


def read_count(body: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    """Read a whole number from `least` to `most`, or null."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise refused(f"`{name}` is a whole number of at least {least} and at most {most}.", name)
    return value
