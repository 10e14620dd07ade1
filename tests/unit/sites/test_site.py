"""A site as a value: what it is made of, what it refuses, and what it shows of itself."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

import tailrace
from tailrace import ChatGptt, IterListProvider, RetryPolicy, Site, Throttle, sites
from tailrace._calls.token_cache import TokenCache
from tailrace._environment import Environment
from tailrace.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ModelNotSupportedError,
    ProfileError,
)
from tailrace.sites import SOFTWARE, CallOptions, Secret, SiteOptions
from tailrace.sites._registry import as_site
from tailrace.sites._site import for_call
from tailrace.transport import Limits, make_transport

URL = "https://shop.example/help"
SECRETS: dict[str, Any] = {
    "secret_key": "pepper",
    "password": "sesame",
    "proxy": "http://me:hunter2@proxy.example",
    "headers": {"Authorization": "t0ken"},
    "cookies": {"session": "c00kie"},
}


def test_a_url_is_enough() -> None:
    site = Site(URL)
    assert (site.url, site.software, site.name) == (URL, "wordpress", "https://shop.example")
    assert (site.timeout, site.connect_timeout, site.total_timeout) == (120.0, 30.0, None)
    assert (site.model, site.listed_models, site.aliases, site.retry) == ("", (), {}, None)
    assert tailrace.Site is sites.Site is Site


def option_of(field: dataclasses.Field[Any]) -> str | None:
    """Return the option that a field keeps, None for a private one."""
    if field.name.startswith("_"):
        return None
    return "models" if field.name == "listed_models" else field.name


def test_the_options_are_those_type_checkers_see() -> None:
    assert set(map(option_of, dataclasses.fields(Site))) - {None} == {
        "url",
        *SiteOptions.__annotations__,
    }
    own = set().union(*(row.options for row in SOFTWARE.values()))
    assert own < set(CallOptions.__annotations__) < set(SiteOptions.__annotations__)


@pytest.mark.parametrize("name", sorted(SiteOptions.__annotations__))
def test_every_option_stands_in_the_documentation(name: str) -> None:
    parameters = {"frequency_penalty", "logit_bias", "max_completion_tokens", "presence_penalty",
                  "reasoning_effort", "response_format", "user"}  # fmt: skip
    if name not in parameters:  # "the other parameters of the API"
        assert f"``{name}``" in (Site.__doc__ or "")


def test_it_never_changes() -> None:
    given: dict[str, Any] = {"models": ["a"], "aliases": {"b": "a"}, "headers": {"X": "y"}}
    site = Site(URL, **given)
    with pytest.raises(dataclasses.FrozenInstanceError):
        site.url = "https://other.example"  # type: ignore[misc]
    with pytest.raises(TypeError):
        site.headers["X"] = "z"  # type: ignore[index]
    given["models"].append("c")
    given["aliases"]["d"] = "a"
    given["headers"]["X"] = "changed"
    assert (site.listed_models, dict(site.aliases), dict(site.headers)) == (
        ("a",),
        {"b": "a"},
        {"X": "y"},
    )


def test_nothing_that_a_request_says_changes_with_what_it_was_made_of() -> None:
    given: dict[str, Any] = {
        "stop": ["a"],
        "logit_bias": {"1": 1.0},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n"}},
    }
    site = Site(URL, software="openai", **given)
    given["stop"].append("b")
    given["logit_bias"]["2"] = 2.0
    given["response_format"]["json_schema"]["name"] = "other"
    assert (site.stop, site.logit_bias) == (["a"], {"1": 1.0})
    assert site.response_format == {"type": "json_schema", "json_schema": {"name": "n"}}


def test_a_copy_is_the_site_itself() -> None:
    site = Site(URL, throttle=Throttle(concurrency=1))
    assert copy.copy(site) is copy.deepcopy(site) is copy.deepcopy([site])[0] is site
    other = dataclasses.replace(site, model="m")
    assert (other.model, other.throttle) == ("m", site.throttle)


def test_equal_sites_are_equal() -> None:
    assert Site(URL, bot="7") == Site(URL, bot="7") != Site(URL, bot="8")
    assert Site(URL, timeout=None) != Site(URL)
    assert len({Site(URL), Site(URL), Site(URL, name="shop")}) == 2
    site = Site(URL, software="geminiprochat", **SECRETS)
    assert pickle.loads(pickle.dumps(site)) == site  # noqa: S301 - made here


def test_its_repr_shows_no_secret() -> None:
    shown = repr(
        Site(
            "https://me:hunter2@shop.example/help",
            software="geminiprochat",
            name="shop",
            endpoint="https://me:hunter2@shop.example/post",
            model="m",
            timeout=None,
            **SECRETS,
        )
    )
    assert shown == (
        "Site('https://shop.example/help', software='geminiprochat', name='shop', "
        "endpoint='https://shop.example/post', model='m', timeout=None)"
    )
    key = repr(Site(URL, software="openai", api_key="sk-1", user="me", models=["m"]))
    assert key == "Site('https://shop.example/help', software='openai', models=('m',))"


# -- names that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("time_out", "timeout"),
        ("timout", "timeout"),
        ("cookie", "cookies"),
        ("Headers", "headers"),
        ("bot_id", "bot"),
        ("native_histroy", "native_history"),
        ("apikey", "api_key"),
        ("default_model", "model"),
        ("transport_kind", "transport"),
        ("timeuot", "timeout"),
        ("temprature", "temperature"),
        ("base_url", "url"),
        ("api_base", "url"),
    ],
)
async def test_a_misspelt_option_is_refused_with_the_name_that_was_meant(
    name: str, meant: str
) -> None:
    site = Site(URL)
    given: dict[str, Any] = {name: 1}
    match = f"has no option '{name}': did you mean '{meant}'\\? The options are a"
    with pytest.raises(TypeError, match=f"^Site {match}"):
        Site(URL, **given)
    with pytest.raises(TypeError, match=f"^Site.replace {match}"):
        site.replace(**given)
    with pytest.raises(TypeError, match=f"^Site.stream {match}"):
        site.stream("hello", **given)
    with pytest.raises(TypeError, match=f"^Site.ask {match}"):
        await site.ask("hello", **given)
    with pytest.raises(TypeError, match=f"^Site.conversation {match}"):
        site.conversation(**given)


def test_a_name_like_none_is_refused_with_all_there_are() -> None:
    given: dict[str, Any] = {"zzz": 1}
    with pytest.raises(
        TypeError, match=r"has no option 'zzz'\. The options are aliases, api, api_key"
    ):
        Site(URL, **given)
    for name in ("functions", "messages", "media"):
        given = {name: 1}
        with pytest.raises(TypeError, match=f"has no option '{name}'"):
            Site(URL, software="openai", **given)
    given = {"software": "openai"}
    with pytest.raises(TypeError, match=r"Site\.stream has no option 'software'"):
        Site(URL).stream("hello", **given)


# -- values that are none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"software": "gopher"}, "there is no software 'gopher': expected one of wordpress, "),
        ({"software": 5}, "there is no software 5"),
        ({"software": "ai-power"}, 'is now called wordpress: write software = "wordpress"'),
        ({"software": "aipkit"}, 'is now called wordpress: write software = "wordpress"'),
        ({"secret_key": "x"}, "a site of the software wordpress has no option 'secret_key'"),
        ({"temperature": 1}, "a site of the software wordpress has no option 'temperature'"),
        (
            {"software": "geminiprochat", "temperature": 1},
            "the software geminiprochat has no option 'temperature'",
        ),
        ({"software": "openai", "bot": "7"}, "the software openai has no option 'bot'"),
        ({"software": "openai", "thread_id": "t"}, "the software openai has no option 'thread_id'"),
        ({"name": ""}, "name must not be empty"),
        ({"name": 5}, "name must be text, not int"),
        ({"model": 5}, "model must be text, not int"),
        ({"models": "gpt-4"}, "models must be a list of names, not str"),
        ({"models": [5]}, "each of models must be text, not int"),
        ({"aliases": ["a"]}, "aliases must be a mapping of names to models, not list"),
        ({"aliases": {1: "a"}}, "each name in aliases must be text, not int"),
        ({"aliases": {"a": 1}}, "each model in aliases must be text, not int"),
        ({"endpoint": "https://other.example/x"}, "endpoint must be at https://shop.example"),
        ({"endpoint": "/x"}, "endpoint must be a whole URL at https://shop.example"),
        ({"headers": "a: b"}, "headers must be a mapping of names to values, not str"),
        ({"cookies": "a=b"}, "cookies must be a mapping of names to values, not str"),
        ({"proxy": 5}, "proxy must be a URL, not int"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"connect_timeout": "5"}, "connect_timeout must be a number of seconds above 0"),
        ({"total_timeout": -1}, "total_timeout must be a number of seconds above 0"),
        ({"comments_restart_idle": 1}, "comments_restart_idle must be true or false, not int"),
        ({"limits": 5}, "limits must be tailrace.transport.Limits, not int"),
        ({"retry": 3}, "retry must be a RetryPolicy, not int"),
        ({"throttle": 3}, "throttle must be a Throttle, not int"),
        ({"transport": "carrier"}, "transport must be 'aiohttp', 'impersonate' or a Transport"),
        ({"environment": {}}, "environment must be an Environment, not dict"),
        ({"bot": 7}, "bot must be text, not int"),
        ({"native_history": "yes"}, "native_history must be true or false"),
        ({"make_prompt": "x"}, "make_prompt must be a function"),
        ({"nonce": "\ud800", "post_id": "1"}, "nonce holds half a surrogate pair"),
        ({"software": "geminiprochat", "make_signature": 7}, "make_signature must be a function"),
        ({"token_cache": {}}, "token_cache must be a TokenCache, not dict"),
        ({"thread_id": "two\nlines"}, "thread_id must be visible ASCII text"),
        ({"software": "geminiprochat", "secret_key": 5}, "secret_key must be text, not int"),
        ({"software": "geminiprochat", "clock_offsets": {}}, "clock_offsets must be ClockOffsets"),
        ({"software": "chatgpt-demo", "temperature": "hot"}, "temperature must be a number"),
        ({"software": "openai", "api_key": 7}, "api_key must be text, not int"),
        (
            {"software": "openai", "extra": 7},
            "extra must be a mapping of names to values",
        ),
        ({"software": "openai", "extra": {"stream": 0}}, "extra must not hold stream"),
        ({"software": "openai", "extra": {"seed": 1}}, "extra must not hold seed"),
        ({"software": "openai", "stream_options": [1]}, "stream_options must be a mapping"),
        ({"extra": {}}, "a site of the software wordpress has no option 'extra'"),
        ({"stream_options": {}}, "the software wordpress has no option 'stream_options'"),
        ({"model": "q", "models": ["m"]}, "does not know the model 'q'; it knows m"),
        ({"models": ["m"], "aliases": {"a": "q"}}, "does not know the model 'q'; it knows m, a"),
        ({"model": "a", "models": ["m"], "aliases": {"a": "q"}}, "does not know the model 'q'"),
        ({"bot": Secret(variable="BOT")}, "bot cannot be a Secret"),
        ({"software": "openai", "user": Secret(variable="ME")}, "user cannot be a Secret"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        Site(URL, **options)
    assert says in str(refused.value)


@pytest.mark.parametrize("url", ["", "shop.example", "ftp://shop.example", "http://[::1", 5])
def test_a_url_that_is_none(url: Any) -> None:
    with pytest.raises(InvalidRequestError, match="URL"):
        Site(url)


def test_a_calls_option_is_refused_as_a_sites() -> None:
    site = Site(URL)
    given: dict[str, Any]
    for given, says in (
        ({"timeout": -1}, "timeout must be"),
        ({"api_key": "x"}, "the software wordpress has no option 'api_key'"),
        ({"cookies": "a=b"}, "cookies must be a mapping"),
        ({"environment": 5}, "environment must be an Environment"),
    ):
        with pytest.raises(InvalidRequestError, match=says):
            site.stream("hello", **given)
        with pytest.raises(InvalidRequestError, match=says):
            site.conversation(**given)


# -- another site ----------------------------------------------------------------------------------


def test_replace_makes_another_site() -> None:
    site = Site(URL, name="shop", bot="7", timeout=5, retry=RetryPolicy())
    other = site.replace(bot="8", timeout=None, retry=None)
    assert (other.name, other.bot, other.timeout, other.retry) == ("shop", "8", None, None)
    assert (site.bot, site.timeout) == ("7", 5.0)
    assert site.replace() == site
    assert site.replace(bot=None) == Site(URL, name="shop", timeout=5, retry=RetryPolicy())


@pytest.mark.parametrize(
    ("software", "endpoint", "moved"),
    [
        ("wordpress", "https://shop.example/sub/ajax.php", "https://other.example/sub/ajax.php"),
        ("geminiprochat", "https://shop.example/api/generate", None),
        ("chatgpt-demo", "https://shop.example/api/generate", None),
        ("openai", "https://shop.example/v1/chat/completions", None),
    ],
)
def test_the_endpoint_follows_the_url(software: Any, endpoint: str, moved: str | None) -> None:
    site = Site(URL, software=software, endpoint=endpoint)
    assert site.endpoint == endpoint
    assert site.replace(bot=None).endpoint == endpoint
    other = site.replace(url="https://other.example/page")
    assert (other.url, other.endpoint) == ("https://other.example/page", moved)
    assert site.replace(url=f"{URL}/").endpoint == endpoint
    own = "https://other.example/own"
    assert site.replace(url="https://other.example/", endpoint=own).endpoint == own


def test_no_stream_options_are_an_option() -> None:
    site = Site(URL, software="openai")
    assert site.stream_options == {"include_usage": True}
    without = site.replace(stream_options=None)
    assert (without.stream_options, site.stream_options) == (None, {"include_usage": True})
    assert without != site
    assert without.replace(model="m").stream_options is None
    assert for_call(site, {"stream_options": None}).stream_options is None
    assert pickle.loads(pickle.dumps(without)) == without  # noqa: S301 - made here
    assert dataclasses.replace(without, model="m").stream_options is None
    assert Site(URL, stream_options=None) == Site(URL)


def test_an_unnamed_site_is_called_after_its_origin() -> None:
    assert Site(URL).replace(url="https://other.example/x").name == "https://other.example"
    assert Site(URL, name="shop").replace(url="https://other.example/x").name == "shop"


def test_a_model_is_resolved() -> None:
    site = Site(URL, name="shop", models=["large", "small"], aliases={"best": "large"})
    assert [site.resolve_model(each) for each in ("", "best", "small")] == [
        "large",
        "large",
        "small",
    ]
    with pytest.raises(ModelNotSupportedError, match="shop does not know the model 'x'; it knows"):
        site.resolve_model("x")
    with pytest.raises(ModelNotFoundError, match="is a name, not int"):
        site.resolve_model(5)  # type: ignore[arg-type]
    assert site.replace(model="best").default_model == "large"
    with pytest.raises(ModelNotSupportedError, match="does not know the model 'x'"):
        site.replace(model="x")
    with pytest.raises(ModelNotSupportedError, match="does not know the model 'x'"):
        site.stream("hello", model="x")
    assert Site(URL).resolve_model("anything") == "anything"
    assert Site(URL).resolve_model() == ""


def test_a_class_describes_a_site() -> None:
    limit = Throttle(concurrency=2)

    class Mine(ChatGptt):
        url = "https://mine.example/help"
        bot_id = "7"
        throttle = limit

    site = Mine.as_site()
    assert (site.name, site.url, site.bot, site.throttle) == ("Mine", Mine.url, "7", limit)
    assert site.endpoint == "https://mine.example/wp-admin/admin-ajax.php"
    assert (site.listed_models, site.default_model) == (
        ("gpt-4", "gpt-4o", "gpt-4o-mini"),
        "gpt-4o",
    )
    assert Mine.as_site("https://other.example").url == "https://other.example"


@pytest.mark.parametrize("first", ["bot", "bot_id"])
def test_bot_and_bot_id_of_a_class_are_one(first: str) -> None:
    second = "bot_id" if first == "bot" else "bot"
    base: Any = type("Base", (ChatGptt,), {first: 7})
    assert base.as_site().bot == "7"
    assert type("Next", (base,), {second: "8"}).as_site().bot == "8"  # type: ignore[attr-defined]
    assert type("None_", (base,), {second: None}).as_site().bot is None  # type: ignore[attr-defined]
    instance = base()
    setattr(instance, second, "9")
    assert instance.as_site().bot == "9"
    with pytest.raises(InvalidRequestError, match="Two: bot and bot_id are one"):
        type("Two", (base,), {first: "1", second: "2"}).as_site()  # type: ignore[attr-defined]
    assert type("Same", (base,), {first: "1", second: 1}).as_site().bot == "1"  # type: ignore[attr-defined]


def test_a_class_whose_own_call_would_be_passed_over_is_refused() -> None:
    class Own(ChatGptt):
        @classmethod
        def create_async_generator(cls, *arguments: Any, **options: Any) -> Any:
            return super().create_async_generator(*arguments, **options)

    assert as_site(ChatGptt) == ChatGptt.as_site()
    assert as_site(Own.as_site()) == Own.as_site()
    with pytest.raises(InvalidRequestError, match="Own has a create_async_generator of its own"):
        as_site(Own)

    class Picky(ChatGptt):
        @classmethod
        def get_model(cls, model: str, **options: Any) -> str:
            return super().get_model(model, **options)

    with pytest.raises(InvalidRequestError, match="Picky has a get_model of its own"):
        as_site(Picky)
    for other in (IterListProvider([Own]), "ChatGptt", None):
        with pytest.raises(InvalidRequestError, match=f"not {type(other).__name__}$"):
            as_site(other)  # type: ignore[arg-type]


# -- a call's view of a site -----------------------------------------------------------------------


def test_a_calls_options_stand_in_front() -> None:
    site = Site(
        URL,
        timeout=5,
        proxy="http://proxy.example",
        retry=RetryPolicy(),
        limits=Limits(max_redirects=1),
        headers={"A": "1", "B": "2"},
        cookies={"c": "3"},
    )
    called = for_call(site, {"timeout": None, "headers": {"B": "4"}, "cookies": {"d": "5"}})
    assert (called.timeout, called.headers, called.cookies) == (
        None,
        {"A": "1", "B": "4"},
        {"c": "3", "d": "5"},
    )
    same = for_call(site, {"proxy": None, "limits": None, "retry": None})
    assert (same.proxy, same.limits, same.retry) == (site.proxy, site.limits, None)


def test_a_secret_is_read_when_a_call_begins() -> None:
    environ: dict[str, str] = {}
    site = Site(
        URL,
        software="geminiprochat",
        secret_key=Secret(variable="KEY", environ=environ, default="none"),
        password=Secret(variable="PASSWORD", environ=environ, origin="https://shop.example"),
        cookies=Secret(variable="COOKIES", environ=environ, default="a=1; b = 2=3 ;; "),
        headers={"Authorization": Secret(variable="TOKEN", environ=environ, default="t"), "X": "y"},
    )
    with pytest.raises(InvalidRequestError, match="the environment variable PASSWORD is not set"):
        site.stream("hello")
    environ |= {"KEY": "pepper", "PASSWORD": "sesame"}
    called = for_call(site, {"cookies": {"c": "4"}})
    assert (called.secret_key, called.password) == ("pepper", "sesame")
    assert called.cookies == {"a": "1", "b": "2=3", "c": "4"}
    assert called.headers == {"Authorization": "t", "X": "y"}
    elsewhere = for_call(site.replace(url="https://other.example"), {})
    assert (elsewhere.secret_key, elsewhere.password) == ("pepper", None)
    assert not {"pepper", "sesame"} & set(repr(site).split("'"))


def test_a_profiles_secret_names_its_file() -> None:
    secret = Secret(variable="KEY", environ={}, file="tailrace.toml", key="sites.shop.key_env")
    with pytest.raises(
        ProfileError, match=r"tailrace\.toml: sites\.shop\.key_env: the environment"
    ):
        Site(URL, software="geminiprochat", secret_key=secret).stream("hello")


def test_a_site_with_a_throttle_is_pickled_and_counts_for_itself() -> None:
    throttle = Throttle(concurrency=2, rate=30, per=10)
    copied = pickle.loads(pickle.dumps(Site("https://a.example", throttle=throttle)))  # noqa: S301
    assert copied.throttle is not throttle
    assert repr(copied.throttle) == repr(throttle)
    assert copy.deepcopy(Site("https://a.example", throttle=throttle)).throttle is throttle


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transport", make_transport()),
        ("token_cache", TokenCache()),
        ("environment", Environment()),
        ("make_prompt", lambda _turns: ""),
    ],
)
def test_what_cannot_be_pickled_is_named(name: str, value: Any) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(InvalidRequestError, match=f"a site with {name} cannot be pickled") as error:
        pickle.dumps(Site("https://a.example", **options))
    assert error.value.__context__ is None


@pytest.mark.parametrize("name", ["bot", "bot_name", "nonce", "post_id"])
def test_half_a_surrogate_pair_in_an_option_is_refused(name: str) -> None:
    options: dict[str, Any] = {name: "\ud800"}
    with pytest.raises(InvalidRequestError, match=f"{name} holds half a surrogate pair"):
        Site("https://a.example", **options)
