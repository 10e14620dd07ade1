"""Pages through the wheel: the vectors however they are cut, where reading stops, and what is not
shown.
"""

from __future__ import annotations

import copy
import pickle
import weakref
from typing import Any

import pytest
from vector_files import VECTORS, Case, cases, cuts, told

from tailrace import ChatWidget, Page, PageScanner, PageTokens, scan_page
from tailrace.errors import (
    ChallengeError,
    InvalidRequestError,
    LimitExceeded,
    TokenNotFoundError,
    WidgetNotFoundError,
)

FIELDS = (
    "kind",
    "placement",
    "nonce",
    "post_id",
    "bot_id",
    "name",
    "url",
    "ajax_url",
    "streams",
    "assistant",
    "memory_limit",
    "custom_id",
    "rest_url",
    "session_id",
    "start_sentence",
    "max_length",
    "mode",
)
DEFAULTS: dict[str, Any] = dict.fromkeys(FIELDS) | {
    "kind": "ai-power",
    "placement": "inline",
    "assistant": False,
}

WIDGET = (
    b'<div class="wpaicg-chat-shortcode" data-nonce="secretnonce" '
    b'data-post-id="13" data-bot-id="4">'
)
SECOND = (
    b'<div class="wpaicg-chatbox" data-nonce="othernonce" '
    b'data-post-id="13" data-bot-id="9" data-ai-name="Ada">'
)


def record(widget: ChatWidget) -> dict[str, Any]:
    return {field: getattr(widget, field) for field in FIELDS}


def tokens_of(page: Page) -> tuple[dict[str, str] | None, str | None]:
    try:
        tokens = page.tokens
    except TokenNotFoundError as error:
        return None, error.reason
    except ChallengeError:
        return None, "challenge"
    except LimitExceeded:
        return None, "limit"
    return {"nonce": tokens.nonce, "post_id": tokens.post_id}, None


def outcome(page: Page, *, stopped: bool) -> dict[str, Any]:
    tokens, problem = tokens_of(page)
    return {
        "stopped": stopped,
        "widgets": [record(widget) for widget in page.widgets],
        "tokens": tokens,
        "problem": problem,
        "challenge": page.challenge,
        "title": page.title,
        "ajax_url": page.ajax_url,
        "roots": page.roots,
    }


def scan(chunks: list[bytes], options: dict[str, Any]) -> tuple[int | None, dict[str, Any]]:
    """Feed all chunks, those after the stop too; say how many bytes were fed when it stopped."""
    scanner = PageScanner(**options)
    fed, stop = 0, None
    for chunk in chunks:
        fed += len(chunk)
        if scanner.feed(chunk):
            stop = fed if stop is None else stop
        else:
            assert stop is None, "it went on after it had stopped"
    return stop, outcome(scanner.close(), stopped=stop is not None)


@pytest.mark.parametrize("case", cases("pages"))
def test_vector_however_it_is_cut(case: Case) -> None:
    html = (VECTORS / case["file"]).read_bytes() if "file" in case else case["html"].encode()
    options = case.get("options") or {}
    if options.get("max_page_bytes") == 0:
        with pytest.raises(InvalidRequestError):
            PageScanner(**options)
        return  # a limit of the core's that the border does not take
    keys = ("stopped", "tokens", "problem", "challenge", "title", "ajax_url")
    expected = {key: case[key] for key in keys} | {"roots": case.get("roots", [])}
    expected["widgets"] = [DEFAULTS | widget for widget in case["widgets"]]
    for chunks in cuts(html):
        assert scan(chunks, options)[1] == expected, told(chunks)
    stop, _ = scan([html[at : at + 1] for at in range(len(html))], options)
    if stop is not None:
        other = (
            html[:stop]
            + b" x='><div class=wpaicg-chatbox data-nonce=z data-post-id=9><title>z</title>"
        )
        assert scan([other], options)[1] == expected, "with another end"
    if options == {"everything": True}:
        assert outcome(scan_page(html), stopped=False) == expected


def test_nothing_after_the_stopping_point_is_looked_at() -> None:
    scanner = PageScanner()
    assert (
        scanner.feed(b"<title>first</title>" + WIDGET + SECOND + b"<title>second</title>") is True
    )
    assert scanner.feed(SECOND) is True
    page = scanner.close()
    assert [widget.bot_id for widget in page.widgets] == ["4"]
    assert page.title == "first"


def test_reading_stops_at_the_byte_that_completes_the_tag() -> None:
    scanner = PageScanner()
    assert scanner.feed(WIDGET[:-1]) is False
    assert scanner.feed(WIDGET[-1:]) is True


def test_a_bot_asked_for_is_waited_for() -> None:
    scanner = PageScanner(bot_id="9")
    assert scanner.feed(WIDGET) is False
    assert scanner.feed(SECOND) is True
    assert scanner.close().tokens.nonce == "othernonce"


