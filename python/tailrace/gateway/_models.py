"""The models a gateway serves, by id: a registry of public sites and of those of profile files.

An id is ``site/model``; a model that exactly one site has can be asked for by its name alone. A
group is a name that several sites answer to, asked in turn. A site has the models of its profile;
where that names none, a server with an API has those of its own list (`ModelLists` asks for it) and
takes any name, and a page has one, ``site/default``.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from tailrace import __version__
from tailrace.errors import ModelNotFoundError
from tailrace.gateway._figures.streams import ANY
from tailrace.gateway._problems import Problem, RefusedError
from tailrace.providers import site_providers
from tailrace.providers._responses import RESPONSE_OPTIONS
from tailrace.sites._options import closest_name
from tailrace.sites._profiles import find_described
from tailrace.sites._registry import as_site, profiled_site
from tailrace.sites._registry import site as site_named
from tailrace.sites._site import secrets_of
from tailrace.sites._software import SOFTWARE
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from pathlib import Path

    from tailrace import Site
    from tailrace.gateway._keys import Key
    from tailrace.providers import ChatProvider
    from tailrace.sites import Secret
    from tailrace.sites._profiles import ModelGroup

__all__ = ["DEFAULT", "Model", "ModelRegistry", "ServedSite", "Target"]

DEFAULT = "default"
"""The model's name in the id ``site/default``, the one model of a site that names none."""

LONGEST_NAME = 512
"""The most characters of a model's name that is passed on to a site that takes any."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model that is served, by its id.

    `id`: the model's id in requests, ``site/model``; `site`: its first part; `upstream`: the site
    that answers; `name`: the model that `upstream` is requested to use, empty for its default;
    `counted_as`: the name in metrics. `fingerprint` changes when the gateway's version or
    the site does, never with a call.
    """

    id: str
    site: str
    upstream: Site
    name: str
    counted_as: str
    fingerprint: str

    @property
    def has_api(self) -> bool:
        """Whether the site takes more than text: images, tools' results, a model's parameters.

        It takes them as they are, or translated to its own API, which refuses what it has not.
        """
        return _has_api(self.upstream)

    @property
    def speaks_openai(self) -> bool:
        """Whether the site is a server of OpenAI's API, which takes a request as it came."""
        return self.upstream.software == "openai"

    @property
    def api(self) -> str | None:
        """The API in whose own words the site is asked; None for a chat page.

        ``chat`` (completions), ``responses``, ``messages`` (Anthropic's), or the software's name.
        """
        if self.speaks_openai:
            return self.upstream.api or "chat"
        software = self.upstream.software
        return _APIS.get(software, software) if self.has_api else None

    @property
    def options(self) -> frozenset[str]:
        """The names of the options that a call to the site may have."""
        options = SOFTWARE[self.upstream.software].options
        return options & RESPONSE_OPTIONS if self.api == "responses" else options


@dataclass(frozen=True, slots=True)
class Target:
    """The models that a request's model stands for.

    `id`: the name in the request; `models`: one or more, asked in turn.
    """

    id: str
    models: tuple[Model, ...]

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that answer."""
        return tuple(model.upstream for model in self.models)

    @property
    def owner(self) -> str:
        """The sites that answer, by their names."""
        return ", ".join(dict.fromkeys(model.site for model in self.models))

    @property
    def fingerprint(self) -> str:
        """The model's `system_fingerprint`; of several, one that changes with any of theirs."""
        first, *others = (model.fingerprint for model in self.models)
        return _fingerprint(" ".join([first, *others])) if others else first


@dataclass(frozen=True, slots=True)
class ServedSite:
    """A site that is served: its name, its URL (without a password), and the ids of its models."""

    name: str
    url: str
    models: tuple[str, ...]


