"""Advice on a step of the doctor's that failed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tailrace import errors
from tailrace.providers._page import other_than_html
from tailrace.sites._discovery import is_login

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Seen", "advice_for"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A site's state as the doctor knew it when a step failed.

    `software`: what the site runs; `page_url`: the final URL of its page, empty before that was
    read; `headers`: those of the reply that failed, looked up in lower case; `shortcode`: the
    plugin's shortcode where the page shows it as text; `api`: the software whose API answers in the
    page's place, None for a page. `first_step`: whether the first of AIPKit's
    two steps failed; `model_asked`: whether the model behind the site was asked, None where that
    cannot be told; `names_plugin`: whether the site has AI Engine, though its page shows no bot.
    """

    software: str = ""
    page_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    shortcode: str | None = None
    api: str | None = None
    first_step: bool = False
    model_asked: bool | None = None
    names_plugin: bool = False

    @property
    def type(self) -> str:
        """The media type of the reply that failed, empty without one."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class _Failure:
    step: str
    error: errors.TailraceError
    seen: Seen

    @property
    def status(self) -> int | None:
        """The reply's HTTP status; None where the error has none."""
        return self.error.status if isinstance(self.error, errors.StreamError) else None

    @property
    def kind(self) -> str | None:
        """The kind of a `StreamError`; None for another error."""
        return self.error.kind if isinstance(self.error, errors.StreamError) else None

    @property
    def at_page(self) -> bool:
        """Whether a page was asked for, and no message sent."""
        return self.step in ("page", "challenge", "widget")


def advice_for(step: str, error: errors.TailraceError, seen: Seen | None = None) -> str:
    """Return one sentence for the user about a step that failed, by the first rule that fits."""
    failure = _Failure(step, error, seen or Seen())
    return next(advice for fits, advice in _RULES if fits(failure))


def _is(*kinds: type[errors.TailraceError]) -> Callable[[_Failure], bool]:
    return lambda failure: isinstance(failure.error, kinds)


def _has_status(*statuses: int) -> Callable[[_Failure], bool]:
    return lambda failure: failure.status in statuses


def _at(step: str) -> Callable[[_Failure], bool]:
    return lambda failure: failure.step == step


def _answers_as(software: str) -> Callable[[_Failure], bool]:
    return lambda failure: failure.at_page and failure.seen.api == software


def _is_tls(failure: _Failure) -> bool:
    return failure.step == "tls" or isinstance(failure.error, errors.TLSError)


def _is_challenge(failure: _Failure) -> bool:
    return failure.step == "challenge" or isinstance(failure.error, errors.ChallengeError)


def _leads_to_login(failure: _Failure) -> bool:
    error = failure.error
    if isinstance(error, errors.RedirectError):
        return is_login(error.target)
    return failure.at_page and is_login(failure.seen.page_url)


def _hides_admin(failure: _Failure) -> bool:
    """Tell whether a message to WordPress was redirected to anything but its own address."""
    error = failure.error
    if not isinstance(error, errors.RedirectError) or failure.seen.software != "wordpress":
        return False
    return not failure.at_page and not urlsplit(error.target).path.endswith("/admin-ajax.php")


def _wants_basic(failure: _Failure) -> bool:
    """Tell whether the web server wants a user and a password, and not the app behind it."""
    if failure.status != _UNAUTHORIZED:
        return False
    asks = "www-authenticate" in failure.seen.headers
    return asks or (failure.seen.software in _WORDPRESS and failure.seen.type != "application/json")


def _is_the_models(failure: _Failure) -> bool:
    """Tell whether a site hands on a status of the model's API, with its words as JSON."""
    if failure.at_page or failure.seen.first_step or failure.seen.type != "application/json":
        return False
    if failure.seen.software == "ai-engine":
        return False  # its errors are told by their codes
    if failure.seen.software == "wordpress":
        return failure.status not in (None, 200, 400, 403, 429)
    return failure.status is not None and failure.status >= _FIRST_OF_SERVER


