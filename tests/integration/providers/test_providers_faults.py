"""Every fault of the replica by every form of answer by both transports: the end, the error, the
text before it.

A row is one fault, its columns the three forms an answer has. A provider must come to the same end
over either transport, with every delta that arrived before the fault, and leave no connection.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from calls_site import sockets_to

from tailrace import ChatGptEs, ChatgptFree, ChatGptt, GPROChat, WordPressChatProvider, errors
from tailrace._calls.token_cache import TokenCache
from tailrace._messages import parse_messages
from tailrace.replica import FAULTS, HistoryTurn, Question, Replica, builtin_answer
from tailrace.replica._response import BREAK_POSITIONS
from tailrace.replica._transforms import (
    BLANK_LINES,
    BOM,
    CACHE_COMMENT,
    HTML_ON_THE_LINE,
    NOTICES,
)
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tailrace.providers import ChatProvider
    from tailrace.transport import TransportKind

MESSAGES = [{"role": "user", "content": "What runs off below the mill? é"}]
TRANSPORTS: tuple[TransportKind, ...] = ("aiohttp", "impersonate")
PATIENCE = 600.0  # seconds, where no clock is meant to run out
TIMEOUT = 0.5  # where it does
TOTAL = 1.5
KEPT = 2**17  # characters of an endless answer
HALF_A_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class Column:
    """A provider and the page of the replica it is pointed at."""

    provider: type[ChatProvider]
    form: str
    site: str
    page: str

    def __str__(self) -> str:
        return f"{self.provider.__name__} ({self.form})"


class AnyPlugin(WordPressChatProvider):
    """A user's own, of which the page tells the plugin."""


COLUMNS = (
    Column(AnyPlugin, "sse", "ai-engine-2.0.9", "inline"),
    Column(ChatGptt, "sse", "ai-power", "stream"),
    Column(ChatGptEs, "sse", "ai-power", "stream"),
    Column(ChatgptFree, "json", "ai-power", "json"),
    Column(GPROChat, "text", "geminiprochat", "chat"),
)
WORDPRESS = COLUMNS[:4]
AI_POWER = COLUMNS[1:4]
SITES = ("ai-power", "ai-engine-2.0.9", "geminiprochat")


@dataclass(frozen=True)
class Outcome:
    """How a call ends.

    `text` is ``all``, ``some`` (a beginning that is not empty), ``none``, or made of the answer.
    """

    end: str
    text: str | Callable[[str], str]
    error: type[errors.TailraceError] | None = None
    kind: str | None = None
    phase: str | None = None
    status: int | None = None


WHOLE = Outcome("done", "all")
BROKEN = Outcome("truncated", "some", errors.StreamError, "truncated")
NOTHING_OF_IT = replace(BROKEN, text="none")
UNANSWERED = Outcome("failed", "none", errors.NetworkError)
MUTE = Outcome("failed", "none", errors.TimeoutError, phase="first byte")
STALLED = Outcome("truncated", "some", errors.TimeoutError, phase="idle")
STALLED_EARLY = replace(STALLED, text="none")
TOO_MUCH = Outcome("failed", "some", errors.LimitExceeded, "limit")
CHALLENGED = Outcome("failed", "none", errors.ChallengeError, "challenge", status=403)
RATE_LIMITED = Outcome("failed", "none", errors.RateLimitError, "upstream", status=429)
CLOSED = Outcome("failed", "none", errors.ResponseStatusError, "upstream", status=503)
REDIRECTED = Outcome("failed", "none", errors.RedirectError)
FORBIDDEN = Outcome("failed", "none", errors.ResponseStatusError, "upstream", status=403)
UNKNOWN = Outcome("failed", "none", errors.MissingAuthError, "upstream", status=401)
EMPTY = Outcome("failed", "none", errors.StreamError, "empty")

Row = tuple[Outcome, Outcome, Outcome]


def everywhere(outcome: Outcome) -> Row:
    return (outcome, outcome, outcome)


def whole_behind(debris: bytes) -> Row:
    """Debris before an answer is skipped where the answer has a form; of raw text it is a part."""
    return (WHOLE, WHOLE, replace(WHOLE, text=lambda answer: debris.decode() + answer))


