"""Parts that AIPKit adds to a page: one tag a bot, with its configuration in an attribute.

Attributes, their order and quotes, and the configuration's keys follow the captured pages
(``2.4.71/page_*``, ``2.4.0/page_json``); the words are our own. A page without a bot has no part of
the plugin's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.replica._sites.wordpress.php import esc_html, json_attribute, json_encode
from tailrace.replica._sites.wordpress.theme import PluginParts, icon

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class AIPKitWidget:
    """One chat bot as its tag shows it.

    `streams`: None in versions of the plugin that only stream, whose tags do not say so.
    """

    bot_id: int
    name: str
    nonce: str
    post_id: int
    ajax_url: str
    popup: bool = False
    streams: bool | None = None

    def config(self) -> dict[str, object]:
        """Return the value of ``data-config``: the key names and their order are the plugin's."""
        facts: dict[str, object] = {
            "botId": self.bot_id,
            "ajaxUrl": self.ajax_url,
            "nonce": self.nonce,
            "postId": self.post_id,
            "theme": "custom" if self.streams is None else "dark",
            "popupEnabled": self.popup,
            "streamEnabled": self.streams,
            "headerName": self.name,
            "customThemeSettings": _THEME if self.streams is None else [],
            "text": dict(self._texts()),
        }
        entries = (line.partition("=") for line in self._of_this_version(_CONFIG))
        return {key: json.loads(value) if value else facts[key] for key, _, value in entries}

    def _texts(self) -> Iterator[tuple[str, str]]:
        for key in self._of_this_version(_TEXTS):
            words = re.sub(r"(?=[A-Z])", " ", key).lower()
            yield key, _TEXT_OF.get(key, f"Harbour chat: {words}.")

    def _of_this_version(self, table: str) -> Iterator[str]:
        """Yield the entries of this version without their signs: ``+`` since, ``-`` up to 2.4.0."""
        other = "-" if self.streams is None else "+"
        return (entry.lstrip("+-") for entry in table.split("\n") if not entry.startswith(other))


def plugin_parts(origin: str, version: str, widgets: Sequence[AIPKitWidget]) -> PluginParts:
    """Return the plugin's parts of a page for `widgets`, in order."""
    if not widgets:
        return PluginParts()
    dist = f"{origin}/wp-content/plugins/gpt3-ai-content-generator/dist"
    head = (
        "<link rel='stylesheet' id='aipkit-public-main-css-css' "
        f"href='{dist}/css/public-main.bundle.css' />\n"
    )
    scripts = f"""<script id='aipkit-public-main-js-extra'>
var aipkit_chat_config_global = {json_encode({"text": _GLOBAL_TEXTS})};
</script>
<script id='aipkit-public-main-js-before'>
window.aipkit_getChatNonceAction = "aipkit_get_frontend_chat_nonce";
</script>
<script src='{dist}/js/public-main.bundle.js?ver={version}' id='aipkit-public-main-js'></script>
"""
    return PluginParts(head, "\n middle ".join(map(_widget, widgets)), scripts)


def _widget(widget: AIPKitWidget) -> str:
    return _popup(widget) if widget.popup else _inline(widget)


def _inline(widget: AIPKitWidget) -> str:
    theme = "custom " if widget.streams is None else "dark  "
    custom = (
        f" data-custom-theme='{json_attribute(_THEME)}' style=\"{_STYLE}\" "
        if widget.streams is None
        else "  "
    )
    return f"""    <div class="aipkit_chat_container aipkit-theme-{theme} \
aipkit-sidebar-state-closed   " \
id="aipkit_chat_container_{widget.bot_id}" data-bot-id="{widget.bot_id}" \
data-config='{json_attribute(widget.config())}'{custom}>
{_conversation(widget)}    </div>
"""


def _popup(widget: AIPKitWidget) -> str:
    number = widget.bot_id
    return f"""    <div class="aipkit_popup_wrapper aipkit-popup-theme-custom \
aipkit-popup-standard" \
id="aipkit_popup_wrapper_{number}" data-config='{json_attribute(widget.config())}' \
data-bot-id="{number}" \
data-icon-size="medium" style="{_STYLE}">
        <button type="button" class="aipkit_popup_trigger" \
id="aipkit_popup_trigger_{number}">{icon(number)}</button>
        <div
            class="aipkit_popup_hint aipkit_popup_position-bottom-right \
aipkit_popup_hint--size-large"
            id="aipkit_popup_hint_{number}"
            role="status"
            aria-live="polite"
            aria-atomic="true"
            aria-hidden="true"
            inert
            hidden
            data-bot-id="{number}"
        ></div>
        <div class="aipkit_chat_container aipkit_popup_content aipkit-theme-custom  \
aipkit_popup_position-bottom-right \
aipkit-sidebar-state-closed   " id="aipkit_chat_container_{number}" aria-hidden="true" inert \
data-custom-theme='{json_attribute(_THEME)}' style="{_STYLE}">
{_conversation(widget)}        </div>
    </div>
"""


