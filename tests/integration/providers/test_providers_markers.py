"""Every way the replica's sites misbehave, through the providers: the text that came, the end, the
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tailrace import ChatGptEs, ChatgptFree, ChatGptt, GPROChat
from tailrace._calls.token_cache import TokenCache
from tailrace._messages import parse_messages
from tailrace.errors import (
    ConversationLimitError,
    MissingAuthError,
    RateLimitError,
    ResponseStatusError,
    StreamError,
    TailraceError,
)
from tailrace.providers import ChatgptDemoProvider, OpenAIProvider, WordPressChatProvider
from tailrace.replica import HistoryTurn, Question, Replica, builtin_answer
from tailrace.replica._answers import tokenize

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tailrace import ChatStream


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


@dataclass(frozen=True)
class Fails:
    """A failure on a page of the site; `after` says whether some text came first."""

    says: str
    kind: str = "upstream"
    error: type[TailraceError] = StreamError
    code: str | None = None
    status: int = 200
    after: bool = False
    end: str = "failed"


@dataclass(frozen=True)
class Says:
    """The whole answer, or `text` where the site says something of its own, and what is added.

    `reason`: the finish reason, where a case is about it.
    """

    end: str = "done"
    text: str | None = None
    adds: str = ""
    reason: str | None = None


WORDS = " ".join(f"word{number}" for number in range(400))
KEY = Fails("The key sk-xxxx was not accepted. Keys are made at https://keys.example/account/keys.")
RATE = Fails("Too many requests: try again in 20 s (limit 3/min).")
QUOTES = 'Not a valid value: "foo". Known values are: \'system\', "user" & others. See the manual.'
QUOTA = Fails(
    'Your share is used up — "come back tomorrow".',
    error=ConversationLimitError,
    code="tokenLimitReached",
)
NO_KEY = Fails("No key is set.")
BANNED = "There is a word in your message that this site does not take."
ADDRESS = "This site does not take messages from your address."
EMPTY = Fails("", kind="empty")
FATAL = Fails("an error it cannot handle", error=ResponseStatusError, status=500)
CLOSED = Fails("Closed", error=ResponseStatusError, status=503)
BROKEN = Fails("broke off", kind="truncated", after=True, end="truncated")
BEHIND = Fails("The model behind this bot failed while it was answering.")
UNREACHED = Fails(
    "cURL error 7: Failed to connect to 192.0.2.1 port 443 after 0 ms: Couldn't connect to server"
)


def refused(says: str, status: int, code: str | None = None) -> Fails:
    return Fails(says, error=ResponseStatusError, status=status, code=code)


# What a marker means on each page: stream, json, assistant, completion. The same where it is said
# once.
AI_POWER: dict[str, tuple[Fails | Says, ...]] = {
    "fatal": (FATAL,),
    "maintenance": (CLOSED,),
    "no-key": (NO_KEY,),
    "token-limit": (QUOTA,),
    "banned": (
        Fails(BANNED, code="messageFlagged"),
        Fails(BANNED),
        Fails(BANNED, code="messageFlagged"),
    ),
    "ip-banned": (Fails(ADDRESS, code="ipBanned"), Fails(ADDRESS), Fails(ADDRESS, code="ipBanned")),
    "moderated": (
        Fails("refused", code="modflag"),
        Fails("refused"),
        Fails("refused", code="modflag"),
    ),
    "vector-store": (
        Fails("no index", code="pineconeError"),
        Fails("no index"),
        Fails("no index", code="pineconeError"),
    ),
    "upstream-401": (KEY,),
    "upstream-429": (RATE,),
    # In a stream the plugin's own line break takes the word after it out of the frame.
    "quote": (Fails(QUOTES.replace(" See", "")), Fails(QUOTES)),
    "midfail": (Fails(BEHIND.says, after=True), BEHIND, Fails(BEHIND.says, after=True)),
    "cut": (BROKEN, BEHIND, BROKEN),
    "nodone": (Says("stopped"), Says(), BROKEN, Says("stopped")),
    "null": (Says(text=""), EMPTY, EMPTY),
    "unreachable": (EMPTY, UNREACHED, UNREACHED, EMPTY),
    "long": (Says(text=WORDS),),
    "empty": (Says(text=""), EMPTY, EMPTY),
    "limited": (Fails("The plugin gave up."),),
    "html502": (
        Fails("502 Bad Gateway", kind="not_a_stream"),
        EMPTY,
        Fails("502 Bad Gateway", kind="not_a_stream"),
    ),
    "bom": (Says(),),
    "blank": (Says(),),
    "notices": (Says(),),
    "crlf": (Says(),),
    "split": (Says(),),
    "gzip": (Says(),),
    "slow": (Says(),),
}
PAGES = ("stream", "json", "assistant", "completion")
WAITING = {"stall", "silent"}  # see the tests of clocks


def expected_on(page: str, cases: tuple[Fails | Says, ...]) -> Fails | Says:
    place = PAGES.index(page)
    if page == "completion" and len(cases) < 4:
        place = 0  # as the streaming bot
    return cases[min(place, len(cases) - 1)]


TRIED_ELSEWHERE = ("anthropic", "gemini", "ollama")
"""Software whose markers are tried beside the replica itself."""


async def test_no_marker_is_left_out(replica: Replica) -> None:
    found = {
        site.name: {marker.name for marker in site.markers}
        for site in replica.sites
        if site.software not in TRIED_ELSEWHERE
    }
    tables: dict[str, dict[str, Any]] = {
        **dict.fromkeys(("ai-power", *OLD_SITES), AI_POWER),
        **dict.fromkeys(("aipkit", "aipkit-2.4.0"), AIPKIT),
        **dict.fromkeys(AI_ENGINE_SITES, AI_ENGINE),
        "geminiprochat": GEMINIPROCHAT,
        "chatgpt-demo": CHATGPT_DEMO,
        "openai": OPENAI,
    }
    assert {site: markers - WAITING for site, markers in found.items()} == {
        site: set(table) - WAITING for site, table in tables.items()
    }


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("marker", AI_POWER)
async def test_an_ai_power_site(marker: str, page: str, replica: Replica) -> None:
    for provider in (ChatGptt, ChatgptFree, ChatGptEs):
        options: dict[str, Any] = {
            "url": replica.page("ai-power", page),
            "token_cache": TokenCache(),
        }
        messages = [{"role": "user", "content": f"[[{marker}]]"}]
        stream = provider.create_async_generator("", messages, **options)
        prompt = provider.prompt(parse_messages(messages))
        await check(stream, expected_on(page, AI_POWER[marker]), Question("ai-power", prompt))


OLD_SITES = ("ai-power-1.8.79", "ai-power-1.8.90", "ai-power-1.8.95")


@pytest.mark.parametrize("site", OLD_SITES)
@pytest.mark.parametrize("page", ["stream", "json", "completion"])
async def test_an_older_ai_power_site(site: str, page: str, replica: Replica) -> None:
    for marker, cases in AI_POWER.items():
        options: dict[str, Any] = {"url": replica.page(site, page), "token_cache": TokenCache()}
        stream = ChatgptFree.create_async_generator(
            "", [{"role": "user", "content": f"[[{marker}]]"}], **options
        )
        await check(stream, expected_on(page, cases), Question(site, f"[[{marker}]]"))


# What a marker means on a bot that streams, and on one that answers with JSON where that is another
# thing.
CUT = " (Incomplete: max_output_tokens)"
CLAUDES = "Claude stopped because the maximum output token limit was reached."
UNFINISHED = " (Unvollst\xe4ndig: max_output_tokens)"
AIPKIT: dict[str, tuple[Fails | Says, ...]] = {
    "quota-0": (Fails("Guests may not write here."), refused("Guests may not write here.", 400)),
    "no-key": (Fails("The API key of the model"), refused("The API key of the model", 400)),
    "length": (Says(adds=CUT, reason="length"), Says(adds=CUT)),
    "length-in-warning": (Says(adds=CUT, reason="length"), Says(adds=CUT)),
    "filtered": (
        Says(adds=" (Incomplete: content_filter)", reason="content_filter"),
        Says(adds=" (Incomplete: content_filter)"),
    ),
    "refused": (
        Says(text=" (Refusal: I can't ) (Refusal: help with ) (Refusal: that.)", reason="warning"),
        Says(text=" (Refusal: I can't ) (Refusal: help with ) (Refusal: that.)"),
    ),
    "warned": (Says(adds=UNFINISHED, reason="warning"), Says(adds=UNFINISHED)),
    "claude-length": (Says(adds=CLAUDES, reason="max_tokens"), Says(adds=CLAUDES)),
    "claude-refusal": (
        Says(text="I had rather not.", reason="refusal"),
        Says(text="I had rather not."),
    ),
    "form": (Fails("form"), EMPTY),
    "quota": (
        Fails(QUOTA.says, error=ConversationLimitError, code="quota_notice"),
        Fails(QUOTA.says, error=RateLimitError, status=429),
    ),
    "banned": (Fails("that this site does not take"), refused("that this site does not take", 400)),
    "ip-banned": (
        Fails("does not talk to your address"),
        refused("does not talk to your address", 400),
    ),
    "moderated": (Fails("was refused"), refused("was refused", 400)),
    "no-session": (Fails("needs a session"), refused("needs a session", 400)),
    "stale-key": (Fails("for this key was not found"), refused("for this key was not found", 400)),
    "upstream-401": (
        Fails("not accepted"),
        Fails("not accepted", error=MissingAuthError, status=401),
    ),
    "upstream-429": (
        Fails("Too many requests"),
        Fails("Too many requests", error=RateLimitError, status=429),
    ),
    "midcut": (Fails("Connection Error", after=True), refused("Connection Error", 500)),
    "nodone": (BROKEN, Says()),
    "cut": (BROKEN, refused("Connection Error", 500)),
    "long": (Says(text=WORDS),),
    "empty": (EMPTY,),  # an end mark, and neither a delta nor a finish reason
    "slow": (Says(),),
}


class AnySite(WordPressChatProvider):
    """A site of either plugin line, known by its page alone."""


@pytest.mark.parametrize(
    ("site", "page"), [("aipkit", "inline"), ("aipkit-2.4.0", "stream"), ("aipkit-2.4.0", "json")]
)
@pytest.mark.parametrize("marker", AIPKIT)
async def test_an_aipkit_site(marker: str, site: str, page: str, replica: Replica) -> None:
    options: dict[str, Any] = {"url": replica.page(site, page), "token_cache": TokenCache()}
    stream = AnySite.create_async_generator(
        "", [{"role": "user", "content": f"[[{marker}]]"}], **options
    )
    await check(
        stream, AIPKIT[marker][-1 if page == "json" else 0], Question(site, f"[[{marker}]]")
    )


# What a marker means on the newest AI Engine.
AI_ENGINE: dict[str, Fails | Says] = {
    "quota": Fails("reached the limit", error=ConversationLimitError, code="limit_reached"),
    "asleep": Fails("went to sleep", error=ConversationLimitError, code="limit_reached"),
    "banned": Fails("Your query has been rejected.", code="query_banned"),
    "rejected": Fails("Sorry, your query has been rejected.", code="query_rejected"),
    "not-allowed": Fails("Unauthorized query.", code="query_unauthorized"),
    "moderated": Fails("rejected by moderation", code="message_moderated"),
    "owner-words": Fails("The lamp is out tonight."),
    "no-key": Fails("The environment is required.", code="not_set_up"),
    "no-model": Fails("The model 'gpt-0' is not available.", code="not_set_up"),
    "upstream-401": Fails("The key sk-xxxx was not accepted.", code="invalid_api_key"),
    "upstream-429": Fails("Too many requests", code="rate_limit_exceeded"),
    "upstream-reset": Fails("cURL error 52: Empty reply from server"),
    "midcut": Fails("cURL error 18", after=True),
    "midtimeout": Fails("cURL error 28", after=True),
    "midlost": Says(text=None),
    "fatal": BROKEN,
    "fatal-early": refused("an error it cannot handle", 500, "internal_server_error"),
    "takeover": Says(text="A person speaking: yes?"),
    "events": Says(),
    "thoughts": Says(),
    "end-only": Says(),
    "image": Says(text="![Image](https://site.example/a.png)"),
    "rewritten": Says(text="Water runs off in the tailrace."),
    "appended": Says(text="Water runs off in the tailrace. (said the harbour)"),
    "function": Says(text=""),
    "parts": Says(),
    "blanks": Fails("", kind="empty", after=True),
    "log-error": Fails("The tide gauge failed with an error."),
    "nodone": BROKEN,
    "cut": BROKEN,
    "long": Says(text=WORDS),
    "empty": EMPTY,
    "slow": Says(),
}
AI_ENGINE_OLD = {"function": EMPTY, "log-error": EMPTY}
"""What differs before 2.5.0, whose answers have no functions, and before 2.8.4, without events."""

AI_ENGINE_SITES = (
    "ai-engine",
    "ai-engine-3.0.1",
    "ai-engine-2.8.0",
    "ai-engine-2.0.9",
    "ai-engine-1.9.99",
)
GREETING = (HistoryTurn("assistant", "Ahoy! What is it?"),)


@pytest.mark.parametrize("site", AI_ENGINE_SITES)
@pytest.mark.parametrize("marker", AI_ENGINE)
async def test_a_site_of_ai_engine(marker: str, site: str, replica: Replica) -> None:
    options: dict[str, Any] = {"url": replica.page(site, "inline"), "token_cache": TokenCache()}
    stream = AnySite.create_async_generator(
        "", [{"role": "user", "content": f"[[{marker}]]"}], **options
    )
    old = {
        "ai-engine-2.8.0": {"log-error": EMPTY},
        "ai-engine-2.0.9": AI_ENGINE_OLD,
        "ai-engine-1.9.99": AI_ENGINE_OLD,
    }
    expected = old.get(site, {}).get(marker, AI_ENGINE[marker])
    question = Question(site, f"[[{marker}]]", GREETING)
    if marker == "midlost":  # nothing tells that half of it is missing
        begun = "".join(tokenize(await builtin_answer(question))[:3])
        expected = Says(text=begun)
    await check(stream, expected, question)
    assert stream.bad_events == (marker == "rewritten")


BLOCKED = Fails("Internal server error")
GEMINIPROCHAT: dict[str, Fails | Says] = {
    "safety-mid": Fails("Internal server error", after=True),
    "safety-first": BLOCKED,
    "cut": Says(text="Half of what was to co"),
    "empty": EMPTY,
    "err400": Fails(
        "This place is not served.", error=ResponseStatusError, code="Error", status=500
    ),
    "err429": Fails("[429 Too Many Requests]", error=RateLimitError, code="Error", status=429),
    "errkey": Fails("The key is not valid.", error=ResponseStatusError, code="Error", status=500),
    "reset": Fails("fetch failed", error=ResponseStatusError, code="Error", status=500),
    "utf8": Says(text="héllo 你好。世界 🎉👩‍👩‍👧 末尾"),
    "jsonlike": Says(text='{"error":{"message":"Invalid signature."}}'),
    "slow": Says(text="tick1 tick2 tick3 tick4 tick5 tick6 tick7 "),
}


@pytest.mark.parametrize("marker", GEMINIPROCHAT)
async def test_the_signed_site(marker: str, replica: Replica) -> None:
    messages = [{"role": "user", "content": f"[[{marker}]]"}]
    stream = GPROChat.create_async_generator("", messages, url=replica.url("geminiprochat"))
    await check(stream, GEMINIPROCHAT[marker], Question("geminiprochat", f"[[{marker}]]"))


CHATGPT_DEMO: dict[str, Fails | Says] = {
    "err429": Fails("The share is used up.", error=RateLimitError, status=429, code="429"),
    "err401": Fails("The key sk-xxxx", error=MissingAuthError, status=401, code="invalid_api_key"),
    "errhtml": refused("the gate is shut", 502),
    "broken": Fails("Internal server error", after=True),
    "cut": Says(text="Half of what was to co"),
    "empty": EMPTY,
    "slow": Says(text="tick1 tick2 tick3 tick4 tick5 tick6 tick7 "),
}


@pytest.mark.parametrize("marker", CHATGPT_DEMO)
async def test_the_signed_sibling(marker: str, replica: Replica) -> None:
    messages = [{"role": "user", "content": f"[[{marker}]]"}]
    stream = ChatgptDemoProvider.create_async_generator(
        "", messages, url=replica.url("chatgpt-demo")
    )
    await check(stream, CHATGPT_DEMO[marker], Question("chatgpt-demo", f"[[{marker}]]"))


OPENAI: dict[str, Fails | Says] = {
    "err401": Fails(
        "not the right one", error=MissingAuthError, status=401, code="invalid_api_key"
    ),
    "err429": Fails(
        "Too many requests.", error=RateLimitError, status=429, code="rate_limit_exceeded"
    ),
    "quota": Fails(
        "The share is used up.", error=RateLimitError, status=429, code="insufficient_quota"
    ),
    "err500": refused("The server met an error", 500),
    "too-long": refused("too many tokens", 400, "context_length_exceeded"),
    "html502": refused("the gate is shut", 502),
    "midfail": Fails("The server met an error", after=True),
    "cut": BROKEN,
    "nodone": Says("stopped"),
    "filtered": Says(text="Half of wh"),
    "refuse": Says(text=""),
    "tool": Says(),  # none is offered
    "tools": Says(),
    "think": Says(),
    "comments": Says(),
    "long": Says(text=WORDS),
    "empty": Says(text=""),
    "slow": Says(),
}


@pytest.mark.parametrize("marker", OPENAI)
async def test_an_openai_compatible_server(marker: str, replica: Replica) -> None:
    messages = [{"role": "user", "content": f"[[{marker}]]"}]
    stream = OpenAIProvider.create_async_generator(
        "gpt-4o", messages, url=f"{replica.url('openai')}/v1"
    )
    await check(stream, OPENAI[marker], Question("openai", f"[[{marker}]]"))


async def check(stream: ChatStream, expected: Fails | Says, question: Question) -> None:
    parts: list[str] = []
    failure: TailraceError | None = None
    async with stream:
        try:
            async for each in stream:
                parts.append(each)  # noqa: PERF401 - a comprehension would lose what came before an error
        except TailraceError as error:
            failure = error
    text = "".join(parts)
    assert stream.end == expected.end
    if isinstance(expected, Says):
        assert failure is None
        own = await builtin_answer(question) if expected.text is None else expected.text
        assert text == own + expected.adds
        if expected.reason is not None:
            assert stream.finish_reason == expected.reason
        return
    assert type(failure) is expected.error
    assert isinstance(failure, StreamError)
    assert (failure.kind, failure.code, failure.status) == (
        expected.kind,
        expected.code,
        expected.status,
    )
    assert expected.says in str(failure)
    assert bool(text) is expected.after
