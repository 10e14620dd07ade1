"""The requests to sites with the WordPress plugin AI Engine.

Source: the protocol notes on AI Engine.

A message is one JSON post to WordPress's REST API, and its reply is a stream or one JSON object.
The nonce stands in the page, or ``start_session`` gives it, or the site wants none; which of these
is so, is asked and never guessed from a version.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from tailrace._calls.exchange import Opening
from tailrace._json import objects_in
from tailrace._messages import SYSTEM_ROLES
from tailrace._native import DeltaDecoder
from tailrace.errors import (
    FIRST_ERROR_STATUS,
    InvalidRequestError,
    ResponseStatusError,
    StreamError,
    reply_error,
)
from tailrace.providers._base import read_body
from tailrace.providers._page import NO_SESSION, EngineBot
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace._messages import Turn
    from tailrace.providers._page import SiteTokens
    from tailrace.transport import Response, Session

__all__ = [
    "SESSION_PATH",
    "Message",
    "cannot_stream",
    "explained",
    "is_a_nonce",
    "post",
    "refuses_nonce",
    "split_turns",
    "with_session",
]

SESSION_PATH = "/mwai/v1/start_session"
"""The path below the REST API's address that gives a nonce and a session."""

MAX_SESSION_BYTES = 64 * 2**10
MAX_BYTES_OF_OLDER = 65_536
"""Bytes of a message that versions take which have their nonce in the page; they count nothing
else."""

_BLANKS = " \t\n\r\0\x0b"
"""The characters that PHP's ``trim`` takes off a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a bot, and the turns before it. The repr does not show its text.

    `chat_id`: the name of the dialogue, for all of its messages.
    """

    text: str = field(repr=False)
    history: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    chat_id: str = ""


# -- the session -----------------------------------------------------------------------------------


async def with_session(
    session: Session, tokens: SiteTokens, idle: float | None
) -> SiteTokens | None:
    """Return `tokens` with the nonce and the session that the site gives when it is asked.

    None where the site has no such route, and so gives none. Raises StreamError for any other
    refusal, and all that the session raises.
    """
    headers = {"Accept": "*/*", "Content-Type": "application/json"}
    url = f"{tokens.endpoint}{SESSION_PATH}"
    async with await session.post(url, body=b"", headers=headers) as reply:
        body = await read_body(reply, MAX_SESSION_BYTES, idle)
        given = next((each for each in objects_in(body) if each.get("success") is True), None)
        if given is None or reply.status >= FIRST_ERROR_STATUS:
            error = _session_error(reply, body)
            if error.code == _NO_ROUTE:
                return None
            raise _explained_session(error, tokens)
    session_id = given.get("sessionId")
    nonce = given.get("new_token") or given.get("restNonce")
    bot = tokens.engine or EngineBot()
    return replace(
        tokens,
        nonce=nonce if is_a_nonce(nonce) else "",
        engine=replace(
            bot,
            session_id=session_id if is_a_nonce(session_id) else NO_SESSION,
            asked=True,
        ),
    )


