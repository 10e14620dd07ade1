"""The models a gateway serves, by id: a registry made once, from providers and profile files.

An id is ``site/model``; a site that names no models has one, ``site/default``. An OpenAI-compatible
site that lists no models in its profile takes any name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tailrace import __version__
from tailrace.errors import ModelNotFoundError
from tailrace.providers import site_providers
from tailrace.sites import load_profiles, profile_files, site
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tailrace.providers import ChatProvider

__all__ = ["ANY", "DEFAULT", "Model", "ModelRegistry", "ServedSite"]

DEFAULT = "default"
"""The name of the one model of a site that names none, as it stands in the model's id."""

ANY = "*"
"""The name by which all models are counted that a site's profile does not list.

A client may make up as many names as it likes.
"""


@dataclass(frozen=True, slots=True)
class Model:
    """One model that is served, by its id.

    `site`: the id's first part; `name`: the model that the provider is asked for, empty for its
    default; `counted_as`: the name in metrics. `fingerprint` changes when the gateway's version or
    the site's provider does, never with a call.
    """

    id: str
    site: str
    provider: type[ChatProvider]
    name: str
    counted_as: str
    fingerprint: str

    @property
    def speaks_openai(self) -> bool:
        """Whether the site takes OpenAI's request: parameters, images and tools' results too."""
        return self.provider.dialect == "openai"


@dataclass(frozen=True, slots=True)
class ServedSite:
    """A site that is served: its name, its URL (without a password), and the ids of its models."""

    name: str
    url: str
    models: tuple[str, ...]


class ModelRegistry:
    """The models of `providers`, in their order.

    `created`: the time of its making, in seconds since 1970, which clients are shown.
    """

    def __init__(self, providers: Iterable[type[ChatProvider]], *, created: int) -> None:
        self.created = created
        self._providers = {provider.__name__: provider for provider in providers}
        self.models: tuple[Model, ...] = tuple(
            _model(provider, name)
            for provider in self._providers.values()
            for name in _listed(provider)
        )
        self.sites: tuple[ServedSite, ...] = tuple(
            self._site(provider) for provider in self._providers.values()
        )
        self._by_id = {model.id: model for model in self.models}
        for provider in self._providers.values():
            for alias in provider.model_aliases:
                self._by_id.setdefault(f"{provider.__name__}/{alias}", _model(provider, alias))

    def _site(self, provider: type[ChatProvider]) -> ServedSite:
        ids = tuple(model.id for model in self.models if model.provider is provider)
        return ServedSite(provider.__name__, checked_url(provider.url).url, ids)

    @classmethod
    def load(
        cls,
        *,
        created: int,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user_folder: Path | None = None,
    ) -> Self:
        """Register the public sites' providers, then the sites of the profile files.

        The files are found as `tailrace.site` finds them. `created`: now, in seconds since 1970.
        Raises ProfileError for a file that is not as it should be.
        """
        profiles = load_profiles(
            profile_files(environ=environ, folder=folder, user_folder=user_folder)
        )
        profiled = [
            site(profile.name, environ=environ, folder=folder, user_folder=user_folder)
            for profile in profiles.values()
        ]
        return cls([*site_providers(), *profiled], created=created)

    def find(self, model_id: str) -> Model:
        """Return the model of that id. Raises ModelNotFoundError where there is none."""
        found = self._by_id.get(model_id)
        if found is not None:
            return found
        site_name, _, name = model_id.partition("/")
        provider = self._providers.get(site_name)
        if provider is not None and name and provider.dialect == "openai" and not provider.models:
            return _model(provider, name, counted_as=ANY)
        shown = model_id if len(model_id) <= _LONGEST_SHOWN else model_id[:_LONGEST_SHOWN] + "…"
        raise ModelNotFoundError(
            f"there is no model {shown!r} here: GET /v1/models lists those there are"
        )


_LONGEST_SHOWN = 100


def _listed(provider: type[ChatProvider]) -> list[str]:
    return provider.get_models() or ([] if provider.dialect == "openai" else [DEFAULT])


def _model(provider: type[ChatProvider], name: str, *, counted_as: str | None = None) -> Model:
    site_name = provider.__name__
    asked = "" if name == DEFAULT and name not in provider.get_models() else name
    kind = f"{__version__} {site_name} {provider.dialect} {provider.url}"
    fingerprint = f"fp_{hashlib.sha256(kind.encode()).hexdigest()[:10]}"
    return Model(f"{site_name}/{name}", site_name, provider, asked, counted_as or name, fingerprint)
