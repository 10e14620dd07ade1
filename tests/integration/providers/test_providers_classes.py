"""The classes as code written for gpt4free, and the seeds' documents, use them."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from calls_site import AJAX, DONE, NONCE, SSE, TEXT, Asked, Line, Site, bot, delta, page

import tailrace
from tailrace import (
    AsyncGeneratorProvider,
    ChatGptEs,
    ChatgptFree,
    ChatGptt,
    ChatStream,
    GPROChat,
    Messages,
    ProviderModelMixin,
    WordPressChatProvider,
    errors,
    format_prompt,
    providers,
)
from tailrace._calls.token_cache import TokenCache
from tailrace.providers import provider_named, site_providers
from tailrace.replica import Replica
from tailrace.transport import make_transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from calls_site import Answer

    from tailrace.providers import ChatProvider

ALL: list[type[ChatProvider]] = [ChatGptt, ChatgptFree, ChatGptEs, GPROChat]
WORDPRESS: list[type[WordPressChatProvider]] = [ChatGptt, ChatgptFree, ChatGptEs]
HELLO = [{"role": "user", "content": "Hello"}]

ATTRIBUTES: dict[type[ChatProvider], Mapping[str, Any]] = {
    ChatGptt: {
        "url": "https://chatgptt.me",
        "api_endpoint": "https://chatgptt.me/wp-admin/admin-ajax.php",
        "working": True,
        "needs_auth": False,
        "supports_stream": True,
        "supports_system_message": True,
        "supports_message_history": True,
        "default_model": "gpt-4o",
        "models": ["gpt-4", "gpt-4o", "gpt-4o-mini"],
        "model_aliases": {},
    },
    ChatgptFree: {
        "url": "https://chatgptfree.ai",
        "working": True,
        "needs_auth": False,
        "supports_stream": True,
        "_post_id": None,
        "_nonce": None,
        "default_model": "gpt-4o-mini-2024-07-18",
        "models": ["gpt-4o-mini-2024-07-18"],
        "model_aliases": {"gpt-4o-mini": "gpt-4o-mini-2024-07-18"},
    },
    ChatGptEs: {
        "url": "https://chatgpt.es",
        "api_endpoint": "https://chatgpt.es/wp-admin/admin-ajax.php",
        "working": True,
        "needs_auth": False,
        "supports_stream": True,
        "supports_system_message": False,
        "supports_message_history": False,
        "default_model": "gpt-4o",
        "models": ["gpt-4", "gpt-4o", "gpt-4o-mini"],
        "transport_kind": "impersonate",
    },
    GPROChat: {
        "url": "https://gprochat.com",
        "api_endpoint": "https://gprochat.com/api/generate",
        "working": True,
        "needs_auth": False,
        "supports_stream": True,
        "supports_message_history": True,
        "default_model": "gemini-1.5-pro",
    },
}


@pytest.mark.parametrize("provider", ALL)
def test_attributes(provider: type[ChatProvider]) -> None:
    assert {name: getattr(provider, name) for name in ATTRIBUTES[provider]} == ATTRIBUTES[provider]
    assert issubclass(provider, AsyncGeneratorProvider)
    assert issubclass(provider, ProviderModelMixin)
    instance: Any = provider()  # the seeds make one
    assert instance.default_model == provider.default_model


def test_names() -> None:
    for name in (
        "ChatGptt",
        "ChatgptFree",
        "ChatGptEs",
        "GPROChat",
        "AsyncGeneratorProvider",
        "ProviderModelMixin",
    ):
        assert getattr(tailrace, name) is getattr(providers, name)
        assert name in dir(tailrace)
        assert name in dir(providers)
    assert site_providers() == ALL
    for module in (tailrace, providers):
        with pytest.raises(AttributeError, match="ChatGpttt"):
            module.ChatGpttt  # noqa: B018


@pytest.mark.parametrize("provider", ALL)
def test_a_provider_is_found_by_its_name(provider: type[ChatProvider]) -> None:
    for name in (provider.__name__, provider.__name__.upper(), provider.__name__.lower()):
        assert provider_named(name) is provider


def test_a_name_nobody_has() -> None:
    with pytest.raises(
        errors.ProviderNotFoundError, match=r"'Nobody'; there are ChatGptt, .*GPROChat"
    ):
        provider_named("Nobody")


@pytest.mark.parametrize("provider", ALL)
def test_parameters(provider: type[ChatProvider]) -> None:
    names = list(inspect.signature(provider.create_async_generator).parameters)
    assert names[:5] == ["model", "messages", "proxy", "timeout", "cookies"]
    assert inspect.signature(provider.create_async_generator).parameters["timeout"].default == 120
    for name in ("model", "messages", "proxy", "timeout", "cookies", "url", "transport"):
        assert f"\n    {name}:" in provider.params
    assert provider.params.startswith(f"{provider.__name__} supports: (")
    assert provider.get_dict() == {
        "name": provider.__name__,
        "url": provider.url,
        "label": provider.label,
    }
    assert provider.get_create_function() == provider.create_completion
    assert provider.get_async_create_function() == provider.create_async_generator


@pytest.mark.parametrize("provider", ALL)
def test_models(provider: type[ChatProvider]) -> None:
    listed = provider.models or [provider.default_model]
    assert provider.get_models() == listed
    for given, resolved in [
        ("", provider.default_model),
        *((each, each) for each in listed),
        *aliases(provider),
    ]:
        assert provider.get_model(given, more="ignored") == resolved
        assert provider.last_model == resolved


def aliases(provider: type[ChatProvider]) -> list[tuple[str, str]]:
    return list(provider.model_aliases.items())


@pytest.mark.parametrize("provider", WORDPRESS)
def test_a_model_that_is_not_listed(provider: type[ChatProvider]) -> None:
    provider.get_model("")
    with pytest.raises(errors.ModelNotSupportedError) as caught:
        provider.get_model("gpt-3")
    assert isinstance(caught.value, errors.ModelNotFoundError)
    for name in ("gpt-3", *provider.models, *provider.model_aliases):
        assert name in str(caught.value)
    assert provider.last_model == provider.default_model  # what failed is not what was used


def test_where_no_models_are_listed_any_is_taken() -> None:
    assert GPROChat.get_model("gemini-imaginary") == "gemini-imaginary"


def test_last_model_is_each_class_s_own() -> None:
    ChatGptt.get_model("gpt-4")
    ChatGptEs.get_model("gpt-4o")
    assert (ChatGptt.last_model, ChatGptEs.last_model) == ("gpt-4", "gpt-4o")


def test_an_instances_own_models_count() -> None:
    instance: Any = ChatGptt()
    instance.models, instance.default_model = ["mine"], "mine"
    instance.model_aliases = {"m": "mine"}
    assert instance.get_models() == ["mine"]
    assert [instance.get_model(name) for name in ("", "m", "mine")] == ["mine"] * 3
    with pytest.raises(errors.ModelNotSupportedError, match=r"^ChatGptt does not know"):
        instance.get_model("gpt-4")
    assert ChatGptt.get_model("gpt-4") == "gpt-4"


# -- prompts ---------------------------------------------------------------------------------------

TALK = Messages(
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": " "},
        {
            "role": "user",
            "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}],
        },
    ]
)


def said(text: Any, role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": text}]


@pytest.mark.parametrize(
    ("messages", "options", "prompt"),
    [
        (said("Hi"), {}, "Hi"),
        (said(" Hi\n"), {}, " Hi\n"),
        (said("Hi", "system"), {}, "Hi"),
        (said("Hi"), {"add_special_tokens": True}, "User: Hi\nAssistant:"),
        (said("Hi"), {"add_special_tokens": True, "do_continue": True}, "User: Hi"),
        (TALK, {}, "System: Be brief.\nUser: Hi\nUser: one two\nAssistant:"),
        (TALK, {"do_continue": True}, "System: Be brief.\nUser: Hi\nUser: one two"),
        (TALK, {"include_system": False}, "User: Hi\nUser: one two\nAssistant:"),
        (said(["a", {"text": "b"}, {"type": "image_url"}]), {}, "ab"),
        (said({"type": "text", "text": "a"}), {}, "a"),
        (said(None), {}, ""),
        (tuple(said("Hi")), {}, "Hi"),
        (said("a\ud800"), {}, "a�"),
    ],
)
def test_prompts(messages: Any, options: dict[str, bool], prompt: str) -> None:
    assert format_prompt(messages, **options) == prompt


def test_no_messages_have_no_prompt() -> None:
    with pytest.raises(ValueError, match="empty"):
        format_prompt([])


# -- calls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", WORDPRESS)
async def test_the_seeds_examples(provider: type[WordPressChatProvider]) -> None:
    async with Site(bot(delta("Hel"), delta("lo"), DONE)) as site:

        class Here(provider):  # type: ignore[misc, valid-type]
            url = site.url
            api_endpoint = f"{site.url}{AJAX}"
            token_cache = TokenCache[Any]()

        instance = Here()
        stream = instance.create_async_generator(
            model=instance.default_model, messages=Messages(HELLO)
        )
        assert isinstance(stream, ChatStream)
        assert [chunk async for chunk in stream] == ["Hel", "lo"]
        assert await Here.create_async(model="", messages=HELLO, proxy=None) == "Hello"


async def test_another_deployment_takes_the_endpoint_along() -> None:
    async with Site(bot(delta("hi"), DONE)) as site:
        for url, page_path in ((site.url, "/"), (f"{site.url}/help/?a=b", "/help/?a=b")):
            site.asked.clear()
            assert await ChatGptt.create_async("", HELLO, url=url, token_cache=TokenCache()) == "hi"
            assert [each.path for each in site.asked] == [page_path, AJAX]


BELOW = "/blog"


def in_subfolder(names: str) -> Answer:
    """A page's server whose WordPress lies below its root; the page says so by `names`."""

    async def answer(asked: Asked, line: Line) -> None:
        if asked.method == "GET":
            said = names.format(host=asked.headers["host"], below=BELOW, ajax=f"{BELOW}{AJAX}")
            await line.reply(page(rest=said))
        elif asked.path.endswith("/api/generate"):
            await line.reply(b"hi", TEXT)
        else:
            await line.reply(delta("hi") + DONE, SSE)

    return answer