def is_a_nonce(value: object) -> TypeGuard[str]:
    """Tell whether a value can be a nonce or a session's id: 1 to 256 visible ASCII characters."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


_TOKEN = re.compile(r"[!-~]{1,256}")
_NO_ROUTE = "rest_no_route"


def _session_error(reply: Response, body: bytes) -> StreamError:
    decoder = DeltaDecoder("ai-engine", content_type=reply.content_type, status=reply.status)
    decoder.feed(body)
    decoder.close()
    error = decoder.error or reply_error("not_a_stream", "there is no session", reply.status)
    if isinstance(error, ResponseStatusError):
        error.retry_after = reply.retry_after
    return error


def _explained_session(error: StreamError, tokens: SiteTokens) -> StreamError:
    """Return the error of a session that was refused: no nonce was sent, so none can be wrong."""
    if error.kind in ("empty", "not_a_stream"):
        return told(error, f"{_address(tokens)} gives no session: {error.message}")
    if error.status == _UNAUTHORIZED and error.code is not None:
        return told(error, f"the site's REST API is closed to visitors: {error.message}")
    return explained(error, replace(tokens, nonce=""))


# -- the message -----------------------------------------------------------------------------------


def split_turns(turns: list[Turn], chat_id: str) -> Message | None:
    """Return the last turn as the message and the others as its history.

    The plugin knows no system role: its texts are the user's first. None where the conversation
    does not end with the user, so that it has to go as one text.
    """
    spoken = [turn for turn in turns if turn.text.strip(_BLANKS)]
    if not spoken or spoken[-1].role in (*SYSTEM_ROLES, *_ASSISTANTS):
        return None
    system = [("user", turn.text) for turn in spoken if turn.role in SYSTEM_ROLES]
    earlier = [
        ("assistant" if turn.role in _ASSISTANTS else "user", turn.text)
        for turn in spoken[:-1]
        if turn.role not in SYSTEM_ROLES
    ]
    return Message(spoken[-1].text, (*system, *earlier), chat_id)


_ASSISTANTS = ("assistant", "model")


async def post(session: Session, tokens: SiteTokens, message: Message) -> Opening:
    """Post the message and return its reply: a stream, unless `tokens` say that there is none.

    Raises InvalidRequestError for a message without text, or one longer than the bot takes.
    """
    bot = tokens.engine or EngineBot()
    text = message.text.strip(_BLANKS)
    if not text:
        raise InvalidRequestError("the message holds no text: there is nothing to answer")
    _check_length(text, bot, has_nonce=bool(tokens.nonce))
    streams = tokens.streams is not False
    body = json.dumps(_fields(tokens, bot, message, text, streams=streams), ensure_ascii=False)
    headers = {
        "Accept": "text/event-stream" if streams else "*/*",
        "Content-Type": "application/json",
        **({"X-WP-Nonce": tokens.nonce} if tokens.nonce else {}),
    }
    url = f"{tokens.endpoint}/mwai-ui/v1/chats/submit"
    reply = await session.post(url, body=body.encode(), headers=headers)
    return Opening(
        reply, DeltaDecoder("ai-engine", content_type=reply.content_type, status=reply.status)
    )


def _check_length(text: str, bot: EngineBot, *, has_nonce: bool) -> None:
    """Raise InvalidRequestError for a message that the site would refuse without a reason."""
    size = len(text.encode())
    if bot.asked and bot.max_length is not None and len(text) > bot.max_length:
        raise InvalidRequestError(
            f"the message has {len(text)} characters: this bot takes at most {bot.max_length}"
        )
    if not bot.asked and has_nonce and size > MAX_BYTES_OF_OLDER:
        raise InvalidRequestError(
            f"the message has {size} bytes: this site takes at most {MAX_BYTES_OF_OLDER}"
        )


def _fields(
    tokens: SiteTokens, bot: EngineBot, message: Message, text: str, *, streams: bool
) -> Mapping[str, Any]:
    """Return the fields that a browser posts, in its order, without what the site does not need.

    A key that the plugin does not know would be a setting of the bot. Nor is the id of an earlier
    reply sent, for which the site would leave out the earlier turns.
    """
    greeting = [("assistant", bot.start_sentence)] if bot.start_sentence else []
    turns = [*greeting, *message.history]
    return {
        "botId": tokens.bot_id or None,
        "customId": bot.custom_id,
        "session": bot.session_id,
        "chatId": message.chat_id,
        "contextId": int(tokens.post_id) if tokens.post_id else None,
        "messages": [{"role": role, "content": content} for role, content in turns],
        "newMessage": text,
        "newFileId": None,
        "newFileIds": None,
        "stream": streams,
    }


# -- refusals --------------------------------------------------------------------------------------


def refuses_nonce(error: StreamError, tokens: SiteTokens) -> bool:
    """Tell whether an error reply says that the nonce is wrong, or that there should be one."""
    if error.code == "rest_cookie_invalid_nonce":
        return True
    return error.status == _UNAUTHORIZED and error.code == _FORBIDDEN_CODE and not tokens.nonce


def cannot_stream(error: StreamError) -> bool:
    """Tell whether the site says that it can answer, but not as a stream."""
    return error.code == "headers_sent"


def explained(error: StreamError, tokens: SiteTokens) -> StreamError:
    """Return the error with what is known of the plugin; else the error itself."""
    if error.kind == "challenge":
        return error
    is_status = isinstance(error, ResponseStatusError)
    if is_status and error.status == _SERVER_ERROR and _FAILURE.search(error.raw):
        # The plugin's own words: asking again would change nothing.
        return StreamError(
            "upstream", error.message, status=error.status, code=error.code, raw=error.raw
        )
    place = _place(error, tokens)
    return told(error, f"{place}: {error.message}") if place else error


def _place(error: StreamError, tokens: SiteTokens) -> str | None:
    """Return what an error means that is not of the plugin's own making; None for any other."""
    if error.code == _NO_ROUTE:
        return (
            f"{_address(tokens)} knows no chat: the plugin or its chatbot is off, or is a version "
            "without it"
        )
    if error.status == _UNAUTHORIZED and error.code is not None:
        if tokens.nonce:
            return "the site lets no visitor ask, though it gave a nonce"
        return "the site wants a nonce of its visitors, and gives them none"
    if error.kind == "not_a_stream":
        return f"{_address(tokens)} does not answer as the plugin does"
    return None if error.code is not None else _place_of_others(error.status, tokens)


def _place_of_others(status: int | None, tokens: SiteTokens) -> str | None:
    """Return what a status means that does not come from WordPress; None for any other."""
    if status == _FORBIDDEN:
        return "something in front of the site forbids its REST API to this client"
    if status == _NOT_FOUND:
        return f"{_address(tokens)} is no REST API of WordPress"
    return None


_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_SERVER_ERROR = 500
_FORBIDDEN_CODE = "rest_forbidden"
_FAILURE = re.compile(r'\{\s{0,9}"success"\s{0,9}:\s{0,9}false')


def told(error: StreamError, message: str) -> StreamError:
    """Return the error with another message."""
    changed = reply_error(error.kind, message, error.status, error.code, error.raw)
    if isinstance(changed, ResponseStatusError) and isinstance(error, ResponseStatusError):
        changed.retry_after = error.retry_after
    return changed


def _address(tokens: SiteTokens) -> str:
    return checked_url(tokens.endpoint).url