class ModelRegistry:
    """The models of `sites`, in their order; a provider class stands for the site it describes.

    `created`: the time that clients are shown, in seconds since 1970; `groups`: further names, each
    of which several of the sites answer to. A registry does not change: `with_lists` makes another
    one. Raises InvalidRequestError for a group that cannot be served, which it names.
    """

    def __init__(
        self,
        sites: Iterable[Site | type[ChatProvider]],
        *,
        created: int,
        groups: Iterable[ModelGroup] = (),
    ) -> None:
        self.created = created
        self._upstreams = {site.name: site for site in map(as_site, sites)}
        self.groups: tuple[Target, ...] = tuple(_served(groups, self._upstreams))
        self._index(MappingProxyType({}))

    def _index(self, lists: Mapping[Site, Sequence[str]]) -> None:
        self._by_id: dict[str, Model] = {}
        self._by_name: dict[str, list[Model]] = {}
        listed: list[Model] = []
        served: list[ServedSite] = []
        for site in self._upstreams.values():
            models = [_model(site, name) for name in _listed(site, lists.get(site, ()))]
            listed += models
            url = checked_url(site.url).url
            served.append(ServedSite(site.name, url, tuple(model.id for model in models)))
            for model in (*models, *(_model(site, alias) for alias in site.aliases)):
                if self._by_id.setdefault(model.id, model) is model and model.name:
                    self._by_name.setdefault(model.name, []).append(model)
        self.models: tuple[Model, ...] = tuple(listed)
        self.sites: tuple[ServedSite, ...] = tuple(served)

    @property
    def asked(self) -> tuple[Site, ...]:
        """The sites whose server is asked for its models, since their profile names none."""
        return tuple(filter(_takes_any, self._upstreams.values()))

    def missing_secrets(self, environ: Mapping[str, str]) -> Iterator[tuple[str, Secret]]:
        """Yield the secrets whose variable is not set, each with its site's name.

        `environ`: the variables, where a secret has none of its own.
        """
        for site in self._upstreams.values():
            for secret in secrets_of(site):
                if not secret.is_set(environ):
                    yield site.name, secret

    def with_lists(self, lists: Mapping[Site, Sequence[str]]) -> Self:
        """Return this registry with the models that servers told of; `lists`: those of each site.

        A site that is not in `lists` has those of its profile alone.
        """
        other = copy.copy(self)
        other._index(lists)  # noqa: SLF001 - of this class
        return other

    @classmethod
    def load(
        cls,
        *,
        created: int,
        sites: Collection[str] = (),
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user_folder: Path | None = None,
        trust: bool = False,
    ) -> Self:
        """Register the sites of the profile files, then the public ones, and the groups of models.

        `sites`: the names of those that are served, alone; all unless given. A group then has those
        of its sites that are, and is left out where none is. The files are found as `tailrace.site`
        finds them. `created`: now, in seconds since 1970. `environ`: the environment variables,
        `folder`: the working folder, `user_folder`: the folder of the user's file; the process's
        own unless given. `trust`: as for `tailrace.site`. Raises ProfileError for a file that
        cannot be used, and for a site or group that cannot; ProviderNotFoundError for a name of
        `sites` that is unknown.
        """
        places: dict[str, Any] = {
            "environ": environ,
            "folder": folder,
            "user_folder": user_folder,
            "trust": trust,
        }
        described = find_described(**places)
        groups = described.groups.values()
        if sites:
            chosen = [site_named(name, **places) for name in sites]
            known = {each.__name__.lower() for each in site_providers()} | {*described.profiles}
            served = {each.name.lower() for each in chosen}
            return cls(chosen, created=created, groups=_of_served(groups, served, known))
        profiled = [profiled_site(profile, environ) for profile in described.profiles.values()]
        return cls([*profiled, *site_providers()], created=created, groups=groups)

    def listed(self, key: Key | None = None) -> list[Target]:
        """Return what clients may ask for, groups first; `key`: the client's, None for any."""
        targets = [*self.groups, *(Target(model.id, (model,)) for model in self.models)]
        return [each for each in targets if key is None or key.may_ask_for(each.id)]

    def find(self, model_id: str, key: Key | None = None) -> Target:
        """Return what `model_id` stands for, to the owner of `key`; None: to anybody.

        Raises ModelNotFoundError where there is no such model, or where several sites have one of
        the name; RefusedError where the key may not ask for it.
        """
        target = self._found(model_id, _anything if key is None else key.may_ask_for)
        if target is not None:
            return target
        shown = model_id if len(model_id) <= _LONGEST_SHOWN else model_id[:_LONGEST_SHOWN] + "…"
        if key is not None and self._found(model_id, _anything) is not None:
            raise RefusedError(
                Problem(
                    403,
                    f"the key {key.name!r} may not ask for the model {shown!r}",
                    param="model",
                    code="model_not_allowed",
                    lasts=True,
                )
            )
        raise ModelNotFoundError(
            f"there is no model {shown!r} here: GET /v1/models lists those there are"
        )

    def _found(self, model_id: str, may: Callable[[str], bool]) -> Target | None:
        """Return what the id stands for among what `may` be asked for."""
        group = next((each for each in self.groups if each.id == model_id), None)
        if group is not None:
            return group if may(model_id) else None
        model = self._by_id.get(model_id) or self._of_any_name(model_id)
        if model is not None:
            return Target(model_id, (model,)) if may(model_id) else None
        return self._by_name_alone(model_id, may)

    def _of_any_name(self, model_id: str) -> Model | None:
        site_name, _, name = model_id.partition("/")
        site = self._upstreams.get(site_name)
        if site is not None and 0 < len(name) <= LONGEST_NAME and _takes_any(site):
            return _model(site, name, counted_as=ANY)
        return None

    def _by_name_alone(self, name: str, may: Callable[[str], bool]) -> Target | None:
        """Return the one model of that name, whichever site has it."""
        models = self._by_name.get(name, [])
        if not may(name):
            models = [model for model in models if may(model.id)]
        if len(models) > 1:
            ids = ", ".join(model.id for model in models[:_MOST_SHOWN])
            raise ModelNotFoundError(f"several sites have the model {name!r}: ask for one of {ids}")
        return Target(name, tuple(models)) if models else None