def test_everything_never_stops_early() -> None:
    scanner = PageScanner(everything=True)
    assert scanner.feed(WIDGET) is False
    assert scanner.feed(SECOND) is False
    assert len(scanner.close().widgets) == 2


def test_the_endpoint_is_waited_for() -> None:
    script = b'<script>var wpaicgParams = {"ajax_url":"https://a.example/wp-admin/admin-ajax.php"};</script>'
    scanner = PageScanner(endpoint=True)
    assert scanner.feed(WIDGET) is False
    assert scanner.feed(script) is True
    assert scanner.close().widgets[0].ajax_url == "https://a.example/wp-admin/admin-ajax.php"


def test_closing_twice_gives_the_same_page() -> None:
    scanner = PageScanner()
    scanner.feed(WIDGET)
    page = scanner.close()
    assert scanner.close() is page
    assert scanner.feed(SECOND) is True
    assert scanner.close() is page
    assert len(page.widgets) == 1


def test_tokens_raise_what_is_wrong() -> None:
    with pytest.raises(TokenNotFoundError) as raised:
        _ = scan_page(b"<p>nothing</p>").tokens
    assert raised.value.reason == "missing_both"
    assert isinstance(raised.value, RuntimeError)
    page = scan_page(b"<title>Just a moment...</title>")
    assert page.challenge
    with pytest.raises(ChallengeError):
        _ = page.tokens
    scanner = PageScanner(max_page_bytes=10)
    assert scanner.feed(b"<p>" + b"x" * 20) is True
    with pytest.raises(LimitExceeded, match=r"the page is larger than max_page_bytes \(10 bytes\)"):
        _ = scanner.close().tokens


def test_a_page_of_more_widgets_than_are_kept() -> None:
    others = SECOND * 1024
    page = scan_page(others)
    assert len(page.widgets) == 1024
    assert page.tokens == scan_page(SECOND).tokens
    full = scan_page(others + SECOND)
    assert (full.widgets, full.tokens) == (page.widgets, page.tokens)
    scanner = PageScanner(bot_id="4")
    assert scanner.feed(others) is False
    assert scanner.feed(WIDGET) is True
    with pytest.raises(LimitExceeded, match="the page shows more than 1024 chat widgets"):
        _ = scanner.close().tokens


def test_a_widget_by_id_by_name_or_the_first() -> None:
    page = scan_page(WIDGET + SECOND)
    assert page.widget().bot_id == "4"
    assert page.widget("9").name == "Ada"
    assert page.widget(name="Ada").bot_id == "9"
    with pytest.raises(
        WidgetNotFoundError,
        match=r'of bot 5 named "Eve"; it holds ai-power bot 4, ai-power bot 9 "Ada"',
    ):
        page.widget(bot_id="5", name="Eve")
    with pytest.raises(WidgetNotFoundError, match="nor any other"):
        scan_page(b"").widget()


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_must_be_above_zero(limit: int) -> None:
    with pytest.raises(
        InvalidRequestError, match="max_page_bytes must be a number of bytes above 0"
    ):
        PageScanner(max_page_bytes=limit)


def test_records_are_frozen_and_comparable() -> None:
    page, same = scan_page(WIDGET), scan_page(WIDGET)
    assert page.widgets == same.widgets
    assert page.tokens == same.tokens
    assert page.widgets != scan_page(SECOND).widgets
    for found in (page.widgets[0], page.tokens):
        assert isinstance(found, ChatWidget | PageTokens)
        with pytest.raises(AttributeError):
            found.nonce = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        page.title = "x"  # type: ignore[misc]


def test_no_repr_shows_a_nonce() -> None:
    scanner = PageScanner(everything=True)
    scanner.feed(WIDGET)
    shown = [repr(scanner)]
    page = scanner.close()
    shown += [repr(page), repr(page.widgets), repr(page.widget()), repr(page.tokens), repr(scanner)]
    assert page.tokens.nonce == "secretnonce"
    assert "secretnonce" not in " ".join(shown)
    assert repr(page.tokens) == 'PageTokens(post_id="13")'
    with pytest.raises(WidgetNotFoundError) as raised:
        page.widget("5")
    assert "secretnonce" not in f"{raised.value}{raised.value!r}"