def broken(early: Outcome, before: Outcome, within: Outcome) -> dict[str, Row]:
    """A break at each of its places: before the head is out, before the body, within it, and behind
    all of it.

    JSON is read when it is whole; then, and after an end marker, a connection that is not ended
    properly is no loss.
    """
    return {
        "before-head": everywhere(early),
        "head": everywhere(early),
        "body": everywhere(before),
        "0": everywhere(before),
        **dict.fromkeys(
            ("tag", "line", "character", "chunk-size", "chunk"), (within, before, within)
        ),
        "end": (WHOLE, WHOLE, replace(within, text="all")),
    }


BREAKS = {
    "cut": broken(UNANSWERED, NOTHING_OF_IT, BROKEN),
    "reset": broken(UNANSWERED, NOTHING_OF_IT, BROKEN),
    "stall": broken(MUTE, STALLED_EARLY, STALLED),
}

# Faults of an answer: as server-sent events, as a JSON body, as raw text.
ANSWERS: dict[str, Row] = {
    "crlf": (WHOLE, WHOLE, replace(WHOLE, text=lambda answer: answer.replace("\n", "\r\n"))),
    "notices": whole_behind(NOTICES),
    "blank": whole_behind(BLANK_LINES),
    "bom": whole_behind(BOM),
    "content-type": (WHOLE, WHOLE, Outcome("failed", "none", errors.StreamError, "not_a_stream")),
    "content-type:none": everywhere(WHOLE),
    "content-type:application/octet-stream": everywhere(WHOLE),
    "split": everywhere(WHOLE),
    "split:7": everywhere(WHOLE),
    "gzip": everywhere(WHOLE),
    "br": everywhere(WHOLE),
    "zstd": everywhere(WHOLE),
    "http-1.0": everywhere(WHOLE),
    "split:3 crlf bom notices gzip http-1.0": (
        WHOLE,
        WHOLE,
        replace(WHOLE, text=lambda answer: (BOM + NOTICES).decode() + answer.replace("\n", "\r\n")),
    ),
    # Raw text has no limit but the transport's.
    "endless-line": (TOO_MUCH, replace(TOO_MUCH, text="none"), replace(TOO_MUCH, end="truncated")),
    "bomb:300": (TOO_MUCH, replace(TOO_MUCH, text="none"), replace(TOO_MUCH, end="truncated")),
    # Comments do not move the idle clock on; in raw text there are none.
    "endless-comments": (STALLED, STALLED_EARLY, replace(STALLED, phase="total")),
    "challenge": everywhere(CHALLENGED),
    "challenge:body": everywhere(CHALLENGED),
    "challenge:header": everywhere(CHALLENGED),
    "429": everywhere(RATE_LIMITED),
    "503:5": everywhere(CLOSED),
    **{
        f"redirect:{where}": everywhere(REDIRECTED)
        for where in ("path", "www", "https", "host", "loop", "login", "nowhere")
    },
    "html-before": whole_behind(HTML_ON_THE_LINE),
    "comment-behind": (
        WHOLE,
        WHOLE,
        replace(WHOLE, text=lambda answer: answer + CACHE_COMMENT.decode()),
    ),
    "guard": everywhere(FORBIDDEN),
    "guard:post": everywhere(FORBIDDEN),
    "guard:get": everywhere(WHOLE),
    "empty": everywhere(EMPTY),
    "basic-auth@answer": everywhere(UNKNOWN),
    **{f"{how}:{place}": row for how, rows in BREAKS.items() for place, row in rows.items()},
    "gzip cut:character": (BROKEN, NOTHING_OF_IT, BROKEN),
    "br reset:chunk": (BROKEN, NOTHING_OF_IT, BROKEN),
    "zstd stall": (STALLED, STALLED_EARLY, STALLED),
    # Without length and chunks, an end is an end: only what is in the body can tell, and raw text
    # tells nothing.
    "http-1.0 cut": (BROKEN, NOTHING_OF_IT, replace(WHOLE, text="some")),
    "http-1.0 gzip cut": (BROKEN, NOTHING_OF_IT, BROKEN),
    "http-1.0 reset": (BROKEN, NOTHING_OF_IT, BROKEN),
}

PAGE_BROKEN = Outcome("failed", "none", errors.ReplyBrokenError)
PAGE_STALLED = Outcome("failed", "none", errors.TimeoutError, phase="idle")
PAGE_BREAKS = {
    "cut": (UNANSWERED, PAGE_BROKEN),
    "reset": (UNANSWERED, PAGE_BROKEN),
    "stall": (MUTE, PAGE_STALLED),
}

