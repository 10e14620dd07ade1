"""WordPress pages at their real size: a theme around the parts that a plugin adds.

Structure follows the captured pages (``ai-power/*/page_*``); the words, the style rules and the
theme are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import islice, product
from typing import TYPE_CHECKING

from tailrace.replica._sites.wordpress.php import esc_html

if TYPE_CHECKING:
    from collections.abc import Iterable

_THEME_RULES = 430
_RECENT_POSTS = 18


@dataclass(frozen=True, slots=True)
class PluginParts:
    """The plugin's parts of a page: HTML for the head, for the content, and for the page's end."""

    head: str = ""
    content: str = ""
    scripts: str = ""


@dataclass(frozen=True, slots=True)
class WordPressPage:
    """One page: its address in the site, its text, and the parts that the chat plugin adds."""

    origin: str
    path: str
    post_id: int
    title: str
    plugin: PluginParts
    introduction: str = ""

    def html(self) -> str:
        """Return the whole page."""
        return "".join((_head(self), _top(self), self.plugin.content, _bottom(self)))


@cache
def style_rules(prefix: str, count: int) -> str:
    """Return `count` lines of CSS, as long as those of a real theme."""
    return "\n".join(
        f".{prefix}-{number} {{ "
        f"margin: {number % 9}px; padding: {number % 7}px; order: {number}; }}"
        for number in range(count)
    )


@cache
def icon(number: int) -> str:
    """Return an SVG of 30 strokes, another one for each `number`."""
    path = " ".join(
        f"L{(number * 7 + step * 11) % 24} {(number * 5 + step * 13) % 24}" for step in range(30)
    )
    size = 'width="16" height="16" viewBox="0 0 24 24"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><path d="M0 0 {path}" /></svg>'


def questions(count: int) -> list[str]:
    """Return `count` titles, at most 42, without a question mark."""
    return [f"{verb} {thing}" for verb, thing in islice(product(_VERBS, _THINGS), count)]


def _head(page: WordPressPage) -> str:
    canonical = f"{page.origin}{page.path}"
    return f"""<!doctype html>
<html lang="en-US" >
<head>
\t<meta charset="UTF-8" />
\t<meta name="viewport" content="width=device-width, initial-scale=1.0" />
\t<title>{esc_html(page.title)} &#8211; Harbour Notes</title>
<meta name='robots' content='max-image-preview:large' />
<link rel="alternate" type="application/rss+xml" title="Harbour Notes &raquo; Feed" \
href="{page.origin}/feed/" />
<style id='harbour-theme-css'>
{style_rules("harbour", _THEME_RULES)}
</style>
{page.plugin.head}<link rel="canonical" href="{canonical}" />
<link rel='shortlink' href='{page.origin}/?p={page.post_id}' />
<link rel="https://api.w.org/" href="{page.origin}/wp-json/" />
<link rel="alternate" type="application/json" \
href="{page.origin}/wp-json/wp/v2/pages/{page.post_id}" />
<script>
document.documentElement.className = document.documentElement.className.replace( 'no-js', 'js' );
</script>
</head>
"""


def _top(page: WordPressPage) -> str:
    menu = "\n".join(
        f'\t\t<li id="menu-item-{number}" class="menu-item">'
        f'<a href="{page.origin}/topic-{number}/">{topic}</a></li>'
        for number, topic in enumerate(_TOPICS, start=31)
    )
    return f"""<body class="page-template-default page page-id-{page.post_id} \
wp-embed-responsive no-js singular">
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
<article id="post-{page.post_id}" \
class="post-{page.post_id} page type-page status-publish hentry entry">
\t<header class="entry-header"><h1 class="entry-title">{esc_html(page.title)}</h1></header>
\t<div class="entry-content">
\t\t<p>{page.introduction or "Write below; somebody, or something, reads it."}</p>
"""


def _bottom(page: WordPressPage) -> str:
    recent = "\n".join(
        f'<li><a href="{page.origin}/{slug}/">{title}</a></li>' for slug, title in _recent_posts()
    )
    return f"""\t</div>
</article></main></div>
<aside class="widget-area"><section id="block-3" class="widget"><h2>Recently</h2><ul>
{recent}
</ul></section></aside>
<footer id="colophon" class="site-footer">\
<p>Harbour Notes, a place that does not exist.</p></footer>
{page.plugin.scripts}</body>
</html>
"""


@cache
def _filters() -> str:
    return "\n".join(
        f'<filter id="tone-{number}">'
        f'<feColorMatrix color-interpolation-filters="sRGB" type="matrix" '
        f'values=".{number} .5 .1 0 0 .2 .{number} .1 0 0 .2 .5 .{number} 0 0 0 0 0 1 0" />'
        "</filter>"
        for number in range(10, 40)
    )


def _recent_posts() -> Iterable[tuple[str, str]]:
    return ((title.lower().replace(" ", "-"), title) for title in questions(_RECENT_POSTS))


_TOPICS = (
    "Tides",
    "Boats",
    "Lighthouses",
    "Knots",
    "Charts",
    "Weather",
    "Crews",
    "Cargo",
    "Fish &amp; salt",
    "About",
)
_VERBS = (
    "Where is",
    "How old is",
    "Who built",
    "What became of",
    "When opens",
    "Why paint",
    "How deep is",
)
_THINGS = (
    "the old pier",
    "the north lock",
    "the harbour bell",
    "the ferry",
    "the chart room",
    "the breakwater",
)
