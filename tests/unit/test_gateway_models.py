"""Ids of models: the providers' and the profiles', found from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tailrace import Site
from tailrace.errors import ModelNotFoundError, ProfileError
from tailrace.gateway import ModelRegistry
from tailrace.gateway._figures.streams import ANY
from tailrace.providers import (
    ChatgptFree,
    ChatGptt,
    GPROChat,
    OpenAIProvider,
    WordPressChatProvider,
    site_providers,
)

if TYPE_CHECKING:
    from pathlib import Path

PROFILES = """
[sites.shop]
url = "https://user:secret@shop.example/help"

[sites.models]
url = "https://models.example/help"
models = ["gpt-4o", "org/deep/model"]
aliases = { big = "gpt-4o" }

[sites.open]
url = "http://127.0.0.1:8000/v1"
software = "openai"

[sites.closed]
url = "http://127.0.0.1:8001/v1"
software = "openai"
models = ["llama"]
"""


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    (tmp_path / "tailrace.toml").write_text(PROFILES.replace("user:secret@", ""))
    return ModelRegistry.load(created=7, environ={}, folder=tmp_path, user_folder=tmp_path / "none")


def test_the_public_sites_then_the_profiles(registry: ModelRegistry) -> None:
    names = [provider.__name__ for provider in site_providers()]
    assert [site.name for site in registry.sites] == [*names, "shop", "models", "open", "closed"]
    ids = [model.id for model in registry.models]
    assert ids[:4] == [
        "ChatGptt/gpt-4",
        "ChatGptt/gpt-4o",
        "ChatGptt/gpt-4o-mini",
        "ChatgptFree/gpt-4o-mini-2024-07-18",
    ]
    assert ids[-4:] == ["shop/default", "models/gpt-4o", "models/org/deep/model", "closed/llama"]
    assert [id_ for site in registry.sites for id_ in site.models] == ids
    assert "GPROChat/gemini-1.5-pro" in ids


def test_what_a_provider_is_asked_for(registry: ModelRegistry) -> None:
    found = registry.find("shop/default")
    assert (found.site, found.name, found.counted_as, found.speaks_openai) == (
        "shop",
        "",
        "default",
        False,
    )
    found = registry.find("models/org/deep/model")
    assert (found.site, found.name, found.counted_as) == (
        "models",
        "org/deep/model",
        "org/deep/model",
    )
    assert registry.find("ChatGptt/gpt-4").upstream == ChatGptt.as_site()
    assert registry.find("GPROChat/gemini-1.5-pro").upstream == GPROChat.as_site()


def test_an_alias_is_found_and_not_listed(registry: ModelRegistry) -> None:
    found = registry.find("models/big")
    assert found.upstream.resolve_model(found.name) == "gpt-4o"
    assert registry.find("ChatgptFree/gpt-4o-mini").upstream == ChatgptFree.as_site()
    assert "models/big" not in [model.id for model in registry.models]


def test_an_openai_compatible_site_without_a_list_takes_any_name_and_counts_them_as_one(
    registry: ModelRegistry,
) -> None:
    found = registry.find("open/org/any:7b")
    assert (found.id, found.name, found.counted_as, found.speaks_openai) == (
        "open/org/any:7b",
        "org/any:7b",
        ANY,
        True,
    )
    assert [site.models for site in registry.sites if site.name == "open"] == [()]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "/",
        "shop",
        "shop/",
        "shop/other",
        "SHOP/default",
        "shop/default/",
        " shop/default",
        "nowhere/default",
        "closed/other",
        "closed/",
        "open/",
        "open",
        "ChatGptt",
        "ChatGptt/",
        "ChatGptt/gpt-3",
        "ChatGptt/default",
        "https://shop.example/help",
        "http://127.0.0.1:9/x",
        "models/",
        "\0",
        "é/é",
        "x" * 10_000,
    ],
)
def test_an_id_that_is_none(registry: ModelRegistry, wrong: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        registry.find(wrong)
    assert len(str(caught.value)) < 250


def test_a_fingerprint_tells_sites_apart_and_stays(registry: ModelRegistry) -> None:
    assert registry.find("shop/default").fingerprint == registry.find("shop/default").fingerprint
    assert registry.find("models/gpt-4o").fingerprint == registry.find("models/big").fingerprint
    assert len({model.fingerprint for model in registry.models}) == len(
        [s for s in registry.sites if s.models]
    )


def test_a_sites_url_is_shown_without_a_password() -> None:
    class Guarded(WordPressChatProvider):
        url = "https://user:secret@shop.example/help"

    assert [site.url for site in ModelRegistry([Guarded], created=0).sites] == [
        "https://shop.example/help"
    ]


def test_a_default_model_that_is_called_default_is_asked_for_by_name() -> None:
    class Named(OpenAIProvider):
        url = "http://127.0.0.1:1/v1"
        models = ["default"]  # noqa: RUF012
        default_model = "default"

    assert ModelRegistry([Named], created=0).find("Named/default").name == "default"


def test_a_file_that_is_not_as_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "tailrace.toml").write_text("[sites.shop]\n")
    with pytest.raises(ProfileError):
        ModelRegistry.load(created=0, environ={}, folder=tmp_path, user_folder=tmp_path / "none")


def test_what_a_server_tells_is_listed_behind_its_profiles_default() -> None:
    site = Site("http://127.0.0.1:1/v1", software="openai", name="open", model="mine")
    page = Site("https://shop.example/help", name="shop")
    registry = ModelRegistry([site, page], created=0)
    assert registry.asked == (site,)
    assert [model.id for model in registry.models] == ["open/mine", "shop/default"]
    assert registry.find("open/told").counted_as == ANY
    told = registry.with_lists({site: ("told", "", "mine", "org/other"), page: ("not asked",)})
    ids = ["open/mine", "open/told", "open/org/other", "shop/default"]
    assert [model.id for model in told.models] == ids
    assert told.find("open/told").counted_as == "told"
    assert told.find("open/made-up").counted_as == ANY
    assert told.find("open/default").name == ""  # the profile's
    assert [model.id for model in registry.models] == ["open/mine", "shop/default"]


def test_a_server_without_a_default_is_asked_for_the_name_default() -> None:
    site = Site("http://127.0.0.1:1/v1", software="openai", name="open")
    assert ModelRegistry([site], created=0).find("open/default").name == "default"


def test_a_name_that_is_too_long_is_none() -> None:
    site = Site("http://127.0.0.1:1/v1", software="openai", name="open")
    registry = ModelRegistry([site], created=0)
    assert registry.find("open/" + "x" * 512).counted_as == ANY
    with pytest.raises(ModelNotFoundError):
        registry.find("open/" + "x" * 513)
