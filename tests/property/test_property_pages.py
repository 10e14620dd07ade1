"""Any page, any splits: the same widgets and tokens; and a page made of known parts has the widgets
it was made of.
"""

from __future__ import annotations

import html
from typing import Any

from cutting import bytewise, cut, mostly, sizes
from hypothesis import given
from hypothesis import strategies as st

from tailrace import Page, PageScanner, scan_page
from tailrace.errors import (
    ChallengeError,
    LimitExceeded,
    TokenNotFoundError,
    WidgetNotFoundError,
)

Widget = tuple[str, str, str, str]


def widgets_of(page: Page) -> list[Widget]:
    return [
        (widget.placement, widget.nonce, widget.post_id, widget.bot_id) for widget in page.widgets
    ]


def tokens_of(page: Page) -> tuple[str, ...]:
    try:
        return page.tokens.nonce, page.tokens.post_id
    except (TokenNotFoundError, ChallengeError, LimitExceeded) as error:
        return (type(error).__name__, str(error))


def scan(reads: list[bytes], options: dict[str, Any]) -> tuple[object, ...]:
    scanner = PageScanner(**options)
    stopped = False
    for read in reads:
        stopped = scanner.feed(read)
    page = scanner.close()
    whole = [widget.name or widget.url or widget.ajax_url for widget in page.widgets]
    return stopped, widgets_of(page), whole, tokens_of(page), page.challenge, page.title


tokens = st.sampled_from(
    [
        b"<div class=wpaicg-chatbox data-nonce=n1 data-post-id=1 data-bot-id=3>",
        (
            b'<div class="x wpaicg-chat-shortcode" data-nonce = "n&#50;" '
            b'data-post-id="<22" data-bot-id="0">'
        ),
        (
            b"<div id=aipkit_chat_container_1 "
            b"data-config='{&quot;nonce&quot;:&quot;n3&quot;,&quot;postId&quot;:4}'>"
        ),
        b"<i data-nonce=n4>",
        b"<i data-post-id=5>",
        b"<input type=hidden name=_wpnonce value=n5>",
        b"<input type=hidden name=post_id value=6>",
        b"var wpaicg_nonce = 'n6'; var post_id = 7;",
        b'wpaicgParams = {"ajax_url":"https://a.example/x","search_nonce":"n7"};',
        b'{"_wpnonce":"n8","post_id":"9"}',
    ]
)
markup = st.sampled_from(
    [
        b"<!--",
        b"-->",
        b"--!>",
        b"<!>",
        b"<script>",
        b"</script>",
        b"<style>",
        b"</style>",
        b"<textarea>",
        b"</textarea>",
        b"<title>",
        b"</title>",
        b"<noscript>",
        b"</noscript>",
        b"<template>",
        b"</template>",
        b"<title>Just a moment...</title>",
        b"<",
        b">",
        b"'",
        b'"',
        b"=",
        b" ",
        b"/",
        b"&quot;",
        b"\0",
        b"\xff",
        "é".encode(),
    ]
)
fragments = mostly(st.one_of(tokens, markup), st.binary(max_size=3))
options = st.fixed_dictionaries(
    {},
    optional={
        "bot_id": st.sampled_from(["0", "3", "8"]),
        "everything": st.booleans(),
        "endpoint": st.booleans(),
        "max_page_bytes": st.integers(1, 1000),
    },
)


@given(st.lists(fragments, max_size=25).map(b"".join), options, sizes)
def test_any_page_any_splits(page: bytes, how: dict[str, Any], lengths: list[int]) -> None:
    whole = scan([page], how)
    assert scan(cut(page, lengths), how) == whole
    assert scan(bytewise(page), how) == whole


@given(st.lists(fragments, max_size=25).map(b"".join))
def test_a_page_scanned_whole_is_everything_of_it(page: bytes) -> None:
    scanner = PageScanner(everything=True)
    assert scanner.feed(page) is False
    closed, whole = scanner.close(), scan_page(page)
    assert (widgets_of(closed), tokens_of(closed)) == (widgets_of(whole), tokens_of(whole))


# -- pages made of known parts ---------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=10)
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=10)


