"""The bots of the AI Power sites, and the pages that show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.replica._sites.wordpress.ai_power.framing import (
    AssistantMode,
    ChatMode,
    CompletionMode,
    JsonMode,
)
from tailrace.replica._sites.wordpress.ai_power.widgets import FAKE_TAG
from tailrace.replica._sites.wordpress.site import Post

if TYPE_CHECKING:
    from tailrace.replica._sites.wordpress.ai_power.framing import Mode

INLINE_ACTION = "wpaicg_chat_shortcode_message"
FLOATING_ACTION = "wpaicg_chatbox_message"


@dataclass(frozen=True, slots=True)
class AIPowerBot:
    """A chat bot: its tag shows `page_streams`, which need not agree with `mode`."""

    id: int
    mode: Mode
    page_streams: bool
    assistant: bool = False
    floating: bool = False


@dataclass(frozen=True, slots=True)
class AIPowerPage(Post):
    """A page of the site and the bots on it."""

    bots: tuple[AIPowerBot, ...] = ()


_DEFAULT = AIPowerBot(0, ChatMode(), page_streams=True)
# The page says that the floating bot does not stream, and the plugin streams (page_widget,
# widget_action_ok).
_FLOATING = AIPowerBot(0, ChatMode(), page_streams=False, floating=True)
_STREAMING = AIPowerBot(4, ChatMode(), page_streams=True)
_BUFFERED = AIPowerBot(5, JsonMode(), page_streams=False)
_COMPLETION = AIPowerBot(8, CompletionMode(), page_streams=True)
_ASSISTANT = AIPowerBot(9, AssistantMode(), page_streams=True, assistant=True)

DEFAULT_BOTS = {INLINE_ACTION: _DEFAULT, FLOATING_ACTION: _FLOATING}

_ESCAPED_TAG = FAKE_TAG.replace("<", "&lt;").replace(">", "&gt;")

PAGES = (
    AIPowerPage("default", "/", "the default bot, streaming", 12, bots=(_DEFAULT,)),
    AIPowerPage("stream", "/chat-stream/", "a bot that streams", 13, bots=(_STREAMING,)),
    AIPowerPage(
        "json", "/chat-json/", "a bot that answers with one JSON object", 14, bots=(_BUFFERED,)
    ),
    AIPowerPage("two", "/chat-two/", "two bots on one page", 15, bots=(_STREAMING, _BUFFERED)),
    AIPowerPage(
        "escaped",
        "/chat-escaped/",
        "a page whose text shows a fake nonce before the real one",
        24,
        # As text, and in each element whose content is no markup.
        f"The tag looks like this: <code>{_ESCAPED_TAG}</code>\n"
        f"<!-- {FAKE_TAG} -->\n<textarea readonly>{FAKE_TAG}</textarea>\n"
        f"<script>/* {FAKE_TAG} */</script>",
        bots=(_STREAMING,),
    ),
    AIPowerPage(
        "widget",
        "/chat-widget/",
        "a floating bot, its post id with a stray <",
        21,
        bots=(_FLOATING,),
    ),
    AIPowerPage(
        "assistant",
        "/chat-assistant/",
        "an Assistants bot, streaming named events",
        19,
        bots=(_ASSISTANT,),
    ),
    AIPowerPage(
        "completion", "/chat-completion/", "a bot on a completion model", 18, bots=(_COMPLETION,)
    ),
    AIPowerPage(
        "no-chat", "/no-chat/", "no bot, yet a script with the nonce", 23, "Nobody to talk to here."
    ),
)

OLD_PAGES = tuple(page for page in PAGES if page.name not in ("escaped", "widget", "assistant"))
"""The pages of sites with an older version."""