def _is_no_html(failure: _Failure) -> bool:
    if isinstance(failure.error, errors.TokenNotFoundError):
        return bool(failure.error.content_type)
    if not isinstance(failure.error, errors.WidgetNotFoundError):
        return False
    return other_than_html(failure.seen.type) is not None


def _of_ai_engine(
    *codes: str, step: str = "", status: int | None = None, words: str = ""
) -> Callable[[_Failure], bool]:
    """Make the test for a failure of AI Engine by all that is given of it."""

    def fits(failure: _Failure) -> bool:
        error = failure.error
        if failure.seen.software != "ai-engine" or not isinstance(error, errors.StreamError):
            return False
        return (
            (not codes or error.code in codes)
            and step in ("", failure.step)
            and status in (None, error.status)
            and words in error.message
        )

    return fits


def _lacks_key(failure: _Failure) -> bool:
    """Tell whether the plugin refuses for its own key: "API" is left untranslated in most texts."""
    if not isinstance(failure.error, errors.StreamError) or failure.seen.model_asked is not False:
        return False
    return bool(re.search(r"\bAPI\b|\bkey\b", failure.error.message))


_WORDPRESS = ("wordpress", "ai-engine")
_ANSWERED = (200, 500)
_NO_SESSION = ("empty", "nonce")
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_HTML = ("text/html", "application/xhtml+xml")
_GUARD = (
    "something in front of the site (a firewall, a security plugin, the host's own rules) forbids "
)

