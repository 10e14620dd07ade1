"""Sites of every software asked: the answer as a stream, whole, and turn by turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tailrace import (
    ChatStream,
    IterListProvider,
    Site,
    WordPressChatProvider,
    doctor,
    errors,
    providers,
)
from tailrace._calls.token_cache import TokenCache
from tailrace._environment import Environment
from tailrace.gateway._models import ModelRegistry
from tailrace.providers import ChatProvider
from tailrace.providers._g4f import taken_options
from tailrace.replica import Question, Replica, builtin_answer
from tailrace.sites import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tailrace.replica import ServedExchange

PASSWORD = "open sesame"

# Of each software a site of the replica: its name there, its page or what follows its origin, and
# the options of calls to it.
SITES: dict[str, tuple[str, str | None, str, dict[str, Any]]] = {
    "wordpress": ("ai-power", "stream", "", {}),
    "wordpress, two steps": ("aipkit", "inline", "", {}),
    "wordpress, AI Engine": ("ai-engine-3.0.1", None, "", {}),
    "ai-engine": ("ai-engine", "two", "", {"bot": "chatbot-qmv3ka"}),
    "geminiprochat": ("geminiprochat", None, "", {"secret_key": "pepper", "password": PASSWORD}),
    "chatgpt-demo": ("chatgpt-demo", None, "", {"secret_key": "pepper", "password": PASSWORD}),
    "openai": ("openai", None, "/v1", {"models": ["gpt-4o-mini", "gpt-4o"]}),
}


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1, secret="pepper", password=PASSWORD) as running:
        yield running


@pytest.fixture(params=list(SITES))
def kind(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def site(kind: str, replica: Replica) -> Site:
    name, page, path, options = SITES[kind]
    url = replica.url(name) + path if page is None else replica.page(name, page)
    software = kind.partition(",")[0]
    given: dict[str, Any] = {"software": software, **options}
    if SOFTWARE[software].has_tokens:
        given["token_cache"] = TokenCache()
    return Site(url, **given)


async def expected(kind: str, text: str = "hello") -> str:
    return await builtin_answer(Question(SITES[kind][0], text))


def posts(replica: Replica) -> list[ServedExchange]:
    return [each for each in replica.exchanges if each.method == "POST"]


async def test_an_answer_as_it_comes(site: Site, kind: str) -> None:
    async with site.stream("hello") as stream:
        assert isinstance(stream, ChatStream)
        texts = [text async for text in stream]
    assert "".join(texts) == await expected(kind)
    assert (stream.end, stream.error) == ("done", None)


async def test_a_whole_answer(site: Site, kind: str) -> None:
    assert await site.ask("hello") == await expected(kind)
    assert await site.ask([{"role": "user", "content": "hello"}]) == await expected(kind)


async def test_nothing_is_sent_before_the_first_read(site: Site, replica: Replica) -> None:
    stream = site.stream("hello")
    await stream.aclose()
    assert list(replica.exchanges) == []


async def test_a_dialogue(site: Site) -> None:
    dialogue = site.conversation(system="Be brief.")
    for words in ("I am Zed", "Who am I?"):
        async with dialogue.send(words) as stream:
            assert [text async for text in stream]
        assert stream.end == "done"
    assert [each["role"] for each in dialogue.messages] == [
        "system",
        *["user", "assistant"] * 2,
    ]
    assert site.name in repr(dialogue)
    assert "Zed" not in repr(dialogue)


async def test_a_dialogue_with_a_site_that_remembers_keeps_its_ids(replica: Replica) -> None:
    page = replica.page("ai-power", "assistant")
    dialogue = Site(page, client_id="AbCdEfGhIj").conversation(token_cache=TokenCache())
    for words in ("I am Zed", "Who am I?"):
        async with dialogue.send(words) as stream:
            assert [text async for text in stream]
    first, second = [each.form or {} for each in posts(replica)]
    assert "thread_id" not in first
    assert second["thread_id"]
    assert second["message"] == "Who am I?"
    ids = [form["wpaicg_chat_client_id"] for form in (first, second)]
    assert ids == ["AbCdEfGhIj", "AbCdEfGhIj"]


async def test_what_a_call_says_wins(replica: Replica) -> None:
    site = Site(f"{replica.url('openai')}/v1", software="openai", models=["gpt-4o-mini", "gpt-4o"])
    await site.ask("hello", model="gpt-4o", temperature=0.5)
    sent: Any = posts(replica)[0].json
    assert (sent["model"], sent["temperature"]) == ("gpt-4o", 0.5)
    with pytest.raises(errors.ModelNotSupportedError, match="does not know the model 'gpt-3'"):
        await site.ask("hello", model="gpt-3")
    warm = site.replace(temperature=0.9, model="gpt-4o")
    await warm.ask("hello")
    sent = posts(replica)[1].json
    assert (sent["model"], sent["temperature"]) == ("gpt-4o", 0.9)


async def test_a_prompt_of_ones_own(replica: Replica) -> None:
    page = replica.page("ai-power", "stream")
    site = Site(page, token_cache=TokenCache(), make_prompt=lambda turns: f"{len(turns)} turns")
    await site.ask([{"role": "system", "content": "x"}, {"role": "user", "content": "y"}])
    assert (posts(replica)[0].form or {})["message"] == "2 turns"


async def test_a_prompt_of_ones_own_is_text(replica: Replica) -> None:
    def ask(made: Any) -> Any:
        options: dict[str, Any] = {"make_prompt": lambda _: made, "token_cache": TokenCache()}
        return Site(replica.page("ai-power", "stream"), **options).ask("hello")

    assert "a\ufffdb" in await ask("a\ud800b")
    with pytest.raises(
        errors.InvalidRequestError, match="make_prompt must return the prompt's text, not int"
    ):
        await ask(7)


async def test_wrong_messages_are_the_streams_to_refuse(site: Site) -> None:
    wrong: Any
    for wrong in ("", "  ", [], [7], None):
        async with site.stream(wrong) as stream:
            with pytest.raises(errors.InvalidRequestError):
                await stream.read()


# -- lists -----------------------------------------------------------------------------------------

REFUSED = "http://127.0.0.1:9"  # the discard port, on which nothing listens
HI = [{"role": "user", "content": "hello"}]


async def test_lists_take_sites_classes_and_lists(site: Site, kind: str) -> None:
    class Gone(WordPressChatProvider):
        url = REFUSED

    nested = IterListProvider([Gone, Site(REFUSED, name="away")], shuffle=False)
    several = IterListProvider([nested, site], shuffle=False)
    assert (several.working, several.needs_auth) == (True, False)
    assert several.supports_system_message
    async with several.create_async_generator("", HI) as stream:
        assert "".join([text async for text in stream]) == await expected(kind)
    assert (stream.provider, several.last_provider) == (site, site)
    ((name, failure),) = stream.errors
    assert (name, type(failure)) == ("IterListProvider", errors.RetryProviderError)
    assert isinstance(failure, errors.RetryProviderError)
    assert [each for each, _ in failure.errors] == ["Gone", "away"]


async def test_a_list_gives_a_site_what_it_takes(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(
        f"{replica.url('openai')}/v1", software="openai", name="open", models=["gpt-4o-mini"]
    )
    several = IterListProvider([site])
    assert several.get_models() == ["gpt-4o-mini"]
    await several.create_async("", HI, temperature=0.5, secret_key="x", tempreture=1)
    sent: Any = posts(replica)[0].json
    assert sent["temperature"] == 0.5
    assert "secret_key" not in sent
    assert "open ignores the argument 'tempreture': did you mean 'temperature'?" in caplog.text
    with pytest.raises(errors.RetryProviderError):
        await several.create_async("gpt-3", HI)


# -- classes of gpt4free's API ---------------------------------------------------------------------


def seeds_and_bases() -> list[type[ChatProvider]]:
    return [
        *providers.site_providers(),
        providers.WordPressChatProvider,
        providers.GeminiProChatProvider,
        providers.ChatgptDemoProvider,
        providers.OpenAIProvider,
    ]


ENVIRONMENT = Environment(environ={})
ENDPOINTS = {
    "wordpress": "/wp-admin/admin-ajax.php",
    "geminiprochat": "/api/generate",
    "chatgpt-demo": "/api/generate",
    "openai": "/v1/chat/completions",
}
REPLICAS = {"wordpress": "ai-power", "openai": "openai"}


@pytest.mark.parametrize("base", seeds_and_bases(), ids=lambda base: base.__name__)
@pytest.mark.parametrize(
    "where",
    ["class", "base", "subclass", "instance", "call", "list", "turn", "gateway", "doctor"],
)
async def test_a_url_means_the_same_wherever_it_is_said(
    replica: Replica,
    base: type[ChatProvider],
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = REPLICAS.get(base.software, base.software)
    url = replica.url(name) + ("/v1" if base.software == "openai" else "")
    options: dict[str, Any] = {"environment": ENVIRONMENT}
    if base.software == "wordpress":
        options["token_cache"] = TokenCache()
    elif base.software != "openai":
        options |= {"secret_key": "pepper", "password": PASSWORD}

    provider = said_to(base, where, url, monkeypatch)
    if where == "call":
        options["url"] = url
    model = "gpt-4o-mini" if base.software == "openai" else ""
    if where == "turn":
        assert await provider.conversation(model=model, **options).send("hello").read()
    elif where == "gateway":
        served = ModelRegistry([provider], created=0).find(
            f"Mine/{provider.default_model or model or 'default'}"
        )
        assert await served.models[0].upstream.replace(**options).ask("hello", model=model or None)
    elif where == "doctor":
        site = provider.as_site().replace(**{k: v for k, v in options.items() if k != "url"})
        found = await doctor(site, post=True, model=model, keep=False, timeout=5)
        assert found.answered
    else:
        assert await provider.create_async(model, HI, **options)
    (sent,) = posts(replica)
    assert sent.path == replica_path(url, base.software)


def said_to(base: Any, where: str, url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider, told its URL: itself, by a class of its own, by that of an instance."""
    mine: Any = type("Mine", (base,), {})
    if where == "base":
        monkeypatch.setattr(base, "url", url)
        return base
    if where == "subclass":
        return type("Own", (mine,), {"url": url})
    if where == "instance":
        mine = mine()
    if where != "call":
        mine.url = url
    return IterListProvider([mine]) if where == "list" else mine