PARAMS = '<script>var wpaicgParams = {{"ajax_url": "http://{host}{ajax}"}};</script>'
ROOT = '<link rel="https://api.w.org/" href="http://{host}{below}/wp-json/">'
ELSEWHERE = '<script>var wpaicgParams = {{"ajax_url": "http://elsewhere.example{ajax}"}};</script>'


@pytest.mark.parametrize("way", ["call", "class", "subclass", "instance"])
@pytest.mark.parametrize("names", [PARAMS, ROOT])
@pytest.mark.parametrize("provider", ALL)
async def test_a_site_in_a_subfolder_is_asked_there(
    provider: type[ChatProvider], names: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache: TokenCache[Any] = TokenCache()
    async with Site(in_subfolder(names)) as site:
        url = f"{site.url}{BELOW}/"
        called: Any = provider
        if way == "class":
            monkeypatch.setattr(provider, "url", url)
        elif way == "subclass":
            called = type("Mine", (provider,), {"url": url})
        elif way == "instance":
            called = provider()
            called.url = url
        options = {"url": url} if way == "call" else {}
        if provider is not GPROChat:
            options["token_cache"] = cache  # type: ignore[assignment]
        assert await called.create_async("", HELLO, **options) == "hi"
        posted = [each.path for each in site.asked if each.method == "POST"]
    assert posted == [BELOW + ("/api/generate" if provider is GPROChat else AJAX)]


async def test_a_page_that_names_an_endpoint_elsewhere_is_posted_to_its_own_server() -> None:
    """As a copy of a site's page does; whoever states no endpoint is told so."""
    async with Site(in_subfolder(ELSEWHERE)) as site:
        for url in (site.url, f"{site.url}{BELOW}/"):
            assert await ChatGptt.create_async("", HELLO, url=url, token_cache=TokenCache()) == "hi"
        assert [each.path for each in site.asked if each.method == "POST"] == [AJAX] * 2
        with pytest.raises(errors.EndpointError, match=r"at elsewhere\.example"):
            await WordPressChatProvider.create_async("", HELLO, url=url, token_cache=TokenCache())


async def test_an_endpoint_that_is_no_whole_url_is_refused_by_its_name() -> None:
    class Relative(ChatGptt):
        api_endpoint = AJAX

    with pytest.raises(
        errors.InvalidRequestError, match=r"Relative\.api_endpoint must be a whole URL"
    ):
        await Relative.create_async("", HELLO)


async def test_roles_of_the_signed_app_are_compared_without_case() -> None:
    async with Site(bot(b"hi", content_type="text/plain")) as site:
        messages: Any = [
            {"role": "SYSTEM", "content": "Be brief."},
            {"role": "User", "content": "a"},
            {"role": "Assistant", "content": "b"},
            {"role": "tool", "content": "c"},
        ]
        assert await GPROChat.create_async("", messages, url=site.url) == "hi"
        sent = json.loads(site.asked[-1].body)["messages"]
        assert [each["role"] for each in sent] == ["user", "model", "user"]


async def test_another_deployment_of_the_signed_app() -> None:
    async with Site(bot(b"hi", content_type="text/plain")) as site:
        for path in ("", "/", "/chat", "/chat/", "/chat?x=1#y"):
            assert await GPROChat.create_async("", HELLO, url=site.url + path) == "hi"
        below = ["/api/generate"] * 2 + ["/chat/api/generate"] * 3
        assert [each.path for each in site.asked] == below


async def test_a_bot_of_ones_own_in_three_lines() -> None:
    async with Replica() as replica:

        class MyBot(WordPressChatProvider):
            url = replica.page("ai-power", "stream")
            token_cache = TokenCache[Any]()

        assert MyBot.get_models() == []
        assert "You asked" in await MyBot.create_async("any-model", HELLO)
        assert [each.path for each in replica.exchanges] == ["/chat-stream/", AJAX]


async def test_a_nonce_and_post_id_of_the_class_need_no_page() -> None:
    class Fixed(ChatgptFree):
        _nonce = NONCE
        _post_id = "7"

    class Half(ChatgptFree):
        _nonce = NONCE

    async with Site(bot(delta("hi"), DONE, pages=lambda: page("fromthepage", "8"))) as site:
        assert await Fixed.create_async("", HELLO, url=site.url) == "hi"
        assert await Half.create_async("", HELLO, url=site.url, token_cache=TokenCache()) == "hi"
        forms = [each.form for each in site.asked if each.method == "POST"]
        assert [(form["_wpnonce"], form["post_id"]) for form in forms] == [
            (NONCE, "7"),
            ("fromthepage", "8"),
        ]
        assert site.methods["GET"] == 1


@pytest.mark.parametrize("provider", ALL)
async def test_connections_can_be_shared(provider: type[ChatProvider]) -> None:
    async with Replica() as replica, make_transport(provider.transport_kind) as transport:
        options: dict[str, Any] = {"transport": transport}
        if provider is not GPROChat:
            options["token_cache"] = TokenCache()
        url = replica.url("geminiprochat" if provider is GPROChat else "ai-power")
        for _ in range(3):
            assert await provider.create_async("", HELLO, url=url, **options)
        await transport.aclose()
        with pytest.raises(errors.InvalidRequestError, match="closed"):
            await provider.create_async("", HELLO, url=url, **options)


# Places a page may show its tokens in, those of the seeds among them; each alone on a page.
TOKEN_PLACES = {
    "attributes": f'<div data-nonce="{NONCE}" data-post-id="12"></div>',
    "attributes, other order": f"<div data-post-id='12' class=x data-nonce='{NONCE}'></div>",
    "unquoted": f"<div data-nonce={NONCE} data-post-id=12></div>",
    "on two elements": f'<i data-nonce="{NONCE}"></i><b data-post-id="12"></b>',
    "hidden inputs": (
        f'<input type="hidden" name="_wpnonce" value="{NONCE}">'
        "<input type=hidden name=post_id value=12>"
    ),
    "JSON": f'<script>var x = {{"_wpnonce":"{NONCE}","post_id":"12"}};</script>',
    "variables": f"<script>var wpaicg_nonce = '{NONCE}'; var post_id = 12;</script>",
    "keys": f"<script>chat({{wpaicg_nonce: '{NONCE}', post_id: 12}})</script>",
    "JSON in an attribute": (
        f'<div data-x="{{&quot;_wpnonce&quot;:&quot;{NONCE}&quot;,&quot;post_id&quot;:12}}"></div>'
    ),
}


@pytest.mark.parametrize("place", TOKEN_PLACES)
async def test_every_place_of_tokens(place: str) -> None:
    def served() -> bytes:
        return f"<!doctype html><html><body><p>Hi</p>{TOKEN_PLACES[place]}</body></html>".encode()

    for provider in WORDPRESS:
        async with Site(bot(delta("hi"), DONE, pages=served)) as site:
            assert (
                await provider.create_async("", HELLO, url=site.url, token_cache=TokenCache())
                == "hi"
            )
            form = site.asked[1].form
            assert (form["_wpnonce"], form["post_id"]) == (NONCE, "12")


def test_without_curl_cffi_the_extra_is_named() -> None:
    """In a Python of its own, where importing it fails."""
    script = """
import asyncio, sys
sys.modules["curl_cffi"] = None
from tailrace import ChatGptEs, errors
try:
    messages = [{"role": "user", "content": "x"}]
    asyncio.run(ChatGptEs.create_async("", messages, url="http://127.0.0.1:1"))
except errors.MissingRequirementsError as error:
    print(error)
"""
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert "tailrace[impersonate]" in done.stdout
    assert done.stderr == ""


def test_importing_the_package_imports_no_http_library() -> None:
    script = (
        "import sys, tailrace; "
        "print({'aiohttp', 'curl_cffi', 'tailrace.transport'} & set(sys.modules))"
    )
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