def tag(widget: Widget, filler: str, style: int) -> str:
    """The widget's tag, its attributes in double or single quotes, in any case and order."""
    placement, nonce, post_id, bot_id = widget
    kind = "wpaicg-chatbox" if placement == "popup" else "wpaicg-chat-shortcode"
    known = {
        "class": f"first {kind} last",
        "data-nonce": nonce,
        "data-post-id": post_id,
        "data-bot-id": bot_id,
        "data-title": filler,
    }
    quote = "'" if style % 2 else '"'
    named = sorted(known.items(), reverse=style % 3 == 1)
    attributes = (
        f"{name.upper() if style % 5 == 1 else name}={quote}{html.escape(value)}{quote}"
        for name, value in named
    )
    return f"<DIV {'  '.join(attributes)}>" if style % 7 == 1 else f"<div\n{' '.join(attributes)}>"


def hidden(decoy: str, where: int) -> str:
    """A widget's tag where it is no markup."""
    places = (
        "<!-- {} -->",
        "<script>var x = '{}'</script>",
        "<style>{}</style>",
        "<textarea>{}</textarea>",
        "<title>{}</title>",
        "<noscript>{}</noscript>",
        "<template>{}</template>",
        "<template><p><template>{0}</template>{0}</template>",
        "<iframe>{}</iframe>",
        "<xmp>{}</xmp>",
        "<!DOCTYPE '{}'",
        "<?php {}",
        '<p title="{}"></p>',
    )
    place = places[where % len(places)]
    return place.format(html.escape(decoy) if "title=" in place else decoy)


placements = st.sampled_from(["inline", "popup"])
digits = st.from_regex("[0-9]{1,6}", fullmatch=True)
known_widgets = st.tuples(placements, visible, digits, digits)
parts = st.one_of(
    st.tuples(st.just("widget"), known_widgets, words, st.integers(0, 1000)),
    st.tuples(st.just("hidden"), known_widgets, st.just(""), st.integers(0, 1000)),
    st.tuples(st.just("text"), known_widgets, words, st.integers(0, 1000)),
)
DECOY: Widget = ("inline", "decoy", "1", "1")


@given(st.lists(parts, max_size=8), sizes)
def test_a_page_has_the_widgets_it_was_made_of(
    made: list[tuple[str, Widget, str, int]], lengths: list[int]
) -> None:
    written: list[str] = []
    for kind, widget, filler, style in made:
        if kind == "widget":
            written.append(tag(widget, filler, style))
        elif kind == "hidden":
            written.append(hidden(tag(DECOY, "", 0), style))
        else:
            written.append(f"<p>{html.escape(filler)}</p>")
    page = "".join(written).encode()
    expected = [widget for kind, widget, _, _ in made if kind == "widget"]
    assert widgets_of(scan_page(page)) == expected
    scanner = PageScanner()
    stopped = [scanner.feed(read) for read in cut(page, lengths)]
    assert stopped[-1] is bool(expected)
    first = scanner.close()
    assert widgets_of(first) == expected[:1]
    if expected:
        assert tokens_of(first) == expected[0][1:3]


hostile = st.sampled_from(
    [
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\0",
        b"&#xD83E;",
        b"<div class=wpaicg-chatbox data-nonce=",
        b"<div id=aipkit_chat_container_1 data-config='",
        b"{" * 300,
        b'{"a":' * 300,
        b"9" * 30,
        b"<script src='data:text/javascript;base64,",
        b"<script src=data:,",
        b"<link rel='https://api.w.org/' href='",
        b"https://[",
        b"//user:word@a.example:99999/wp-includes/",
        b"<svg>",
        b"<math><mi>",
        b"<![CDATA[",
        b"<template>",
        b"<meta http-equiv=refresh content='",
        b" data-memory-limit=99999999999999999999 ",
        b"'>",
        b">",
    ]
)


@given(st.lists(st.one_of(hostile, tokens, markup, st.binary(max_size=6)), max_size=12))
def test_a_hostile_page_raises_errors_of_ours_alone(fragments: list[bytes]) -> None:
    page = scan_page(b"".join(fragments))
    for ask in (lambda: page.tokens, page.widget, lambda: page.widget("\ud83e", "\0")):
        try:
            ask()
        except (TokenNotFoundError, ChallengeError, LimitExceeded, WidgetNotFoundError) as error:
            str(error).encode()
    for widget in page.widgets:
        repr(widget).encode()
    assert Page(**page._asdict()) == page
    for text in (page.title, page.ajax_url, *page.roots):
        (text or "").encode()