# Faults of the page: nothing is posted unless it gave its tokens.
PAGES: dict[str, Outcome] = {
    **dict.fromkeys(
        ("crlf", "notices", "blank", "bom", "split:7", "gzip", "br", "zstd", "http-1.0"), WHOLE
    ),
    **dict.fromkeys(("html-before", "comment-behind"), WHOLE),
    "guard:get": FORBIDDEN,
    "basic-auth": UNKNOWN,
    "json-page": WHOLE,
    "json-page:always": Outcome("failed", "none", errors.TokenNotFoundError),
    "content-type:text/plain": WHOLE,
    "bom notices crlf gzip http-1.0": WHOLE,
    # The widget stands in the first half: what comes after it is not read.
    "endless-line": replace(TOO_MUCH, text="none"),
    "bomb": replace(TOO_MUCH, text="none"),
    "endless-comments": Outcome("failed", "none", errors.TimeoutError, phase="total"),
    "challenge": CHALLENGED,
    "challenge:body": CHALLENGED,
    "challenge:header": CHALLENGED,
    "429": RATE_LIMITED,
    "503": CLOSED,
    "redirect:path": WHOLE,
    "redirect:www": Outcome(
        "failed", "none", errors.ConnectError
    ),  # followed, and there is nobody of that name
    "redirect:https": Outcome(
        "failed", "none", errors.TLSError
    ),  # likewise, and nobody speaks TLS there
    "redirect:host": REDIRECTED,
    "redirect:loop": REDIRECTED,
    "redirect:nowhere": REDIRECTED,
    **{
        f"{how}:{place}": early
        if place in ("before-head", "head")
        else WHOLE
        if place == "end"
        else within
        for how, (early, within) in PAGE_BREAKS.items()
        for place in BREAK_POSITIONS
    },
    "gzip cut:tag": PAGE_BROKEN,
}


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(answers=short_answer, shutdown_timeout=0.1) as running:
        yield running


async def short_answer(question: Question) -> str:
    """Answer with the paragraphs of the built-in answer that hold every writing system, escapes and
    markup alone, so that a write for each byte of it is quick; long characters in the second half,
    where the breaks are.
    """
    paragraphs = (await builtin_answer(question)).split("\n\n")
    code = next(each for each in paragraphs if "```" in each)
    return code + "\n\n" + next(each for each in paragraphs if "שלום" in each)


def test_no_fault_and_no_place_is_left_out() -> None:
    tried = {re.split("[:@]", text)[0] for row in (*ANSWERS, *PAGES) for text in row.split()}
    elsewhere = {kind.name for kind in FAULTS if kind.needs_nonces or kind.is_own}
    assert tried | elsewhere == {kind.name for kind in FAULTS}
    assert set(BREAKS["cut"]) == {*BREAK_POSITIONS, "0"}


@pytest.mark.parametrize("faults", ANSWERS)
async def test_an_answer(faults: str, replica: Replica) -> None:
    row = dict(zip(("sse", "json", "text"), ANSWERS[faults], strict=True))
    for site in SITES:
        replica.fault(site, *faults.split())
    await check_all(replica, [(column, row[column.form]) for column in COLUMNS])
    assert {each.faults for each in replica.exchanges if each.method == "POST"} == {
        in_force(replica)
    }


@pytest.mark.parametrize("faults", PAGES)
async def test_a_page(faults: str, replica: Replica) -> None:
    for site in SITES[:2]:
        replica.fault(site, *(f"{fault}@page" for fault in faults.split()))
    await check_all(replica, [(column, PAGES[faults]) for column in WORDPRESS])
    posted = len(WORDPRESS) * len(TRANSPORTS) if PAGES[faults] is WHOLE else 0
    assert sum(each.method == "POST" for each in replica.exchanges) == posted


def in_force(replica: Replica) -> tuple[str, ...]:
    return replica.sites[0].faults


async def check_all(replica: Replica, expected: list[tuple[Column, Outcome]]) -> None:
    """All columns over both transports, side by side; then nothing is open."""
    cases = [(column, kind, outcome) for column, outcome in expected for kind in TRANSPORTS]
    found = await asyncio.gather(*(ending(replica, column, kind) for column, kind, _ in cases))
    for (column, kind, outcome), (seen, text) in zip(cases, found, strict=True):
        answer = await answer_to(column)
        assert (column, kind, replace(seen, text=outcome.text)) == (column, kind, outcome)
        match outcome.text:
            case "all":
                assert text == answer, (column, kind)
            case "none":
                assert text == "", (column, kind)
            case "some":
                check_beginning(text, answer)
            case made if callable(made):
                assert text == made(answer), (column, kind)
    await replica.exchanges.settled()
    assert replica.exchanges.failed == 0
    assert sockets_to(*(urlsplit(site.url).port or 0 for site in replica.sites)) == 0


