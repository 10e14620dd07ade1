"""WordPress pages with the 1.x chat widget, at their real size and with what misleads a scanner.

Structure, attribute names and their order follow the captured pages (``ai-power/1.9.18/page_*``); the words, the
style rules and the theme around them are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING

from tailrace.replica.php import esc_html, json_encode

if TYPE_CHECKING:
    from collections.abc import Iterable

FAKE_NONCE = "deadbeef00"
FAKE_TAG = f'<div class="wpaicg-chat-shortcode" data-nonce="{FAKE_NONCE}" data-post-id="1" data-bot-id="0">'

_THEME_RULES = 430
_ICON_RULES = 90
_WIDGET_RULES = 200
_CONVERSATION_STARTERS = 12
_RECENT_POSTS = 18


@dataclass(frozen=True, slots=True)
class Widget:
    """One chat bot as its tag shows it. `url` is the page's, without a slash at its end."""

    bot_id: int
    post_id: str
    nonce: str
    image_nonce: str
    url: str
    streams: bool
    assistant: bool = False
    floating: bool = False


@dataclass(frozen=True, slots=True)
class WordPressPage:
    """One page: its place in the site, what is written on it, and its widgets in order."""

    origin: str
    path: str
    post_id: int
    title: str
    nonce: str
    widgets: tuple[Widget, ...] = ()
    introduction: str = ""

    def html(self) -> str:
        """Return the whole page."""
        return "".join((_head(self), _top(self), *map(_widget, self.widgets), _bottom(self)))


def _head(page: WordPressPage) -> str:
    canonical = f"{page.origin}{page.path}"
    return f"""<!doctype html>
<html lang="en-US" >
<head>
\t<meta charset="UTF-8" />
\t<meta name="viewport" content="width=device-width, initial-scale=1.0" />
\t<title>{esc_html(page.title)} &#8211; Harbour Notes</title>
<meta name='robots' content='max-image-preview:large' />
<link rel="alternate" type="application/rss+xml" title="Harbour Notes &raquo; Feed" href="{page.origin}/feed/" />
<style id='harbour-theme-css'>
{_rules("harbour", _THEME_RULES)}
</style>
{_chat_style() if page.widgets else ""}<link rel="canonical" href="{canonical}" />
<link rel='shortlink' href='{page.origin}/?p={page.post_id}' />
<link rel="https://api.w.org/" href="{page.origin}/wp-json/" />
<link rel="alternate" type="application/json" href="{page.origin}/wp-json/wp/v2/pages/{page.post_id}" />
<script>
document.documentElement.className = document.documentElement.className.replace( 'no-js', 'js' );
</script>
</head>
"""


def _top(page: WordPressPage) -> str:
    menu = "\n".join(
        f'\t\t<li id="menu-item-{number}" class="menu-item"><a href="{page.origin}/topic-{number}/">{topic}</a></li>'
        for number, topic in enumerate(_TOPICS, start=31)
    )
    return f"""<body class="page-template-default page page-id-{page.post_id} wp-embed-responsive no-js singular">
<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0" focusable="false" role="none"><defs>
{_filters()}
</defs></svg>
<a class="skip-link screen-reader-text" href="#content">Skip to content</a>
<header id="masthead" class="site-header">
\t<p class="site-title"><a href="{page.origin}/">Harbour Notes</a></p>
\t<nav class="primary-navigation" aria-label="Primary menu"><ul>
{menu}
\t</ul></nav>
</header>
<div id="content" class="site-content"><main id="main" class="site-main">
<article id="post-{page.post_id}" class="post-{page.post_id} page type-page status-publish hentry entry">
\t<header class="entry-header"><h1 class="entry-title">{esc_html(page.title)}</h1></header>
\t<div class="entry-content">
\t\t<p>{page.introduction or "Write below; somebody, or something, reads it."}</p>
"""


def _widget(widget: Widget) -> str:
    prefix = "wpaicg-chatbox" if widget.floating else "wpaicg-chat-shortcode"
    css_class = f"{prefix} wpaicg-chat-widget-no-footer" if widget.floating else prefix
    attributes = "\n".join(
        f'     {name}{" = " if spaced else "="}"{value}"' for name, spaced, value in _attributes(widget)
    )
    return f"""<style>
{_rules(f"{prefix}-part", _WIDGET_RULES)}
</style>
<div class="{css_class}"
{attributes}
>
{_conversation(widget, prefix)}</div>
"""


def _attributes(widget: Widget) -> Iterable[tuple[str, bool, str]]:
    values = {
        "data-nonce": widget.nonce,
        "data-post-id": widget.post_id,
        "data-url": widget.url,
        "data-bot-id": str(widget.bot_id),
        "data-openai_stream_nav": "1" if widget.streams else "0",
        "data-assistant-enabled": "true" if widget.assistant else "false",
        "data-type": "widget" if widget.floating else "shortcode",
    }
    for line in _ATTRIBUTES.splitlines():
        name, spaced, value = line.partition(" = ") if " = " in line else line.partition("=")
        if widget.floating and name in _INLINE_ONLY:
            continue
        # The plugin writes the floating post id as it stands, a stray "<" included.
        yield name, spaced == " = ", values[name] if name in values else esc_html(value)


