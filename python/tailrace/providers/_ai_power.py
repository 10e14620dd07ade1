"""The request to the plugin's 1.x line (AI Power up to 2.2).

Source: the protocol notes, "The 1.x line".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tailrace._calls.exchange import Opening
from tailrace._native import DeltaDecoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace._messages import Turn
    from tailrace.errors import StreamError
    from tailrace.providers._page import SiteTokens
    from tailrace.providers._visitor import Outgoing
    from tailrace.transport import Session

__all__ = ["FORM", "may_refuse_nonce", "native_history", "post", "refuses_nonce"]

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "Accept": "*/*"}


async def post(session: Session, tokens: SiteTokens, outgoing: Outgoing) -> Opening:
    """Post the message; the reply's own Content-Type tells whether it streams."""
    fields = _fields(tokens, outgoing)
    reply = await session.post(
        tokens.endpoint, body=urlencode(fields).encode("ascii"), headers=FORM
    )
    return Opening(
        reply, DeltaDecoder("ai-power", content_type=reply.content_type, status=reply.status)
    )


def refuses_nonce(error: StreamError, headers: Mapping[str, str]) -> bool:
    """Tell whether an error reply refuses the nonce (1.8.91 and later): 403 and a bare sentence.

    The sentence is translated, so it is known by the header that WordPress sends with all of
    admin-ajax.php; without it, by WordPress's own words alone. `headers` are those of the reply.
    """
    is_wordpress = "noindex" in headers.get("x-robots-tag", "")
    return _is_sentence(error, headers, is_wordpress=is_wordpress) and (
        is_wordpress or bool(_UNTRANSLATED.match(error.raw.strip()))
    )


def may_refuse_nonce(error: StreamError, headers: Mapping[str, str]) -> bool:
    """Tell whether an error reply has the form of a refusal, and nothing says whose words it has.

    They may be WordPress's behind a proxy that drops its header, or those of a guard.
    """
    return _is_sentence(error, headers) and not _BLOCKING.search(error.raw)


def _is_sentence(
    error: StreamError, headers: Mapping[str, str], *, is_wordpress: bool = False
) -> bool:
    """Tell whether a 403 has a sentence without a page around it, as WordPress prints it.

    A page, an object, plain text, or the bare name of the status is from something in front of the
    site. No body at all counts where the header tells that it `is_wordpress`.
    """
    if error.status != _FORBIDDEN or headers.get("content-type", "").startswith("text/plain"):
        return False
    body = error.raw.strip()
    if not body:
        return is_wordpress
    return not (body.startswith("{") or _DOCUMENT.search(body) or _STATUS_ALONE.fullmatch(body))


_FORBIDDEN = 403
_DOCUMENT = re.compile(r"<(?:!doctype|html|head|title|body|center|h1)\b", re.IGNORECASE)
_UNTRANSLATED = re.compile(r"The link you followed has expired\.|-1\Z")
_BLOCKING = re.compile(
    r"\b(?:block(?:ed|ing)|firewall|waf|wordfence|sucuri|mod_?security|access denied"
    r"|security (?:policy|rule)|your ip)\b",
    re.IGNORECASE,
)
_STATUS_ALONE = re.compile(
    r"(?:error )?(?:code:? ?)?(?:403|10\d\d)?\W{0,3}(?:forbidden|access denied|blocked)?\W{0,3}",
    re.IGNORECASE,
)


def _fields(tokens: SiteTokens, outgoing: Outgoing) -> dict[str, str]:
    """Return the fields of the form that a browser posts, in the browser's order."""
    custom = tokens.bot_id not in ("", "0")
    visitor = outgoing.visitor
    return {
        "_wpnonce": tokens.nonce,
        "post_id": tokens.post_id,
        "url": tokens.url,
        "action": "wpaicg_chatbox_message" if tokens.popup else "wpaicg_chat_shortcode_message",
        "message": outgoing.message,
        "bot_id": tokens.bot_id,
        "chatbot_identity": f"custom_bot_{tokens.bot_id}"
        if custom
        else "widget"
        if tokens.popup
        else "shortcode",
        "wpaicg_chat_history": native_history(outgoing.history, tokens.memory_limit),
        "wpaicg_chat_client_id": visitor.client_id,
        **({"thread_id": visitor.thread_id} if visitor.thread_id else {}),
        "chat_id": str(outgoing.chance.randint(1, 100_000)),
    }


def native_history(turns: list[Turn], limit: int | None = None) -> str:
    """Write earlier turns in the plugin's own form: the last `limit` of them, None for all.

    The server deletes every backslash before it reads the JSON, a quote within a text wipes the
    whole memory, and tags and ``%xx`` are filtered out. So each character that would need an escape
    is replaced by a lookalike, and no text is lost.
    """
    kept = turns if limit is None else turns[max(0, len(turns) - limit) :]
    entries = [
        {
            "id": "" if turn.role != "assistant" else number,
            "text": f"{_SPEAKERS.get(turn.role, 'Human')}: {_plain(turn)}",
        }
        for number, turn in enumerate(kept)
    ]
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":"))


_SPEAKERS = {"assistant": "AI"}

_LOOKALIKES = str.maketrans('"\\<>', "”＼‹›")  # noqa: RUF001 - that they look alike is the point
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_ENCODED = re.compile(r"%(?=[0-9a-fA-F]{2})")


def _plain(turn: Turn) -> str:
    return _ENCODED.sub("％", _CONTROLS.sub(" ", turn.text.translate(_LOOKALIKES)))  # noqa: RUF001 - a lookalike
