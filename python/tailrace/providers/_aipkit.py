"""The requests to the plugin's 2.x line (AIPKit, since 2.3).

Source: the protocol notes, "The 2.x line".

A message takes two steps: the message is posted for a cache key, and the answer is streamed for the
key, which works once. Bots that do not stream (2.3 to 2.4.0) answer the post itself. The server
remembers a dialogue by its ids.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tailrace._calls.exchange import Opening
from tailrace._json import objects_in
from tailrace._native import DeltaDecoder
from tailrace.errors import FIRST_ERROR_STATUS, StreamError, reply_error
from tailrace.providers._ai_power import FORM
from tailrace.providers._base import read_body

if TYPE_CHECKING:
    from tailrace.providers._page import SiteTokens
    from tailrace.providers._visitor import Outgoing
    from tailrace.transport import Response, Session

__all__ = ["fresh_nonce", "is_the_plugins", "post", "refuses_nonce"]

MAX_STEP_BYTES = 64 * 2**10


async def post(
    session: Session, tokens: SiteTokens, outgoing: Outgoing, idle: float | None
) -> Opening:
    """Send the message and return the reply; raises StreamError where the first step is refused."""
    if tokens.streams is False:
        reply = await _post_form(
            session, tokens, {**_ids(tokens, outgoing), **_message(tokens, outgoing)}
        )
    else:
        key = await _cache_key(session, tokens, outgoing, idle)
        query = {
            "action": "aipkit_frontend_chat_stream",
            "cache_key": key,
            **_ids(tokens, outgoing),
            "_ts": str(outgoing.now_ms),
            **_previous(outgoing),
            "_ajax_nonce": tokens.nonce,
        }
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        reply = await session.get(_with_query(tokens.endpoint, query), headers=headers)
    return Opening(
        reply, DeltaDecoder("aipkit", content_type=reply.content_type, status=reply.status)
    )


async def fresh_nonce(session: Session, tokens: SiteTokens, idle: float | None) -> str | None:
    """Return a new nonce, from an action of the plugin that needs none.

    None where the plugin (before 2.3.41) has no such action.
    """
    fields = {"action": "aipkit_get_frontend_chat_nonce", "bot_id": tokens.bot_id}
    async with await _post_form(session, tokens, fields) as reply:
        return _token_of(await read_body(reply, MAX_STEP_BYTES, idle), "nonce")


def refuses_nonce(error: StreamError, *, whole: bool) -> bool:
    """Tell whether an error reply refuses the nonce outright.

    The first step says so by a code. The JSON action (`whole`) has none, and no other 403 of its
    own. The second step answers with HTTP 200 and a text.
    """
    if error.code == "nonce_failure_cache_sse":
        return True
    return whole and error.status == _FORBIDDEN and is_the_plugins(error)


def is_the_plugins(error: StreamError) -> bool:
    """Tell whether an error reply is one of ``wp_send_json_error``, not of a guard in front."""
    return bool(_FAILURE.search(error.raw))


_FORBIDDEN = 403
_FAILURE = re.compile(r'\{\s{0,9}"success"\s{0,9}:\s{0,9}false')


async def _cache_key(
    session: Session, tokens: SiteTokens, outgoing: Outgoing, idle: float | None
) -> str:
    fields = {
        "action": "aipkit_cache_sse_message",
        "message": outgoing.message,
        "_ajax_nonce": tokens.nonce,
        "bot_id": tokens.bot_id,
        "user_client_message_id": _client_message_id(tokens, outgoing),
    }
    async with await _post_form(session, tokens, fields) as reply:
        body = await read_body(reply, MAX_STEP_BYTES, idle)
        key = _token_of(body, "cache_key") if reply.status < FIRST_ERROR_STATUS else None
        if key is None:
            raise _refusal(reply, body)
        return key


async def _post_form(session: Session, tokens: SiteTokens, fields: dict[str, str]) -> Response:
    return await session.post(tokens.endpoint, body=urlencode(fields).encode("ascii"), headers=FORM)


def _ids(tokens: SiteTokens, outgoing: Outgoing) -> dict[str, str]:
    return {
        "bot_id": tokens.bot_id,
        "session_id": outgoing.visitor.session_id,
        "conversation_uuid": outgoing.visitor.conversation_uuid,
        "post_id": tokens.post_id,
    }


def _message(tokens: SiteTokens, outgoing: Outgoing) -> dict[str, str]:
    return {
        "action": "aipkit_frontend_chat_message",
        "_ajax_nonce": tokens.nonce,
        "message": outgoing.message,
        "user_client_message_id": _client_message_id(tokens, outgoing),
        **_previous(outgoing),
    }


def _previous(outgoing: Outgoing) -> dict[str, str]:
    previous = outgoing.visitor.previous_openai_response_id
    return {"previous_openai_response_id": previous} if previous else {}


def _client_message_id(tokens: SiteTokens, outgoing: Outgoing) -> str:
    tail = "".join(outgoing.chance.choices(string.ascii_lowercase + string.digits, k=5))
    return f"aipkit-client-msg-{tokens.bot_id}-{outgoing.now_ms}-{tail}"


def _with_query(url: str, query: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


def _data_of(body: bytes) -> dict[str, Any]:
    """Return the ``data`` of a successful reply, empty for any other reply.

    Text that other plugins printed in front of the JSON or behind it is skipped.
    """
    successes = (each.get("data") for each in objects_in(body) if each.get("success") is True)
    return next((data for data in successes if isinstance(data, dict)), {})


def _token_of(body: bytes, name: str) -> str | None:
    """Return a token of a successful reply; None unless it is at most 256 visible characters."""
    token = _data_of(body).get(name)
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None


_TOKEN = re.compile(r"[!-~]{1,256}")


def _refusal(reply: Response, body: bytes) -> StreamError:
    """Return the error of a first step that gave no key, with the site's own message.

    The decoder knows all forms in which the plugin sends messages.
    """
    decoder = DeltaDecoder("aipkit", content_type=reply.content_type, status=reply.status)
    decoder.feed(body)
    decoder.close()
    error = decoder.error or reply_error("not_a_stream", "there is no cache key", reply.status)
    if error.kind not in ("empty", "not_a_stream"):
        return error
    message = f"the message was not taken: {error.message}"
    return reply_error(error.kind, message, error.status, error.code, error.raw)