# The first rule that fits gives the advice: errors of the caller and of the way first, then replies
# by what is known of them, then the step alone.
_RULES: tuple[tuple[Callable[[_Failure], bool], str], ...] = (
    (_is(errors.ProfileError), "set the variable, or change the profile"),
    (
        _is(errors.ModelNotServedError),
        "name a model that the server has: `tailrace models` lists them",
    ),
    (_is(errors.InvalidRequestError), "change the site's settings as the message says"),
    (
        _is(errors.ProxyError),
        "check the proxy's URL, user and password; without --proxy the way is a direct one",
    ),
    (
        _is_tls,
        (
            "open the URL in a browser: if it warns too, the owner must renew the certificate; "
            "else look at this machine's clock and certificates"
        ),
    ),
    *(
        (
            _answers_as(software),
            (
                f"an API answers here, and no page with a chat: say --software {software}; in "
                f'tailrace.toml write software = "{software}"'
            ),
        )
        for software in ("openai", "anthropic", "gemini", "ollama")
    ),
    (_is(errors.TimeoutError), "it is slow or silent: try again, or with a longer --timeout"),
    (
        _hides_admin,
        (
            "a security plugin or the server hides wp-admin from visitors: its owner must let "
            "admin-ajax.php through"
        ),
    ),
    (
        _leads_to_login,
        (
            "visitors must be logged in: give a public address, or the cookies of a login "
            "(cookies_env)"
        ),
    ),
    (_is(errors.RedirectError), "use the address it points to as the site's URL"),
    (
        _is(errors.EndpointError),
        (
            "the site's addresses disagree: give its URL with the scheme, host and port that it "
            "names; else its owner must look at its addresses"
        ),
    ),
    (
        _of_ai_engine("rest_cookie_invalid_nonce", words="it had just given"),
        (
            "a plugin or a proxy of the site binds nonces to visitors, or changes them: its owner "
            "must let visitors ask wp-json with the nonce that start_session gives"
        ),
    ),
    (
        _is(errors.NonceRefusedError),
        "the owner must exclude the chat's page from caching: no visitor is answered until then",
    ),
    (
        _is_challenge,
        "this client solves no challenge: ask the owner to let clients in, or use a browser",
    ),
    (
        _wants_basic,
        (
            "the web server wants a user and a password (Basic auth): write them into the URL, "
            "https://user:password@…; in tailrace.toml name the variable of an Authorization "
            "header in headers_env"
        ),
    ),
    (
        _of_ai_engine(status=_UNAUTHORIZED, step="nonce"),
        (
            "a security plugin or the owner's code closes WordPress's REST API to visitors: its "
            "owner must let /wp-json/mwai/v1 and /wp-json/mwai-ui/v1 through"
        ),
    ),
    (
        _of_ai_engine(status=_UNAUTHORIZED, words="gives them none"),
        (
            "the plugin is a version that answers no visitor (2.0.0), or a security plugin closes "
            "its routes: its owner must bring it up to date, or let /wp-json/mwai/v1 and "
            "/wp-json/mwai-ui/v1 through"
        ),
    ),
    (
        _of_ai_engine(status=_UNAUTHORIZED),
        (
            "the owner's code (the filter mwai_rest_authorized) or a security plugin lets no "
            "visitor ask: its owner must allow it, or give the cookies of a login (cookies_env)"
        ),
    ),
    (
        _of_ai_engine("rest_no_route"),
        (
            "the plugin AI Engine or its chatbot module is off, or the page is older than its "
            "removal: the owner must switch it on"
        ),
    ),
    (
        _of_ai_engine("limit_reached"),
        "the site's quota for this visitor, or for all, is used up: wait, or ask its owner",
    ),
    (
        _of_ai_engine("query_rejected"),
        (
            "the plugin refuses before it asks a model: the bot is not there any more, or the "
            "message is too long; `tailrace discover URL` says which bots the page shows"
        ),
    ),
    (
        _of_ai_engine("query_banned"),
        "the owner has banned this address, or a word of the message: no model was asked",
    ),
    (
        _of_ai_engine("query_unauthorized"),
        "the owner's code refuses this visitor's queries: ask the owner; no model was asked",
    ),
    (
        _of_ai_engine("message_moderated"),
        "moderation of the site refuses the message: ask otherwise",
    ),
    (
        _of_ai_engine("not_set_up"),
        "the bot has no model that is there: its owner must choose its environment and its model",
    ),
    (
        _of_ai_engine("internal_server_error"),
        "the site's program failed before it asked a model: its owner must look at PHP's error log",
    ),
    (
        _of_ai_engine(words="cURL error"),
        (
            "the model behind the site was silent or broke off: try again; if it does so again, "
            "its owner must look at the model's service"
        ),
    ),
    (
        lambda failure: (
            _of_ai_engine()(failure) and failure.kind == "upstream" and failure.status in _ANSWERED
        ),
        (
            "the site, or the model behind it, refuses or fails, as its words say: the owner must "
            "look at the model's key, limits and place"
        ),
    ),
    (
        lambda failure: (
            _of_ai_engine()(failure) and failure.kind == "empty" and failure.step == "end"
        ),
        "the model behind the site answered with nothing to be shown: ask again, or otherwise",
    ),
    (
        lambda failure: _of_ai_engine()(failure) and failure.kind == "truncated",
        (
            "the site's program died within the answer, or ran out of time: its owner must look at "
            "PHP's error log and time limit; else a proxy cuts long replies"
        ),
    ),
    (
        lambda failure: (
            _of_ai_engine()(failure)
            and not failure.at_page
            and (
                failure.kind == "not_a_stream"
                or (failure.kind, failure.step) == _NO_SESSION
                or failure.status == _NOT_FOUND
            )
        ),
        (
            "the address that the page names for the REST API answers with something else: the "
            "owner must look at the permalinks, or empty the page cache"
        ),
    ),
    (
        _is_the_models,
        (
            "the model behind the site refuses or fails, as its words say: the owner must look at"
            " the model's key, limits and place"
        ),
    ),
    (
        _is(errors.MissingAuthError),
        "give the site's password or key (password_env, secret_key_env or api_key_env)",
    ),
    (_is(errors.RateLimitError), "wait, and ask less often"),
    (
        _is(errors.ConversationLimitError),
        "the site's quota for this visitor is used up: wait, or ask its owner",
    ),
    (_is(errors.LimitExceeded), "the site sends more than a chat's page or answer: check the URL"),
    (
        _has_status(503),
        "wait and try again: the site is closed for maintenance, or has more to do than it can",
    ),
    (
        _has_status(502, 504),
        (
            "wait and try again: the server in front of the site gets no answer from it; if it "
            "stays so, its owner must look at its program"
        ),
    ),
    (
        lambda failure: failure.status is not None and failure.status >= _FIRST_OF_SERVER,
        "the site's program failed: its owner must look at its error log",
    ),
    (
        lambda failure: failure.status == _FORBIDDEN and failure.at_page,
        f"{_GUARD}the page to this client: its owner must let it through",
    ),
    (
        _of_ai_engine(status=_FORBIDDEN),
        f"{_GUARD}the REST API (wp-json) to this client: its owner must let it through",
    ),
    (
        lambda failure: failure.status == _FORBIDDEN and failure.seen.software == "wordpress",
        f"{_GUARD}admin-ajax.php to this client: its owner must let it through",
    ),
    (
        _is_no_html,
        (
            "a program is answered with data where a browser gets a page (the plugin ActivityPub "
            "and addresses of an API do so): give the page that shows the chat in a browser"
        ),
    ),
    (
        lambda failure: failure.seen.shortcode is not None and failure.at_page,
        (
            "the chat plugin is off, or another version of it is there: its owner must activate "
            "it, and put its own shortcode on the page"
        ),
    ),
    (
        lambda failure: failure.seen.names_plugin and failure.step == "widget",
        (
            "the site has the plugin AI Engine, and this page shows no chat of it: give the page "
            "that does; a chat for the whole site stands at the end of each page"
        ),
    ),
    (
        lambda failure: failure.seen.first_step and failure.kind in ("empty", "not_a_stream"),
        (
            "the plugin did not take the message, and no model was asked: admin-ajax.php answers "
            "with something else; its owner must look at PHP's error log, caches and security "
            "plugins"
        ),
    ),
    (
        _lacks_key,
        (
            "the plugin refuses before it asks a model: the site's own key or settings are "
            "missing or wrong, which its owner must set"
        ),
    ),
    (
        lambda failure: failure.seen.model_asked is False,
        (
            "the plugin refuses before it asks a model: this visitor (banned, over a limit), the "
            "message, or the bot's settings, as its words say"
        ),
    ),
    (
        lambda failure: failure.step == "end" and failure.kind == "upstream",
        (
            "the model behind the site failed within its answer: try again; if it does so again, "
            "its owner must look at the model's key, limits and filters"
        ),
    ),
    (
        _at("dns"),
        (
            "check the URL's spelling; if it is right, the site is gone, or this machine has no "
            "name server"
        ),
    ),
    (
        _at("tcp"),
        (
            "the site is down, or something between it and this machine lets nothing through: try"
            " from another network"
        ),
    ),
    (_at("page"), "open the URL in a browser: it must be the public page that shows the chat"),
    (
        _at("widget"),
        "give the page that shows the chat; `tailrace discover URL` says what a page shows",
    ),
    (
        _at("nonce"),
        "give the page that shows the chat, as a visitor who is not logged in sees it",
    ),
    (_at("post"), "the site takes no message: its owner must look at the plugin or the app"),
    (
        lambda failure: failure.kind == "not_a_stream" and failure.seen.type in _HTML,
        (
            "the site answers a message with the page that is named: if it is a login's, give the "
            "cookies of a login (cookies_env); else give the app's own address as the URL"
        ),
    ),
    (
        _at("first delta"),
        "the site took the message and has no answer: its owner must look at the model behind it",
    ),
    (
        lambda _: True,
        (
            "the answer broke off: try again; if it does so again, a proxy in front of the site "
            "cuts long replies"
        ),
    ),
)

_FIRST_OF_SERVER = 500