def replica_path(url: str, software: str) -> str:
    """Where a message to the replica's site at `url` is posted: below the origin's own path."""
    below = url.partition("://")[2].partition("/")[2]
    path = ENDPOINTS[software]
    if software == "openai":
        return path
    return f"/{below}{path}" if below else path


@pytest.mark.parametrize("base", seeds_and_bases(), ids=lambda base: base.__name__)
@pytest.mark.parametrize("path", ["", "/", "/sub", "/sub/?a=b"])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_moved_url_makes_the_same_site_wherever_it_is_said(
    base: type[ChatProvider], path: str, monkeypatch: pytest.MonkeyPatch, *, elsewhere: bool
) -> None:
    """At the same origin and at another one, with an endpoint of the class and without."""
    home = "http://mine.example" if elsewhere or not base.url else base.url
    url = home + path
    called = base.as_site(url)
    subclass: type[ChatProvider] = type(base.__name__, (base,), {"url": url})
    instance = base()
    instance.url = url  # type: ignore[misc]
    deeper: type[ChatProvider] = type(base.__name__, (subclass,), {})
    monkeypatch.setattr(base, "url", url)
    for provider in (base, subclass, instance, deeper):
        made = provider.as_site()
        assert (made.url, made.endpoint) == (url, called.endpoint)
    assert called.endpoint is None or called.endpoint.startswith(home)
    assert "sub" not in url or called.endpoint is None or base.software == "wordpress"


