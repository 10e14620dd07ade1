"""Parts that AI Power 1.x adds to a page: widgets, script parameters, and decoys for scanners.

Attribute names and their order follow the captured pages (``ai-power/1.9.18/page_*``); the words
are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.replica._sites.wordpress.php import esc_html, json_encode
from tailrace.replica._sites.wordpress.theme import PluginParts, icon, questions, style_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FAKE_NONCE = "deadbeef00"
FAKE_TAG = (
    f'<div class="wpaicg-chat-shortcode" data-nonce="{FAKE_NONCE}" '
    'data-post-id="1" data-bot-id="0">'
)

_ICON_RULES = 90
_WIDGET_RULES = 200
_CONVERSATION_STARTERS = 12


@dataclass(frozen=True, slots=True)
class AIPowerWidget:
    """One chat bot as its tag shows it.

    `url` is the page's, without a slash at its end; `old` is the tag of 1.8.x.
    """

    bot_id: int
    post_id: str
    nonce: str
    image_nonce: str
    url: str
    streams: bool
    assistant: bool = False
    floating: bool = False
    old: bool = False


def plugin_parts(origin: str, nonce: str, widgets: Sequence[AIPowerWidget]) -> PluginParts:
    """Return the plugin's parts: `widgets` in order, and its script with `nonce`."""
    style = f"<style>\n{style_rules('wpaicg_chat_widget', _ICON_RULES)}\n</style>\n"
    return PluginParts(
        style if widgets else "", "".join(map(_widget, widgets)), _scripts(origin, nonce)
    )


def _scripts(origin: str, nonce: str) -> str:
    public = f"{origin}/wp-content/plugins/gpt3-ai-content-generator/public/js"
    return f"""<script id='wpaicg-init-js-extra'>
var wpaicgParams = {json_encode(_params(origin, nonce))};
</script>
<script src='{public}/wpaicg-init.js' id='wpaicg-init-js'></script>
<script src='{public}/wpaicg-chat.js' id='wpaicg-chat-script-js'></script>
"""


def _params(origin: str, nonce: str) -> dict[str, object]:
    return {
        "ajax_url": f"{origin}/wp-admin/admin-ajax.php",
        "search_nonce": nonce,
        "logged_in": "0",
        "languages": {
            "source": "Found in",
            "no_result": "Nothing found",
            "wrong": "That did not work",
        },
        "katex_enabled": "0",
    }


def _widget(widget: AIPowerWidget) -> str:
    prefix = "wpaicg-chatbox" if widget.floating else "wpaicg-chat-shortcode"
    css_class = f"{prefix} wpaicg-chat-widget-no-footer" if widget.floating else prefix
    attributes = "\n".join(
        f'     {name}{" = " if spaced else "="}"{value}"'
        for name, spaced, value in _attributes(widget)
    )
    return f"""<style>
{style_rules(f"{prefix}-part", _WIDGET_RULES)}
</style>
<div class="{css_class}"
{attributes}
>
{_conversation(widget, prefix)}</div>
"""


def _attributes(widget: AIPowerWidget) -> Iterable[tuple[str, bool, str]]:
    values = {
        "data-nonce": widget.nonce,
        "data-post-id": widget.post_id,
        "data-url": widget.url,
        "data-bot-id": str(widget.bot_id),
        "data-openai_stream_nav": "1" if widget.streams else "0",
        "data-assistant-enabled": "true" if widget.assistant else "false",
        "data-type": "widget" if widget.floating else "shortcode",
    }
    other = "+" if widget.old else "-"
    for line in (
        entry.lstrip("+-") for entry in _ATTRIBUTES.splitlines() if not entry.startswith(other)
    ):
        name, spaced, value = line.partition(" = ") if " = " in line else line.partition("=")
        if widget.floating and name in _INLINE_ONLY:
            continue
        # The plugin writes the floating post id as it stands, a stray "<" included.
        yield name, spaced == " = ", values[name] if name in values else esc_html(value)


def _conversation(widget: AIPowerWidget, prefix: str) -> str:
    starters = "\n".join(
        '        <button class="wpaicg-conversation-starter" type="button">'
        f"{esc_html(text)}</button>"
        for text in (f"{question}?" for question in questions(_CONVERSATION_STARTERS))
    )
    icons = "\n".join(f"            {icon(number)}" for number in range(14))
    return f"""    <div class="{prefix}-content">
        <ul class="{prefix}-messages">
            <li class="wpaicg-ai-message"><span class="wpaicg-chat-message">
                Good day &amp; welcome, I&#039;m &quot;bot {widget.bot_id}&quot; \
&lt;ask me&gt;</span></li>
        </ul>
{starters}
    </div>
    <div class="{prefix}-type">
        <textarea name="{prefix}-typing" class="auto-expand" placeholder="Your message"></textarea>
        <div class="wpaicg_chat_additions">
{icons}
            <input type="file" class="wpaicg-img-file" accept="image/png, image/jpeg" \
style="display: none;" />
            <input type="hidden" id="wpaicg-img-nonce" value="{widget.image_nonce}" />
        </div>
    </div>
"""


_INLINE_ONLY = frozenset({"data-has-bar", "data-sidebar-enabled"})

# Names, order and the " = " of some are as captured, values are ours. "+": not in 1.8.x; "-": only
# there.
_ATTRIBUTES = """\
data-user-bg-color=#e6f2ff
data-color=#203040
data-fontsize=14
-data-use-avatar=0
-data-user-avatar=
-data-you=Me
-data-ai-avatar=
-data-ai-name=Pilot
data-ai-bg-color=#f4f4f4
data-nonce=
data-post-id=
data-url=
data-bot-id=
data-width=350px
data-height=400px
data-footer=false
data-has-bar=false
data-speech=
data-voice=
data-elevenlabs-model=
data-voice-error=
data-typewriter-effect = \n\
data-typewriter-speed=1
data-text_height=60
data-text_rounded=8
data-chat_rounded=8
data-voice_service=
data-voice_language=en-US
data-voice_name=en-US-Studio-M
data-voice_device=
data-voice_speed=1
data-voice_pitch=0
data-openai_model=tts-1
data-openai_voice=alloy
data-openai_output_format=mp3
data-openai_voice_speed=1.0
data-openai_stream_nav=
data-autoload_chat_conversations=0
data-copy_btn=
data-feedback_btn = \n\
data-feedback_title = Was it "good" > bad?
data-feedback_message = What was wrong with it? (optional)
data-feedback_success = We read every word.
data-user-voice-control = \n\
data-voice-muted-by-default=
+data-memory-limit = 100
+data-lead-collection = 0
+data-lead-title = How can we reach you?
+data-lead-name = What to call you
+data-enable-lead-name = 1
+data-lead-email = Where to write
+data-enable-lead-email = 1
+data-lead-phone = Where to ring
+data-enable-lead-phone = 1
+data-bg_text_field = #ffffff
+data-bg_text_field_font_color = #203040
+data-bg_text_field_border_color = #c0c8d0
+data-assistant-enabled=
+data-sidebar-enabled=
data-type="""
