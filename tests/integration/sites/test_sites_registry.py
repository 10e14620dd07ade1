"""A name or a URL in, a site out; and what the site of a profile sends."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any, get_args

import pytest

import tailrace
from tailrace import ChatGptt, GeminiProChatProvider, GPROChat, Site
from tailrace._calls.token_cache import TokenCache
from tailrace.errors import (
    InvalidRequestError,
    LimitExceeded,
    MissingAuthError,
    ModelNotSupportedError,
    ProfileError,
    ProviderNotFoundError,
    ProxyError,
    ResponseStatusError,
    TimeoutError,  # noqa: A004 - ours
    WidgetNotFoundError,
)
from tailrace.replica import Question, Replica, builtin_answer
from tailrace.sites import SOFTWARE, ProfileSettings, Secret, site
from tailrace.sites._site import for_call
from tailrace.sites._software import SoftwareName
from tailrace.transport import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tailrace.replica import ServedExchange

HELLO = [{"role": "user", "content": "hello"}]
PASSWORD = "open sesame"


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1, secret="pepper", password=PASSWORD) as running:
        yield running


def profiled(
    folder: Path, lines: str, *, environ: Mapping[str, str] | None = None, name: str = "shop"
) -> Site:
    (folder / "tailrace.toml").write_text(f"[sites.Shop]\n{dedent(lines)}", encoding="utf-8")
    return site(name, environ=environ or {}, folder=folder, user_folder=folder / "none", trust=True)


async def answer(chosen: Site, **options: Any) -> str:
    if chosen.software == "wordpress":
        options = {"token_cache": TokenCache(), **options}
    return await chosen.ask("hello", **options)


def posted(replica: Replica) -> ServedExchange:
    return [each for each in replica.exchanges if each.method == "POST"][-1]


def test_a_providers_name_is_its_site() -> None:
    assert site("chatgptt") == ChatGptt.as_site()
    assert tailrace.site("GPROChat", "geminiprochat") == GPROChat.as_site()
    wrong: list[tuple[str, Any]] = [("GPROChat", "wordpress"), ("https://a.example", "gopher")]
    for name, software in wrong:
        with pytest.raises(InvalidRequestError, match=r"runs geminiprochat|no software 'gopher'"):
            site(name, software=software)
    former_names: tuple[Any, ...] = ("ai-power", "aipkit")
    for former in former_names:
        with pytest.raises(InvalidRequestError, match='write software = "wordpress"'):
            site("https://a.example", former)


def test_a_url_is_a_wordpress_page_unless_said_otherwise() -> None:
    found = site("https://user:pw@my.example:8443/help?x=1")
    assert (found.url, found.software, found.name) == (
        "https://user:pw@my.example:8443/help?x=1",
        "wordpress",
        "https://my.example:8443",
    )
    assert "pw" not in repr(found)
    assert site("http://a.example", "geminiprochat").software == "geminiprochat"
    for url in ("ftp://a.example", "http://", "http://[::1"):
        with pytest.raises(InvalidRequestError, match="the URL"):
            site(url)
    for name in (None, b"http://a.example", 5):
        with pytest.raises(InvalidRequestError, match=f"not {type(name).__name__}$"):
            site(name)  # type: ignore[arg-type]


def test_a_name_nobody_has_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        ProviderNotFoundError, match=r"no provider 'mine'.*ChatGptt.*sites: Shop; or a URL"
    ):
        profiled(tmp_path, "url = 'https://shop.example'", name="mine")
    with pytest.raises(
        ProviderNotFoundError, match=r"no tailrace\.toml that is read here names a site; or a URL"
    ):
        site("x", environ={}, folder=tmp_path / "none", user_folder=tmp_path / "none")


def test_a_wrong_file_hurts_only_who_needs_it(tmp_path: Path) -> None:
    (tmp_path / "tailrace.toml").write_text("[sites.shop]\nurl = 5")
    places: Any = {"environ": {}, "folder": tmp_path, "user_folder": tmp_path / "none"}
    assert site("ChatGptt", **places) == ChatGptt.as_site()
    assert site("http://a.example", **places).url == "http://a.example"
    with pytest.raises(ProfileError, match=r"sites\.shop\.url: expected str, got int"):
        site("other", **places)


def test_the_site_has_the_profiles_settings(tmp_path: Path) -> None:
    found = profiled(
        tmp_path,
        """
        url = "https://shop.example/help"
        endpoint = "https://shop.example/ajax"
        bot = "17"
        models = ["large", "small"]
        aliases = { best = "large" }
        timeout = 7
        """,
    )
    assert (found.name, found.software, found.bot) == ("Shop", "wordpress", "17")
    assert (found.url, found.endpoint) == (
        "https://shop.example/help",
        "https://shop.example/ajax",
    )
    assert (found.timeout, found.connect_timeout, found.total_timeout) == (7.0, 30.0, None)
    assert [found.resolve_model(name) for name in ("", "best", "small")] == [
        "large",
        "large",
        "small",
    ]
    with pytest.raises(ModelNotSupportedError, match="Shop does not know the model 'gpt-4'"):
        found.resolve_model("gpt-4")


@pytest.mark.parametrize(
    ("name", "software"),
    [
        ("ai-power", "wordpress"),
        ("ai-engine", "wordpress"),
        ("ai-engine", "ai-engine"),
        ("geminiprochat", "geminiprochat"),
    ],
)
async def test_a_site_by_url_alone_answers(replica: Replica, name: str, software: Any) -> None:
    secrets = {"secret_key": "pepper", "password": PASSWORD} if name == "geminiprochat" else {}
    text = await answer(site(replica.url(name), software), **secrets)
    assert text == await builtin_answer(Question(name, "hello", ()))


async def test_the_bot_asked_for_answers(replica: Replica, tmp_path: Path) -> None:
    page = replica.page("ai-power", "two")
    assert await answer(profiled(tmp_path, f"url = '{page}'\nbot = '5'"))
    form = posted(replica).form
    assert form is not None
    assert form["bot_id"] == "5"
    with pytest.raises(WidgetNotFoundError, match="17"):
        await answer(profiled(tmp_path, f"url = '{page}'\nbot = '17'"))


async def test_the_bot_of_that_name_answers(replica: Replica, tmp_path: Path) -> None:
    for name, bot in (("Popup pilot", "6"), ('Pilot "A" & <b>', "5")):
        lines = f"url = '{replica.page('aipkit', 'two')}'\nbot_name = '{name}'"
        assert await answer(profiled(tmp_path, lines)) == await builtin_answer(
            Question("aipkit", "hello")
        )
        assert (posted(replica).form or {})["bot_id"] == bot
    with pytest.raises(WidgetNotFoundError, match="Popup pilot"):
        await answer(
            profiled(tmp_path, f"url = '{replica.page('aipkit', 'two')}'\nbot_name = 'Nobody'")
        )


async def test_earlier_turns_go_in_the_plugins_own_form(replica: Replica, tmp_path: Path) -> None:
    found = profiled(
        tmp_path, f"url = '{replica.page('ai-power', 'stream')}'\nnative_history = true"
    )
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, *HELLO]
    await found.ask(turns, token_cache=TokenCache())
    form = posted(replica).form or {}
    assert form["message"] == "hello"
    assert "one" in form["wpaicg_chat_history"]


async def test_the_profiles_retries_and_cap_hold_unless_the_call_has_its_own(
    replica: Replica, tmp_path: Path
) -> None:
    page = replica.page("ai-power", "stream").replace("/chat", "/~fault/503/chat")
    found = profiled(
        tmp_path,
        f"url = '{page}'\nretry = {{ attempts = 2, first_wait = 0, longest_retry_after = 0 }}",
    )
    with pytest.raises(ResponseStatusError, match="503") as failed:
        await answer(found)
    assert "attempt 1 of 2 failed" in failed.value.__notes__[0]
    small = profiled(tmp_path, f"url = '{replica.page('ai-power', 'stream')}'\nmax_reply_bytes = 5")
    with pytest.raises(LimitExceeded, match="larger than 5 bytes"):
        await answer(small)
    assert await answer(small, limits=Limits()) == await builtin_answer(
        Question("ai-power", "hello")
    )


async def test_secrets_and_headers_are_sent(replica: Replica, tmp_path: Path) -> None:
    environ = {
        "KEY": "pepper",
        "PASSWORD": PASSWORD,
        "TOKEN": "t0ken",
        "COOKIES": "a=1; b = 2=3 ;; ",
    }
    found = profiled(
        tmp_path,
        f"""
        url = "{replica.url("geminiprochat")}"
        software = "geminiprochat"
        secret_key_env = "KEY"
        password_env = "PASSWORD"
        cookies_env = "COOKIES"
        headers = {{ X-Shop = "yes", Accept-Language = "de" }}
        headers_env = {{ Authorization = "TOKEN" }}
        """,
        environ=environ,
    )
    assert await answer(found)
    sent = posted(replica).headers
    assert [sent[name] for name in ("X-Shop", "Accept-Language", "Authorization")] == [
        "yes",
        "de",
        "t0ken",
    ]
    assert sorted(sent["Cookie"].split("; ")) == ["a=1", "b=2=3"]
    # A call's own are added, and win.
    assert await answer(
        found, headers={"accept-language": "fr"}, cookies={"b": "4"}, secret_key=None
    )
    sent = posted(replica).headers
    assert [sent[name] for name in ("X-Shop", "Accept-Language", "Authorization")] == [
        "yes",
        "fr",
        "t0ken",
    ]
    assert sorted(sent["Cookie"].split("; ")) == ["a=1", "b=4"]


async def test_secrets_stay_at_the_profiles_own_origin(replica: Replica, tmp_path: Path) -> None:
    found = profiled(
        tmp_path,
        """
        url = "http://127.0.0.1:9/"
        cookies_env = "COOKIES"
        headers = { X-Shop = "yes" }
        headers_env = { Authorization = "TOKEN" }
        """,
        environ={"TOKEN": "t0ken", "COOKIES": "a=1"},
    )
    assert await answer(found.replace(url=replica.url("ai-power")))
    for exchange in replica.exchanges:
        assert exchange.headers["X-Shop"] == "yes"
        assert not {"Authorization", "Cookie"} & set(exchange.headers)


async def test_nothing_is_signed_with_the_profiles_key_elsewhere(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "pepper")
    lines = "url = 'http://127.0.0.1:9/'\nsoftware = 'geminiprochat'\nsecret_key_env = 'KEY'"
    found = profiled(tmp_path, lines, environ={"KEY": "pepper"})
    elsewhere = found.replace(url=replica.url("geminiprochat"), password=PASSWORD)
    with pytest.raises(MissingAuthError, match="signature"):
        await answer(elsewhere)
    assert await answer(elsewhere, secret_key="pepper")


def test_a_classes_own_variable_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shop(GeminiProChatProvider):
        url = "http://127.0.0.1:9/"
        secret_variable = "KEY"

    monkeypatch.setenv("KEY", "pepper")
    assert Shop.generate_signature(1, "m") == GPROChat.generate_signature(1, "m", "pepper")


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    found = profiled(tmp_path, "url = 'https://shop.example'\ncookies_env = 'COOKIES'")
    with pytest.raises(
        ProfileError, match=r"sites\.Shop\.cookies_env: the environment variable COOKIES is not set"
    ):
        found.stream("hello")


async def test_the_profiles_proxy_and_clocks_hold_unless_the_call_has_its_own(
    replica: Replica, tmp_path: Path
) -> None:
    url = replica.url("ai-power")
    through = profiled(tmp_path, f"url = '{url}'\nproxy = 'http://127.0.0.1:9'")
    with pytest.raises(ProxyError):
        await answer(through)
    through = profiled(
        tmp_path, f"url = '{url}'\nproxy_env = 'P'", environ={"P": "http://u:pw@127.0.0.1:9"}
    )
    with pytest.raises(ProxyError):
        await answer(through)
    hasty = profiled(
        tmp_path,
        f"url = '{replica.url('geminiprochat')}'\nsoftware = 'geminiprochat'\ntimeout = 0.05",
        environ={},
    )
    hasty = hasty.replace(secret_key="pepper", password=PASSWORD)
    with pytest.raises(TimeoutError, match=r"first byte timeout after 0\.05 s"):
        await hasty.ask("[[silent]]")
    with pytest.raises(TimeoutError, match=r"first byte timeout after 0\.06 s"):
        await hasty.ask("[[silent]]", timeout=0.06)


async def test_the_profiles_limit_is_one_for_all_calls_of_the_site(
    replica: Replica, tmp_path: Path
) -> None:
    lines = f"url = '{replica.url('ai-power')}'\nconcurrency = 1\nrate = 100\nper = 2.5"
    first, second = profiled(tmp_path, lines), profiled(tmp_path, lines)
    limit = first.throttle
    assert limit is not None
    assert limit is second.throttle
    assert (limit.concurrency, limit.rate, limit.per) == (1, 100.0, 2.5)
    async with first.stream("hello", token_cache=TokenCache()) as stream:
        assert await stream.read()
        assert limit.under_way == 1
    assert limit.under_way == 0
    assert await answer(second)
    other = profiled(tmp_path, f"url = '{replica.url('ai-power')}'\nrate = 5")
    assert other.throttle is not None
    assert (other.throttle.concurrency, other.throttle.rate, other.throttle.per) == (
        None,
        5.0,
        60.0,
    )
    assert profiled(tmp_path, "url = 'http://a.example'").throttle is None


def test_type_checkers_know_every_software() -> None:
    assert get_args(SoftwareName) == tuple(SOFTWARE)


def test_every_software_has_its_keys() -> None:
    settings = {key.removesuffix("_env") for key in ProfileSettings.__struct_fields__}
    own = {name: sorted(row.options & settings) for name, row in SOFTWARE.items()}
    assert own == {
        "wordpress": ["bot", "bot_name", "native_history"],
        "ai-engine": ["bot", "bot_name"],
        "geminiprochat": ["password", "secret_key"],
        "chatgpt-demo": ["password", "secret_key"],
        "openai": ["api", "api_key"],
        "anthropic": ["api_key"],
        "gemini": ["api_key"],
        "ollama": ["api_key"],
    }


def test_every_secret_of_a_software_reaches_its_call(tmp_path: Path) -> None:
    for name, row in SOFTWARE.items():
        keys = [key for key in ProfileSettings.__struct_fields__ if key.endswith("_env")]
        keys = [key for key in keys if key.removesuffix("_env") in row.options]
        lines = "\n".join(
            [
                f"url = 'http://a.example'\nsoftware = '{name}'",
                *(f"{key} = '{key}'" for key in keys),
            ]
        )
        found = profiled(tmp_path, lines, environ={key: f"value of {key}" for key in keys})
        names = [key.removesuffix("_env") for key in keys]
        for option in names:
            assert isinstance(getattr(found, option), Secret)

        def sent(url: str, found: Site = found, names: list[str] = names) -> list[object]:
            called = for_call(found.replace(url=url), {})
            return [getattr(called, option) for option in names]

        assert sent("http://a.example/other") == [f"value of {key}" for key in keys]
        assert sent("http://b.example/") == [None] * len(keys)
        assert sent("https://a.example/") == [None] * len(keys)