def test_an_endpoint_at_another_place_than_the_url_is_refused_by_name() -> None:
    class Mine(providers.GPROChat):
        api_endpoint = "http://mine.example/api/generate"

    with pytest.raises(errors.InvalidRequestError, match=r"Mine.api_endpoint is at http://mine"):
        Mine.create_async_generator("", HI)
    Mine.url = "http://mine.example/chat"  # as the error says
    assert Mine.as_site().endpoint == "http://mine.example/api/generate"
    Mine.api_endpoint = "http://mine.example/own"
    assert Mine.as_site().endpoint == "http://mine.example/own"
    assert Mine.as_site("http://mine.example/chat/").endpoint == "http://mine.example/own"
    assert Mine.as_site("http://mine.example/other").endpoint is None  # stated for another URL


@pytest.mark.parametrize("software", SOFTWARE)
def test_an_endpoint_stated_before_its_url_is_where_a_message_goes(software: str) -> None:
    there, url = "http://mine.example/v2/chat", "http://mine.example/page"

    class Endpoint(ChatProvider):
        api_endpoint = there

    Endpoint.software = software
    instance = Endpoint()
    instance.url = url  # type: ignore[misc]
    called = Endpoint.as_site(url)
    subclass: Any = type("Mine", (Endpoint,), {"url": url})
    for site in (called, instance.as_site(), subclass.as_site()):
        assert site.endpoint == there
    Endpoint.url = url
    assert Endpoint.as_site().endpoint == there
    elsewhere = Endpoint.as_site("http://other.example/page").endpoint
    assert elsewhere is None or elsewhere.startswith("http://other.example/")


async def test_a_url_of_the_same_origin_takes_the_endpoint_along(replica: Replica) -> None:
    class Below(ChatProvider):
        software = "geminiprochat"
        url = replica.url("geminiprochat")
        api_endpoint = f"{url}/api/generate"

    class Deeper(Below):
        url = f"{Below.url}/deep"

    assert Below.as_site().endpoint == f"{Below.url}/api/generate"
    assert Deeper.as_site().endpoint is None
    assert Below.as_site(f"{Below.url}/deep").endpoint is None


