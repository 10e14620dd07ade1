"""The models a gateway serves, by id: a registry of public sites and of those of profile files.

An id is ``site/model``. A site has the models of its profile; where that names none, a server with
an API has those of its own list (`ModelLists` asks for it) and takes any name, and a page has one,
``site/default``.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from tailrace import __version__
from tailrace.errors import ModelNotFoundError
from tailrace.gateway._figures.streams import ANY
from tailrace.providers import site_providers
from tailrace.sites._profiles import find_profiles
from tailrace.sites._registry import as_site, profiled_site
from tailrace.sites._software import SOFTWARE
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tailrace import Site
    from tailrace.providers import ChatProvider

__all__ = ["DEFAULT", "Model", "ModelRegistry", "ServedSite"]

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
        return SOFTWARE[self.upstream.software].options


@dataclass(frozen=True, slots=True)
class ServedSite:
    """A site that is served: its name, its URL (without a password), and the ids of its models."""

    name: str
    url: str
    models: tuple[str, ...]


class ModelRegistry:
    """The models of `sites`, in their order; a provider class stands for the site it describes.

    `created`: the time that clients are shown, in seconds since 1970. A registry does not change:
    `with_lists` makes another one.
    """

    def __init__(self, sites: Iterable[Site | type[ChatProvider]], *, created: int) -> None:
        self.created = created
        self._upstreams = {site.name: site for site in map(as_site, sites)}
        self._index(MappingProxyType({}))

    def _index(self, lists: Mapping[Site, Sequence[str]]) -> None:
        self._by_id: dict[str, Model] = {}
        listed: list[Model] = []
        served: list[ServedSite] = []
        for site in self._upstreams.values():
            models = [_model(site, name) for name in _listed(site, lists.get(site, ()))]
            listed += models
            url = checked_url(site.url).url
            served.append(ServedSite(site.name, url, tuple(model.id for model in models)))
            self._by_id |= {model.id: model for model in models}
            for alias in site.aliases:
                self._by_id.setdefault(f"{site.name}/{alias}", _model(site, alias))
        self.models: tuple[Model, ...] = tuple(listed)
        self.sites: tuple[ServedSite, ...] = tuple(served)

    @property
    def asked(self) -> tuple[Site, ...]:
        """The sites whose server is asked for its models, since their profile names none."""
        return tuple(filter(_takes_any, self._upstreams.values()))

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
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user_folder: Path | None = None,
        trust: bool = False,
    ) -> Self:
        """Register the public sites, then the sites of the profile files.

        The files are found as `tailrace.site` finds them. `created`: now, in seconds since 1970.
        `environ`: the environment variables, `folder`: the working folder, `user_folder`: the
        folder of the user's file; the process's own unless given. `trust`: as for `tailrace.site`.
        Raises ProfileError for a file that cannot be used, and for a site that cannot.
        """
        profiles = find_profiles(
            environ=environ, folder=folder, user_folder=user_folder, trust=trust
        )
        profiled = [profiled_site(profile, environ) for profile in profiles.values()]
        return cls([*site_providers(), *profiled], created=created)

    def find(self, model_id: str) -> Model:
        """Return the model of the id `model_id`; raises ModelNotFoundError where there is none."""
        model = self._by_id.get(model_id)
        if model is not None:
            return model
        site_name, _, name = model_id.partition("/")
        site = self._upstreams.get(site_name)
        if site is not None and 0 < len(name) <= LONGEST_NAME and _takes_any(site):
            return _model(site, name, counted_as=ANY)
        shown = model_id if len(model_id) <= _LONGEST_SHOWN else model_id[:_LONGEST_SHOWN] + "…"
        raise ModelNotFoundError(
            f"there is no model {shown!r} here: GET /v1/models lists those there are"
        )


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
    kind = f"{__version__} {site.name} {site.software} {site.url}"
    fingerprint = f"fp_{hashlib.sha256(kind.encode()).hexdigest()[:10]}"
    return Model(
        f"{site.name}/{name}",
        site.name,
        site,
        "" if _is_default(site, name) else name,
        counted_as or name,
        fingerprint,
    )


def _is_default(site: Site, name: str) -> bool:
    """Tell whether the name stands for the one model of a site that has no names of models."""
    return (
        name == DEFAULT
        and name not in (*site.listed_models, site.default_model)
        and (not _has_api(site) or bool(site.default_model))
    )
