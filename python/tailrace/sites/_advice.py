"""Advice on a step of the doctor's that failed."""

from __future__ import annotations

from tailrace import errors

__all__ = ["advice_for"]

_BY_STEP = {
    "dns": "check the URL's spelling; if it is right, the site is gone, or this machine has no "
    "name server",
    "tcp": "the site is down, or something between it and this machine lets nothing through: try "
    "from another network",
    "tls": "open the URL in a browser: if it warns too, the owner must renew the certificate; "
    "else look at this "
    "machine's clock and certificates",
    "page": "open the URL in a browser: it must be the public page that shows the chat",
    "challenge": "this client solves no challenge: ask the owner to let clients in, or use a "
    "browser",
    "widget": "give the page that shows the chat; `tailrace discover URL` says what a page shows",
    "nonce": "give the page that shows the chat, as a visitor who is not logged in sees it",
    "post": "the site takes no message: its owner must look at the plugin or the app",
    "first delta": "the site took the message and has no answer: its owner must look at the "
    "model behind it",
    "end": "the answer broke off: try again; if it does so again, a proxy in front of the site "
    "cuts long replies",
}

# Advice by error, the first row that fits; it wins over the advice by step.
_BY_ERROR: tuple[tuple[type[errors.TailraceError], str], ...] = (
    (errors.ProfileError, "set the variable, or change the profile"),
    (errors.InvalidRequestError, "change the site's settings as the message says"),
    (
        errors.ProxyError,
        "check the proxy's URL, user and password; without --proxy the way is a direct one",
    ),
    (errors.TimeoutError, "it is slow or silent: try again, or with a longer --timeout"),
    (errors.RedirectError, "use the address it points to as the site's URL"),
    (errors.EndpointError, "the site is set up wrongly: its owner must look at its addresses"),
    (
        errors.NonceRefusedError,
        "the owner must exclude the chat's page from caching: no visitor is answered until then",
    ),
    (errors.ChallengeError, _BY_STEP["challenge"]),
    (
        errors.MissingAuthError,
        "give the site's password or key (password_env, secret_key_env or api_key_env)",
    ),
    (errors.RateLimitError, "wait, and ask less often"),
    (
        errors.ConversationLimitError,
        "the site's quota for this visitor is used up: wait, or ask its owner",
    ),
    (errors.LimitExceeded, "the site sends more than a chat's page or answer: check the URL"),
)


def advice_for(step: str, error: errors.TailraceError) -> str:
    """Return one sentence for the user, by the error, else by the step."""
    return next((advice for kind, advice in _BY_ERROR if isinstance(error, kind)), _BY_STEP[step])