def test_an_option_that_is_no_attribute_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    class Protected(providers.GPROChat):
        secret_key = "pepper"
        password = PASSWORD
        throttle = None
        label = "mine"

    instance = Protected()
    instance.temperature = 1  # type: ignore[attr-defined]
    for provider in (Protected, instance, Protected, instance):
        provider.create_async_generator("", HI)
    assert warnings_of(caplog) == [
        "Protected ignores its attribute 'password': give it in the call",
        "Protected ignores its attribute 'temperature': give it in the call",
    ]


async def test_an_unknown_argument_is_ignored_and_said_once(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    class Mine(WordPressChatProvider):
        url = replica.page("ai-power", "stream")
        token_cache = TokenCache[Any]()

    for _ in range(2):
        given: dict[str, Any] = {"timout": 1, "web_search": True, "stream": True, "api_key": None}
        assert await Mine.create_async("", HI, **given)
    assert warnings_of(caplog) == [
        "Mine ignores the argument 'timout': did you mean 'timeout'?",
        "Mine ignores the argument 'web_search'",
    ]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelname == "WARNING"]


@pytest.mark.parametrize("base", seeds_and_bases(), ids=lambda base: base.__name__)
def test_every_argument_is_taken_or_named_once(
    base: type[ChatProvider], caplog: pytest.LogCaptureFixture
) -> None:
    """Each of them at a class of its own, twice: what it takes, what is said of the rest."""
    taken = (
        {"api_key", "max_tokens", "stop", "extra", "tools"} if base.software == "openai" else set()
    )
    taken |= {"bot", "bot_id"} if base.software == "wordpress" else set()
    taken |= {"temperature"} if base.software in ("openai", "chatgpt-demo") else set()
    quiet = {"api_key", "max_tokens", "stop", "stream", "provider", "conversation"}
    hints = {"timeuot": "timeout", "base_url": "url", "Headers": "headers"}
    given: dict[str, Any] = dict.fromkeys(("bot", "bot_id", "api_key", "stop"), "x")
    given |= dict.fromkeys(("timeuot", "max_tokens", "temperature", "tools"), 1)
    given |= {"base_url": "http://x.example", "extra": {"a": 1}, "Headers": {}, "seed_": None}
    given |= {"provider": base, "conversation": {"id": "1"}, "stream": True}
    for name, value in given.items():
        called = f"{base.__name__}Of{name}"
        mine: Any = type(called, (base,), {"url": "http://mine.example"})
        for each in (mine, IterListProvider([mine])):
            each.create_async_generator("m", HI, **{name: value})
        said = [line for line in warnings_of(caplog) if line.startswith(f"{called} ")]
        hint = f": did you mean {hints[name]!r}?" if name in hints else ""
        expected = f"{called} ignores the argument {name!r}{hint}"
        silent = name in taken | quiet or value is None
        assert said == ([] if silent else [expected])


@pytest.mark.parametrize("base", seeds_and_bases(), ids=lambda base: base.__name__)
async def test_what_cannot_be_sent_is_refused(replica: Replica, base: type[ChatProvider]) -> None:
    class Mine(base):  # type: ignore[valid-type,misc]
        url = replica.url(REPLICAS.get(base.software, base.software))

    image: Any = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    given: dict[str, Any]
    for given in ({"media": [("x", "x.png")]}, {"image": b"x"}, {"images": ["x"]}):
        with pytest.raises(
            errors.InvalidRequestError, match=f"^{next(iter(given))} cannot be sent"
        ):
            Mine.create_async_generator("m", HI, **given)
        assert Mine.create_async_generator("m", HI, **dict.fromkeys(given)) is not None
    if base.software != "openai":
        with pytest.raises(
            errors.InvalidRequestError, match="holds a part of the type 'image_url'"
        ):
            await Mine.create_async("", [{"role": "user", "content": image}])
    assert not list(replica.exchanges)


def test_two_names_of_a_bot_are_one() -> None:
    given: dict[str, Any]
    for given in (
        {"bot": 7},
        {"bot_id": "7"},
        {"bot": "7", "bot_id": 7},
        {"bot": None, "bot_id": 7},
    ):
        options = taken_options("Mine", "wordpress", given)
        assert options == {"bot": "7"}
    with pytest.raises(errors.InvalidRequestError, match="bot_id and bot are one, and name two"):
        taken_options("Mine", "wordpress", {"bot": "7", "bot_id": "8"})