def _anything(model_id: str) -> bool:
    del model_id
    return True


_MOST_SHOWN = 5
_LONGEST_SHOWN = 100
_APIS = {"anthropic": "messages"}


def _has_api(site: Site) -> bool:
    """Tell whether the site is a server with an API, whose models have names."""
    return not SOFTWARE[site.software].has_page


def _takes_any(site: Site) -> bool:
    """Tell whether the site takes any name of a model: its server knows them, its profile none."""
    return _has_api(site) and not site.listed_models


def _listed(site: Site, told: Sequence[str]) -> list[str]:
    """Return the names of the models of `site` that get an id; `told`: those its server told."""
    if site.listed_models:
        return list(site.listed_models)
    default = [site.default_model] if site.default_model else []
    if _has_api(site):
        return list(dict.fromkeys([*default, *filter(None, told)]))
    return default or [DEFAULT]


def _model(site: Site, name: str, *, counted_as: str | None = None) -> Model:
    return Model(
        f"{site.name}/{name}",
        site.name,
        site,
        "" if _is_default(site, name) else name,
        counted_as or name,
        _fingerprint(f"{__version__} {site.name} {site.software} {site.url}"),
    )


@lru_cache(maxsize=1024)  # of the same few sites, for each of their models
def _fingerprint(kind: str) -> str:
    return f"fp_{hashlib.sha256(kind.encode()).hexdigest()[:10]}"


def _is_default(site: Site, name: str) -> bool:
    """Tell whether the name stands for the one model of a site that has no names of models."""
    return (
        name == DEFAULT
        and name not in (*site.listed_models, site.default_model)
        and (not _has_api(site) or bool(site.default_model))
    )


# -- groups ----------------------------------------------------------------------------------------


def _of_served(
    groups: Iterable[ModelGroup], served: set[str], known: set[str]
) -> Iterator[ModelGroup]:
    """Yield the groups without the sites that are known and not served; names in lower case."""
    for group in groups:
        left_out = known - served
        sites = tuple(each for each in group.sites if _site_name(each).lower() not in left_out)
        if sites:
            yield replace(group, sites=sites)


def _served(groups: Iterable[ModelGroup], upstreams: Mapping[str, Site]) -> Iterator[Target]:
    """Yield the groups as they are asked for; each error names the group."""
    sites = {site.name.lower(): site for site in upstreams.values()}
    names: set[str] = set()
    for group in groups:
        if group.hides is not None:
            problem = f"it would hide the group of this name in {group.hides}: rename one of them"
            raise group.error("", problem)
        if group.name in names:
            raise group.error("", "a group of this name stands above")
        names.add(group.name)
        site = sites.get(_site_name(group.name).lower())
        if site is not None:
            raise group.error("", f"the name belongs to the site {site.name}: choose another")
        yield Target(group.name, tuple(_members(group, sites)))


def _members(group: ModelGroup, sites: Mapping[str, Site]) -> Iterator[Model]:
    if not group.sites:
        raise group.error("sites", "expected one site or more")
    seen: set[str] = set()
    for number, text in enumerate(group.sites):
        key = f"sites[{number}]"
        site = sites.get(_site_name(text).lower())
        if site is None:
            name = _site_name(text)[:_LONGEST_SHOWN]
            close = closest_name(name, frozenset(sites))
            hint = "" if close is None else f": did you mean {sites[close].name!r}?"
            raise group.error(key, f"there is no site {name!r}{hint}")
        model = _member(group, key, site, text)
        if model.id in seen:
            raise group.error(key, f"{model.id} stands there already")
        seen.add(model.id)
        yield model


def _site_name(text: str) -> str:
    return text.partition("/")[0]


def _member(group: ModelGroup, key: str, site: Site, text: str) -> Model:
    """Return the model that a group's member names; a site alone: its model of the group's name."""
    names = [] if _takes_any(site) else [*_listed(site, ()), *site.aliases]
    asked = text.partition("/")[2]
    if asked:
        if names and asked not in names:
            raise group.error(key, f"{site.name} has no model {asked!r}: it has {', '.join(names)}")
        return _model(site, asked)
    if not names or group.name in names:
        return _model(site, group.name)
    if len(names) > 1:
        ids = ", ".join(f"{site.name}/{name}" for name in names)
        raise group.error(key, f"{site.name} has several models: name one of {ids}")
    return _model(site, names[0])
