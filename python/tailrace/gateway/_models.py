"""The models a gateway serves, by id: a registry made once, of public sites and profile files.

An id is ``site/model``; a site that names no models has one, ``site/default``. A server with an
API that lists no models in its profile takes any name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tailrace import __version__
from tailrace.errors import ModelNotFoundError
from tailrace.providers import site_providers
from tailrace.sites._profiles import find_profiles
from tailrace.sites._registry import as_site, profiled_site
from tailrace.sites._software import SOFTWARE
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tailrace import Site
    from tailrace.providers import ChatProvider

__all__ = ["ANY", "DEFAULT", "Model", "ModelRegistry", "ServedSite"]

DEFAULT = "default"
"""The model's name in the id ``site/default``, the one model of a site that names none."""

ANY = "*"
"""The name by which all models are counted that a site's profile does not list.

A client may make up as many names as it likes.
"""


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

    `created`: the time that clients are shown, in seconds since 1970.
    """

    def __init__(self, sites: Iterable[Site | type[ChatProvider]], *, created: int) -> None:
        self.created = created
        self._upstreams = {site.name: site for site in map(as_site, sites)}
        self.models: tuple[Model, ...] = tuple(
            _model(site, name) for site in self._upstreams.values() for name in _listed(site)
        )
        self.sites: tuple[ServedSite, ...] = tuple(map(self._served, self._upstreams.values()))
        self._by_id = {model.id: model for model in self.models}
        for site in self._upstreams.values():
            for alias in site.aliases:
                self._by_id.setdefault(f"{site.name}/{alias}", _model(site, alias))

    def _served(self, site: Site) -> ServedSite:
        ids = tuple(model.id for model in self.models if model.upstream is site)
        return ServedSite(site.name, checked_url(site.url).url, ids)

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
        if site is not None and name and _has_api(site) and not site.listed_models:
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


def _listed(site: Site) -> list[str]:
    """Return the names of the models of `site` that get an id."""
    default = [site.default_model] if site.default_model else []
    return list(site.listed_models) or default or ([] if _has_api(site) else [DEFAULT])


def _model(site: Site, name: str, *, counted_as: str | None = None) -> Model:
    is_default = name == DEFAULT and name not in (*site.listed_models, site.default_model)
    kind = f"{__version__} {site.name} {site.software} {site.url}"
    fingerprint = f"fp_{hashlib.sha256(kind.encode()).hexdigest()[:10]}"
    return Model(
        f"{site.name}/{name}",
        site.name,
        site,
        "" if is_default else name,
        counted_as or name,
        fingerprint,
    )