def check_beginning(text: str, answer: str) -> None:
    """A third of the answer at least, unspoilt: a fault that comes in the middle takes nothing from
    before it.
    """
    before = (
        text.partition("data: x")[0].partition(": still here\n")[0].removesuffix(HALF_A_CHARACTER)
    )
    assert len(before) >= len(answer) // 3
    assert answer.startswith(before)


async def ending(
    replica: Replica, column: Column, kind: TransportKind, **more: Any
) -> tuple[Outcome, str]:
    """Make one call over a transport of its own; returns how it ended and the beginning of its
    text.
    """
    text = ""
    failure: errors.TailraceError | None = None
    options: dict[str, Any] = {
        "url": replica.page(column.site, column.page),
        **clocks(in_force(replica)),
    }
    if column.provider is not GPROChat:
        options["token_cache"] = TokenCache()
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(make_transport(kind))
        options |= {"transport": transport} | more
        stream = await stack.enter_async_context(
            column.provider.create_async_generator("", MESSAGES, **options)
        )
        try:
            async for delta in stream:
                text += delta[: KEPT - len(text)]
        except errors.TailraceError as error:
            failure = error
        assert stream.error is failure
    if failure is None:
        return Outcome(stream.end, text), text
    status = getattr(failure, "status", None)
    return Outcome(
        stream.end,
        text,
        type(failure),
        getattr(failure, "kind", None),
        getattr(failure, "phase", None),
        status if status is not None and status >= 400 else None,
    ), text


def clocks(faults: tuple[str, ...]) -> dict[str, float]:
    if any(fault.startswith("endless-comments") for fault in faults):
        return {"timeout": TIMEOUT, "total_timeout": TOTAL}
    return {"timeout": TIMEOUT if any(fault.startswith("stall") for fault in faults) else PATIENCE}


async def answer_to(column: Column) -> str:
    provider: Any = column.provider
    asked = (
        MESSAGES[0]["content"]
        if provider is GPROChat
        else provider.prompt(parse_messages(MESSAGES))
    )
    is_asked_beside = provider is AnyPlugin  # the greeting goes along
    history = (HistoryTurn("assistant", "Ahoy! What is it?"),) if is_asked_beside else ()
    return await short_answer(
        Question(column.site, MESSAGES[0]["content"] if is_asked_beside else asked, history)
    )


# -- nonces ----------------------------------------------------------------------------------------

STALE = Outcome("failed", "none", errors.NonceRefusedError, "upstream", status=403)


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("column", AI_POWER, ids=str)
@pytest.mark.parametrize(
    ("fault", "outcomes"),
    [
        # What a call does: pages fetched and messages posted so far, and how it ends.
        ("stale-nonce", [(1, 1, STALE), (2, 3, WHOLE), (2, 4, WHOLE)]),
        ("stale-nonce:2", [(1, 1, STALE), (2, 2, STALE), (3, 4, WHOLE)]),
        ("cached-page", [(1, 1, STALE), (2, 2, STALE), (3, 3, STALE)]),
        ("expiring-nonce", [(1, 1, WHOLE), (2, 3, WHOLE), (3, 5, WHOLE)]),
        ("expiring-nonce:2", [(1, 1, WHOLE), (1, 2, WHOLE), (2, 4, WHOLE)]),
    ],
)
async def test_nonces(
    fault: str,
    outcomes: list[tuple[int, int, Outcome]],
    column: Column,
    kind: TransportKind,
    replica: Replica,
) -> None:
    cache: TokenCache[Any] = TokenCache()
    replica.fault("ai-power", fault)
    for pages, posts, outcome in outcomes:
        seen, text = await ending(replica, column, kind, token_cache=cache)
        assert replace(seen, text=outcome.text) == outcome
        assert text == ("" if outcome is STALE else await answer_to(column))
        methods = [each.method for each in replica.exchanges]
        assert (methods.count("GET"), methods.count("POST")) == (pages, posts)


