"""Ids of models: the providers' and the profiles', found from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tailrace import Site
from tailrace.errors import InvalidRequestError, ModelNotFoundError, ProfileError
from tailrace.gateway import Key, ModelRegistry
from tailrace.gateway._figures.streams import ANY
from tailrace.gateway._problems import RefusedError
from tailrace.providers import (
    ChatgptFree,
    ChatGptt,
    GPROChat,
    OpenAIProvider,
    WordPressChatProvider,
    site_providers,
)
from tailrace.sites import ModelGroup

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


def test_the_profiles_then_the_public_sites(registry: ModelRegistry) -> None:
    names = [provider.__name__ for provider in site_providers()]
    assert [site.name for site in registry.sites] == ["shop", "models", "open", "closed", *names]
    ids = [model.id for model in registry.models]
    assert ids[:4] == ["shop/default", "models/gpt-4o", "models/org/deep/model", "closed/llama"]
    assert ids[4:8] == [
        "ChatGptt/gpt-4",
        "ChatGptt/gpt-4o",
        "ChatGptt/gpt-4o-mini",
        "ChatgptFree/gpt-4o-mini-2024-07-18",
    ]
    assert [id_ for site in registry.sites for id_ in site.models] == ids
    assert "GPROChat/gemini-1.5-pro" in ids


def test_what_a_provider_is_asked_for(registry: ModelRegistry) -> None:
    found = registry.find("shop/default").models[0]
    assert (found.site, found.name, found.counted_as, found.speaks_openai) == (
        "shop",
        "",
        "default",
        False,
    )
    found = registry.find("models/org/deep/model").models[0]
    assert (found.site, found.name, found.counted_as) == (
        "models",
        "org/deep/model",
        "org/deep/model",
    )
    assert registry.find("ChatGptt/gpt-4").models[0].upstream == ChatGptt.as_site()
    assert registry.find("GPROChat/gemini-1.5-pro").models[0].upstream == GPROChat.as_site()


def test_an_alias_is_found_and_not_listed(registry: ModelRegistry) -> None:
    found = registry.find("models/big").models[0]
    assert found.upstream.resolve_model(found.name) == "gpt-4o"
    assert registry.find("ChatgptFree/gpt-4o-mini").models[0].upstream == ChatgptFree.as_site()
    assert "models/big" not in [model.id for model in registry.models]


def test_an_openai_compatible_site_without_a_list_takes_any_name_and_counts_them_as_one(
    registry: ModelRegistry,
) -> None:
    found = registry.find("open/org/any:7b").models[0]
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

    assert ModelRegistry([Named], created=0).find("Named/default").models[0].name == "default"


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
    assert registry.find("open/told").models[0].counted_as == ANY
    told = registry.with_lists({site: ("told", "", "mine", "org/other"), page: ("not asked",)})
    ids = ["open/mine", "open/told", "open/org/other", "shop/default"]
    assert [model.id for model in told.models] == ids
    assert told.find("open/told").models[0].counted_as == "told"
    assert told.find("open/made-up").models[0].counted_as == ANY
    assert told.find("open/default").models[0].name == ""  # the profile's
    assert [model.id for model in registry.models] == ["open/mine", "shop/default"]


def test_a_server_without_a_default_is_asked_for_the_name_default() -> None:
    site = Site("http://127.0.0.1:1/v1", software="openai", name="open")
    assert ModelRegistry([site], created=0).find("open/default").models[0].name == "default"


def test_a_name_that_is_too_long_is_none() -> None:
    site = Site("http://127.0.0.1:1/v1", software="openai", name="open")
    registry = ModelRegistry([site], created=0)
    assert registry.find("open/" + "x" * 512).models[0].counted_as == ANY
    with pytest.raises(ModelNotFoundError):
        registry.find("open/" + "x" * 513)


# -- names alone, and groups -----------------------------------------------------------------------

SERVER = Site("http://127.0.0.1:1/v1", software="openai", name="open")
SHOP = Site("https://shop.example/help", name="shop")
BIG = Site(
    "https://big.example/help", name="big", models=["gpt-4o", "gemini"], aliases={"g": "gemini"}
)
GEM = Site("https://gem.example", software="geminiprochat", name="gem", models=["gemini"])


def members(registry: ModelRegistry, name: str) -> list[tuple[str, str]]:
    return [(model.id, model.name) for model in registry.find(name).models]


def test_a_model_that_one_site_has_is_found_by_its_name_alone() -> None:
    registry = ModelRegistry([SERVER, SHOP, BIG, GEM], created=0)
    assert members(registry, "gpt-4o") == [("big/gpt-4o", "gpt-4o")]
    assert members(registry, "g") == [("big/g", "g")]
    assert registry.find("gpt-4o").id == "gpt-4o"
    with pytest.raises(ModelNotFoundError, match=r"several sites .* one of big/gemini, gem/gemini"):
        registry.find("gemini")
    with pytest.raises(ModelNotFoundError, match="there is no model"):
        registry.find("default")  # no name of a model
    told = registry.with_lists({SERVER: ["org/deep", "gpt-4o"]})
    assert members(told, "org/deep") == [("open/org/deep", "org/deep")]
    with pytest.raises(ModelNotFoundError, match="one of open/gpt-4o, big/gpt-4o"):
        told.find("gpt-4o")


def test_a_group_is_asked_in_its_order_and_listed_first() -> None:
    group = ModelGroup("gpt-4o", ("shop", "open", "big", "gem/gemini", "open/other"))
    registry = ModelRegistry([SERVER, SHOP, BIG, GEM], created=0, groups=[group])
    assert members(registry, "gpt-4o") == [
        ("shop/default", ""),
        ("open/gpt-4o", "gpt-4o"),
        ("big/gpt-4o", "gpt-4o"),
        ("gem/gemini", "gemini"),
        ("open/other", "other"),
    ]
    target, *others = registry.listed()
    assert (target.id, target.owner) == ("gpt-4o", "shop, open, big, gem")
    assert [each.id for each in others] == [model.id for model in registry.models]
    assert target.fingerprint not in {model.fingerprint for model in target.models}
    assert registry.with_lists({SERVER: ["x"]}).find("gpt-4o") == target


@pytest.mark.parametrize(
    ("group", "says"),
    [
        (ModelGroup("x", ()), "models.x.sites: expected one site or more"),
        (ModelGroup("x", ("shpo",)), "models.x.sites[0]: there is no site 'shpo': did you mean"),
        (ModelGroup("x", ("shop", "none/y")), "models.x.sites[1]: there is no site 'none'"),
        (ModelGroup("x", ("shop", "shop/default")), "sites[1]: shop/default stands there already"),
        (ModelGroup("x", ("big",)), "sites[0]: big has several models: name one of big/gpt-4o, "),
        (ModelGroup("x", ("gem/other",)), "gem has no model 'other': it has gemini"),
        (ModelGroup("Shop", ("gem",)), "models.Shop: the name belongs to the site shop"),
        (ModelGroup("open/x", ("gem",)), "models.open/x: the name belongs to the site open"),
    ],
)
def test_a_group_that_cannot_be_served(group: ModelGroup, says: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ModelRegistry([SERVER, SHOP, BIG, GEM], created=0, groups=[group])
    assert says in str(caught.value)


def test_two_groups_of_one_name() -> None:
    group = ModelGroup("x", ("shop",))
    with pytest.raises(InvalidRequestError, match="a group of this name stands above"):
        ModelRegistry([SHOP], created=0, groups=[group, group])


def test_groups_of_files(tmp_path: Path) -> None:
    mine, user = tmp_path / "tailrace.toml", tmp_path / "user" / "tailrace.toml"
    user.parent.mkdir()
    places: Any = {"created": 0, "environ": {}, "folder": tmp_path, "user_folder": user.parent}
    mine.write_text(
        PROFILES.replace("user:secret@", "") + '[models.both]\nsites = ["shop", "open/x"]'
    )
    user.write_text('[models.mine]\nsites = ["SHOP"]')
    registry = ModelRegistry.load(**places)
    assert [target.id for target in registry.groups] == ["both", "mine"]
    assert members(registry, "mine") == [("shop/default", "")]
    alone = ModelRegistry.load(**places, sites=["shop", "ChatGptt"])
    assert members(alone, "both") == [("shop/default", "")]
    assert [site.name for site in alone.sites] == ["shop", "ChatGptt"]
    assert ModelRegistry.load(**places, sites=["closed"]).groups == ()
    user.write_text('[models.both]\nsites = ["shop"]')
    with pytest.raises(ProfileError, match=r"models\.both: it would hide the group"):
        ModelRegistry.load(**places)
    user.write_text('[models.x]\nsites = ["shop", "ChatGpt"]')
    with pytest.raises(ProfileError) as caught:
        ModelRegistry.load(**places)
    assert (caught.value.file, caught.value.key) == (str(user), "models.x.sites[1]")
    assert "did you mean 'ChatGptt'?" in str(caught.value)
    with pytest.raises(ProfileError):
        ModelRegistry.load(**places, sites=["shop"])  # a site that nobody knows is no site left out


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_finds_what_it_may_ask_for() -> None:
    group = ModelGroup("fast", ("shop", "gem"))
    registry = ModelRegistry([SERVER, SHOP, BIG, GEM], created=0, groups=[group])
    key = Key.of("own", "sk-tailrace-of-own", models=("gem/*", "fast", "open/a*"))
    assert [target.id for target in registry.listed(key)] == ["fast", "gem/gemini"]
    for name in ("fast", "gem/gemini", "open/abc"):
        assert registry.find(name, key) == registry.find(name)
    # The one of two sites that it may ask.
    assert registry.find("gemini", key).models == registry.find("gem/gemini").models
    for name in ("shop/default", "gpt-4o", "big/gemini", "open/b"):
        with pytest.raises(RefusedError) as caught:
            registry.find(name, key)
        problem = caught.value.problem
        assert (problem.status, problem.code, problem.param) == (403, "model_not_allowed", "model")
        assert problem.message == f"the key 'own' may not ask for the model {name!r}"
    with pytest.raises(ModelNotFoundError):
        registry.find("nowhere/x", key)
    named = Key.of("named", "sk-tailrace-of-named", models=("gpt-4o",))
    assert registry.find("gpt-4o", named).models[0].id == "big/gpt-4o"
