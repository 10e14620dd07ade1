"""The kinds of failures, a few names that can be counted: in the gateway's figures and a load's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace import errors

if TYPE_CHECKING:
    from tailrace.errors import TailraceError

__all__ = ["error_kind"]


def error_kind(error: TailraceError) -> str:
    """Return the kind of a failure, one of a few names that can be counted."""
    for family, kind in _KINDS:
        if isinstance(error, family):
            return kind
    return error.kind if isinstance(error, errors.StreamError) else "other"


_KINDS: tuple[tuple[type[TailraceError], str], ...] = (
    (errors.ProfileError, "not_set_up"),
    (errors.MissingRequirementsError, "not_set_up"),
    (errors.ModelNotFoundError, "model_not_found"),
    (errors.InvalidRequestError, "invalid_request"),
    (errors.TimeoutError, "timeout"),
    (errors.NetworkError, "network"),
    (errors.ConversationLimitError, "quota"),
    (errors.RateLimitError, "rate_limit"),
    (errors.MissingAuthError, "authentication"),
    (errors.NonceRefusedError, "nonce_refused"),
    (errors.TokenNotFoundError, "page"),
    (errors.WidgetNotFoundError, "page"),
    (errors.EndpointError, "page"),
    (errors.RedirectError, "redirect"),
    (errors.RetryProviderError, "every_provider"),
)