def _conversation(widget: Widget, prefix: str) -> str:
    starters = "\n".join(
        f'        <button class="wpaicg-conversation-starter" type="button">{esc_html(text)}</button>'
        for text in islice((f"{verb} {thing}?" for verb, thing in product(_VERBS, _THINGS)), _CONVERSATION_STARTERS)
    )
    icons = "\n".join(f"            {_icon(number)}" for number in range(14))
    return f"""    <div class="{prefix}-content">
        <ul class="{prefix}-messages">
            <li class="wpaicg-ai-message"><span class="wpaicg-chat-message">
                Good day &amp; welcome, I&#039;m &quot;bot {widget.bot_id}&quot; &lt;ask me&gt;</span></li>
        </ul>
{starters}
    </div>
    <div class="{prefix}-type">
        <textarea name="{prefix}-typing" class="auto-expand" placeholder="Your message"></textarea>
        <div class="wpaicg_chat_additions">
{icons}
            <input type="file" class="wpaicg-img-file" accept="image/png, image/jpeg" style="display: none;" />
            <input type="hidden" id="wpaicg-img-nonce" value="{widget.image_nonce}" />
        </div>
    </div>
"""


def _bottom(page: WordPressPage) -> str:
    recent = "\n".join(f'<li><a href="{page.origin}/{slug}/">{title}</a></li>' for slug, title in _recent_posts())
    return f"""\t</div>
</article></main></div>
<aside class="widget-area"><section id="block-3" class="widget"><h2>Recently</h2><ul>
{recent}
</ul></section></aside>
<footer id="colophon" class="site-footer"><p>Harbour Notes, a place that does not exist.</p></footer>
<script id='wpaicg-init-js-extra'>
var wpaicgParams = {json_encode(_params(page))};
</script>
<script src='{page.origin}/wp-content/plugins/gpt3-ai-content-generator/public/js/wpaicg-init.js' id='wpaicg-init-js'></script>
<script src='{page.origin}/wp-content/plugins/gpt3-ai-content-generator/public/js/wpaicg-chat.js' id='wpaicg-chat-script-js'></script>
</body>
</html>
"""  # noqa: E501 - one line each, as WordPress writes script tags


def _params(page: WordPressPage) -> dict[str, object]:
    return {
        "ajax_url": f"{page.origin}/wp-admin/admin-ajax.php",
        "search_nonce": page.nonce,
        "logged_in": "0",
        "languages": {"source": "Found in", "no_result": "Nothing found", "wrong": "That did not work"},
        "katex_enabled": "0",
    }


def _chat_style() -> str:
    return f"<style>\n{_rules('wpaicg_chat_widget', _ICON_RULES)}\n</style>\n"


def _rules(prefix: str, count: int) -> str:
    return "\n".join(
        f".{prefix}-{number} {{ margin: {number % 9}px; padding: {number % 7}px; order: {number}; }}"
        for number in range(count)
    )


def _filters() -> str:
    return "\n".join(
        f'<filter id="tone-{number}"><feColorMatrix color-interpolation-filters="sRGB" type="matrix" '
        f'values=".{number} .5 .1 0 0 .2 .{number} .1 0 0 .2 .5 .{number} 0 0 0 0 0 1 0" /></filter>'
        for number in range(10, 40)
    )


def _icon(number: int) -> str:
    path = " ".join(f"L{(number * 7 + step * 11) % 24} {(number * 5 + step * 13) % 24}" for step in range(30))
    size = 'width="16" height="16" viewBox="0 0 24 24"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><path d="M0 0 {path}" /></svg>'


def _recent_posts() -> Iterable[tuple[str, str]]:
    titles = (f"{verb} {thing}" for verb, thing in product(_VERBS, _THINGS))
    return ((title.lower().replace(" ", "-"), title) for title in islice(titles, _RECENT_POSTS))


_TOPICS = ("Tides", "Boats", "Lighthouses", "Knots", "Charts", "Weather", "Crews", "Cargo", "Fish &amp; salt", "About")
_VERBS = ("Where is", "How old is", "Who built", "What became of", "When opens", "Why paint", "How deep is")
_THINGS = ("the old pier", "the north lock", "the harbour bell", "the ferry", "the chart room", "the breakwater")
_INLINE_ONLY = frozenset({"data-has-bar", "data-sidebar-enabled"})

# Names, order and the " = " of some, as captured; what stands after them is ours.
_ATTRIBUTES = """\
data-user-bg-color=#e6f2ff
data-color=#203040
data-fontsize=14
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
data-memory-limit = 100
data-lead-collection = 0
data-lead-title = How can we reach you?
data-lead-name = What to call you
data-enable-lead-name = 1
data-lead-email = Where to write
data-enable-lead-email = 1
data-lead-phone = Where to ring
data-enable-lead-phone = 1
data-bg_text_field = #ffffff
data-bg_text_field_font_color = #203040
data-bg_text_field_border_color = #c0c8d0
data-assistant-enabled=
data-sidebar-enabled=
data-type="""