RECORDS: list[ChatWidget | PageTokens | Page] = [
    ChatWidget("ai-power", "inline"),
    ChatWidget(
        "aipkit",
        "popup",
        nonce="n",
        post_id="1",
        bot_id="3",
        name="Ada \N{BRAIN}",
        url="https://a.example/help",
        ajax_url="https://a.example/wp-admin/admin-ajax.php",
        streams=True,
        assistant=True,
        memory_limit=10,
    ),
    PageTokens("n", "1"),
    Page(),
    Page([ChatWidget("ai-power", "inline", nonce="n", post_id="1")], PageTokens("n", "1")),
    Page(problem="challenge", challenge=True, title="Just a moment..."),
    Page(problem="limit", max_page_bytes=10, ajax_url="/a", roots=["/blog/", "/"]),
    scan_page(WIDGET + SECOND + b"<title>t</title><script src=/b/wp-includes/a.js></script>"),
    scan_page(b"<title>Just a moment...</title>"),
]


@pytest.mark.parametrize("record", RECORDS)
def test_records_are_copied_and_pickled(record: ChatWidget | PageTokens | Page) -> None:
    copies = [pickle.loads(pickle.dumps(record, protocol)) for protocol in range(6)]  # noqa: S301
    copies += [copy.copy(record), copy.deepcopy(record), type(record)(**record._asdict())]
    for same in copies:
        assert type(same) is type(record)
        assert same == record
        assert hash(same) == hash(record)
        assert same._asdict() == record._asdict()


@pytest.mark.parametrize("record", RECORDS)
def test_records_have_their_fields_by_name(record: ChatWidget | PageTokens | Page) -> None:
    fields = record._asdict()
    assert tuple(fields) == record.__match_args__
    if isinstance(record, Page) and record.problem is not None:
        del fields["tokens"]  # an error in place of None
    assert fields == {name: getattr(record, name) for name in fields}
    assert weakref.ref(record)() is record


def test_records_differ_in_any_field() -> None:
    widget = ChatWidget("ai-power", "inline")
    others: list[dict[str, Any]] = [
        {"kind": "aipkit"},
        {"placement": "popup"},
        *({name: "x"} for name in FIELDS[2:8]),
        {"streams": False},
        {"assistant": True},
        {"memory_limit": 0},
        {"max_length": 0},
        *(
            {name: "x"}
            for name in ("custom_id", "rest_url", "session_id", "start_sentence", "mode")
        ),
    ]
    records = {widget, *(ChatWidget(**(widget._asdict() | other)) for other in others)}
    assert len(records) == len(others) + 1
    assert widget != PageTokens("", "")


def test_records_match_patterns() -> None:
    match ChatWidget("ai-power", "popup", "n", "1"):
        case ChatWidget("ai-power", placement, nonce=nonce):
            assert (placement, nonce) == ("popup", "n")
    match Page([ChatWidget("aipkit", "inline")]):
        case Page([ChatWidget(kind)]):
            assert kind == "aipkit"


def test_a_made_page_raises_as_a_scanned_one() -> None:
    with pytest.raises(TokenNotFoundError) as raised:
        _ = Page(problem="invalid_post_id").tokens
    assert raised.value.reason == "invalid_post_id"
    with pytest.raises(ChallengeError):
        _ = Page(problem="challenge").tokens
    with pytest.raises(LimitExceeded, match=r"max_page_bytes \(4194304 bytes\)"):
        _ = Page(problem="limit").tokens
    assert Page([ChatWidget("aipkit", "inline", bot_id="3")]).widget("3").kind == "aipkit"
    other = ChatWidget("ai-engine", "inline", bot_id="3", custom_id="harbour1", rest_url="/r")
    page = Page([ChatWidget("aipkit", "inline", bot_id="3"), other])
    assert page.widget("3", kind="ai-engine") == page.widget("harbour1") == other
    with pytest.raises(WidgetNotFoundError, match="no chat widget of the kind ai-power; it holds"):
        page.widget(kind="ai-power")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ChatWidget("other", "inline"),  # type: ignore[arg-type]
            "kind must be one of ai-power, aipkit, ai-engine, not",
        ),
        (lambda: ChatWidget("aipkit", "x"), "placement must be one of inline, popup, not"),  # type: ignore[arg-type]
        (lambda: ChatWidget("aipkit", "inline", memory_limit=-1), "memory_limit must be"),
        (lambda: ChatWidget("aipkit", "inline", max_length=-1), "max_length must be"),
        (lambda: ChatWidget("aipkit", "inline", memory_limit=2**64), "memory_limit must be"),
        (lambda: Page(problem="other"), "problem must be one of missing_nonce,"),  # type: ignore[arg-type]
        (lambda: Page(problem="limit", max_page_bytes=0), "max_page_bytes must be"),
        (lambda: Page([], PageTokens("n", "1"), "limit"), "exclude each other"),
    ],
)
def test_what_no_scan_gives_cannot_be_made(make: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        make()


def test_a_records_text_is_always_encodable() -> None:
    widget = ChatWidget("aipkit", "inline", name="\ud83e\udde0\ud83e")
    assert widget.name == "\N{BRAIN}\ufffd"