# -- by URL ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("column", COLUMNS, ids=str)
async def test_a_fault_by_url_is_its_visitors_alone(
    column: Column, kind: TransportKind, replica: Replica
) -> None:
    """It holds for the answer too, with tokens from the cache as well, wherever the provider's own
    endpoint lies.
    """
    sick = replica.page(column.site, column.page, "zstd", "cut:end", "503:7")
    cache: TokenCache[Any] = TokenCache()
    options: dict[str, Any] = {} if column.provider is GPROChat else {"token_cache": cache}
    for _ in range(2):
        seen, _ = await ending(replica, column, kind, url=sick, **options)
        assert replace(seen, text="none") == CLOSED
        assert replica.exchanges[-1].faults == ("503:7", "zstd", "cut:end")
        seen, text = await ending(replica, column, kind, **options)
        assert (seen.end, text) == ("done", await answer_to(column))
    assert sum(each.method == "GET" for each in replica.exchanges) == (
        0 if column.provider is GPROChat else 2
    )


@pytest.mark.parametrize("column", COLUMNS, ids=str)
async def test_faults_by_url_add_to_those_of_the_site(column: Column, replica: Replica) -> None:
    replica.fault(column.site, "gzip", "split:5")
    seen, text = await ending(
        replica, column, "aiohttp", url=replica.page(column.site, column.page, "http-1.0")
    )
    assert (seen.end, text) == ("done", await answer_to(column))
    assert replica.exchanges[-1].faults == ("split:5", "gzip", "http-1.0")


class AnyBot(WordPressChatProvider):
    """A user's own: the endpoint comes from the page, and stands below the page's faults."""


# The newer plugin hands a message in before it asks for the answer: what breaks, breaks the first
# of these steps.
TWO_STEPS: dict[str, Outcome] = {
    **dict.fromkeys(
        ("gzip", "br", "zstd", "http-1.0", "split:9", "content-type:text/html", "crlf"), WHOLE
    ),
    **dict.fromkeys(("cut", "reset:chunk", "gzip cut:end"), PAGE_BROKEN),
    "reset:before-head": UNANSWERED,
    "stall:head": MUTE,
    "stall": PAGE_STALLED,
    "429": RATE_LIMITED,
    "503": CLOSED,
    "challenge": CHALLENGED,
    "redirect": REDIRECTED,
    "guard:post": FORBIDDEN,
    "guard:get": FORBIDDEN,
    "empty:post": EMPTY,
    "empty:get": EMPTY,
    "basic-auth@answer": UNKNOWN,
    "cookie-guard": WHOLE,
    "json-page": WHOLE,
    "json-page:always": Outcome("failed", "none", errors.TokenNotFoundError),
    "plugin-off": Outcome("failed", "none", errors.TokenNotFoundError),
    **dict.fromkeys(("html-before", "comment-behind"), WHOLE),
    # It also gives a new nonce to whoever asks.
    "stale-nonce": WHOLE,
    "cached-page": WHOLE,
}


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("faults", TWO_STEPS)
async def test_a_message_in_two_steps(faults: str, kind: TransportKind, replica: Replica) -> None:
    column = Column(AnyBot, "sse", "aipkit", "inline")
    asked = faults.split()
    url = replica.page(column.site, column.page, *asked)
    seen, text = await ending(replica, column, kind, url=url, **clocks(tuple(asked)))
    assert replace(seen, text="") == replace(TWO_STEPS[faults], text="")
    assert text == (await answer_to(column) if TWO_STEPS[faults] is WHOLE else "")
    await replica.exchanges.settled()
    assert (replica.exchanges.failed, sockets_to(urlsplit(url).port or 0)) == (0, 0)


@pytest.mark.parametrize("kind", TRANSPORTS)
@pytest.mark.parametrize("whole_site", [False, True])
async def test_a_site_in_a_subfolder(
    kind: TransportKind, *, whole_site: bool, replica: Replica
) -> None:
    """Its page names no endpoint in clear, and another program answers at the usual place."""
    column = Column(AnyBot, "sse", "ai-power", "stream")
    url = replica.page("ai-power", "stream", "subfolder")
    if whole_site:
        replica.fault("ai-power", "subfolder")
        url = f"{replica.url('ai-power')}/blog/chat-stream/"
    seen, text = await ending(replica, column, kind, url=url)
    assert (seen.end, text) == ("done", await answer_to(column))
    folder = "/blog" if whole_site else "/~fault/subfolder"
    assert replica.exchanges[-1].path == f"{folder}/wp-admin/admin-ajax.php"


async def test_a_redirected_page_keeps_its_faults(replica: Replica) -> None:
    column = COLUMNS[0]
    url = replica.page(column.site, column.page, "redirect@page", "429")
    seen, _ = await ending(replica, column, "aiohttp", url=url)
    assert replace(seen, text="none") == RATE_LIMITED
    assert [each.method for each in replica.exchanges] == ["GET", "GET", "POST"]