def _conversation(widget: AIPKitWidget) -> str:
    buttons = "\n".join(
        '            <button class="aipkit_input_action_btn" type="button" '
        f'aria-label="Button {number}" hidden>{icon(number)}</button>'
        for number in range(8)
    )
    return f"""        <div class="aipkit_chat_main">
            <div class="aipkit_chat_header">\
<div class="aipkit_header_name">{esc_html(widget.name)}</div></div>
            <div class="aipkit_chat_messages"></div>
            <div class="aipkit_conversation_starters"></div>
            <div class="aipkit_chat_input"><div class="aipkit_chat_input_wrapper">
            <textarea
                id="aipkit_chat_input_field_{widget.bot_id}"
                name="aipkit_chat_message_{widget.bot_id}"
                class="aipkit_chat_input_field"
                placeholder="Write to the harbour"
                rows="1"
            ></textarea>
{buttons}
            </div></div>
        </div>
"""


_THEME: dict[str, object] = {
    "primary_color": "#204060",
    "secondary_color": "#F0F4F8",
    "accent_color": "#101820",
    "font_family": "inherit",
    "bubble_border_radius": 12,
    "container_max_width": 900,
    "popup_width": 360,
    "container_height": 600,
    "container_max_height": 90,
    "container_min_height": 300,
    "popup_height": 600,
    "popup_min_height": 300,
    "popup_max_height": 90,
}
_STYLE = "".join(
    f"--aipkit-chat-{part}-color:#{number:06X};"
    for number, part in enumerate(
        (
            "accent",
            "on-accent",
            "accent-hover",
            "accent-tint",
            "accent-on-tint",
            "accent-shadow",
            "header-avatar-bg",
        ),
        start=0x204060,
    )
)
_GLOBAL_TEXTS = {
    f"harbour{number}": f"Text {number} of the harbour's own, for every bot."
    for number in range(20)
}
_TEXT_OF = {
    "initialGreeting": 'Ahoy "sailor" <you> & it\'s a fine day — come in',
    "statusRetrievingContext": "",
}
_CONFIG = """\
botId
ajaxUrl
nonce
postId
theme
popupEnabled
popupPosition="bottom-right"
popupDelay=0
popupIconType="default"
popupIconStyle="circle"
popupIconValue="chat-bubble"
popupIconSize="medium"
customThemePresetKey=""
popupLabelEnabled=true
popupLabelText="Ask the harbour master"
popupLabelMode="on_delay"
popupLabelDelaySeconds=1
popupLabelAutoHideSeconds=0
popupLabelDismissible=true
popupLabelFrequency="once_per_visitor"
popupLabelShowOnMobile=true
popupLabelShowOnDesktop=true
popupLabelVersion=""
popupLabelSize="large"
-streamEnabled
footerText=""
headerAvatarType="inherit"
headerAvatarValue="chat-bubble"
headerAvatarUrl=""
headerOnlineText="On watch"
enableFullscreen=true
enableDownload=false
enableCopyButton=true
enableFeedback=true
enableSidebar=false
pdfDownloadActive=false
headerName
enableStarters=true
starters=["When is high water?", "Who keeps the light?"]
requireConsentCompliance=false
ttsEnabled=false
ttsAutoPlay=false
ttsProvider="Google"
ttsVoiceId=""
+ttsGoogleModelId=""
ttsOpenAIModelId="tts-1"
ttsElevenLabsModelId=""
enableVoiceInputUI=false
enableRealtimeVoiceUI=false
directVoiceMode=false
realtimeModel=""
sttProvider="OpenAI"
imageTriggers="/image, /generate"
fileUploadEnabledUI=false
imageUploadEnabledUI=false
inputActionButtonEnabled=false
provider="OpenAI"
+fileUploadProvider="openai"
vectorStoreProvider="openai"
enableOpenAIConversationState=false
+enableGoogleConversationState=false
allowWebSearchTool=false
webToggleDefaultOn=false
showSources=true
allowGoogleSearchGrounding=false
-googleGroundingMode="DEFAULT_MODE"
-googleGroundingDynamicThreshold=0.3
customThemeSettings
text
customTypingText=\"\""""
_TEXTS = """\
sendMessage
sending
+stopResponse
typeMessage
thinking
streaming
statusThinking
statusProcessing
statusSearchingWeb
statusRetrievingContext
statusCallingTool
errorPrefix
userPrefix
sources
source
clearChat
fullscreen
exitFullscreen
download
downloadTxt
downloadPdf
downloadEmpty
pdfError
streamError
connError
initialGreeting
initialSubgreeting
sidebarToggle
newChat
conversations
+searchConversations
historyGuests
historyEmpty
+historySidebarEmpty
+historySearchEmpty
+historyLoadingOlder
+fileUploading
+fileIndexing
+detachFile
feedbackLikeLabel
feedbackDislikeLabel
feedbackSubmitted
copyActionLabel
+copySuccess
copyCodeLabel
consentTitle
consentMessage
consentButton
playActionLabel
+voiceInput
+voiceStarting
+voiceRecording
+voiceCancelRecording
+voiceFinishRecording
+voiceTranscribing
+voiceAlreadyActive
+voiceUnavailableScriptError
+voiceRequiresHttps
+voiceBrowserUnsupported
+voiceRecordingFailedPrefix
+voiceTranscriptionFailedPrefix
+voiceProcessingError
+voiceConfigError
imageCommandEmptyPrompt
pauseActionLabel
webSearchToggle
webSearchActive
webSearchInactive
googleSearchGroundingToggle
googleSearchGroundingActive
googleSearchGroundingInactive
dismissHint"""
