"""A name in, a site out: a provider's name, the name of a site's profile, or a bare URL."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tailrace._calls.throttling import Throttle
from tailrace.errors import InvalidRequestError, ProviderNotFoundError
from tailrace.providers import ChatProvider, provider_named
from tailrace.sites._profiles import find_profiles
from tailrace.sites._secrets import Secret, origin_of
from tailrace.sites._site import Site
from tailrace.sites._software import DEFAULT_SOFTWARE, software_named
from tailrace.transport import Limits
from tailrace.transport._rules import lacks_scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tailrace.sites._profiles import Profile
    from tailrace.sites._software import SoftwareName

__all__ = ["as_site", "is_url", "profiled_site", "site"]


def site(
    name: str,
    software: SoftwareName | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
    trust: bool = False,
    state_folder: Path | None = None,
) -> Site:
    """Return the site that `name` stands for: a provider's name, a profile's name, or a URL.

    Upper and lower case of a name are the same. A URL is the page of a WordPress site unless
    `software` names another one; `tailrace.discover` finds it out. `environ`: the environment
    variables, `folder`: the working folder, `user_folder`: the folder of the user's file,
    `state_folder`: the one that keeps which files are trusted; the process's own unless given.
    `trust`: whether the working folder's file may name environment variables though ``tailrace
    trust`` has not been run on it.

    A profile's secrets are read from the environment when a call begins, and are sent to the
    profile's own origin only.

    Raises ProviderNotFoundError for an unknown name; ProfileError for a file of profiles with an
    error, for a site that hides one of the user's file, and for one that names a variable in a file
    that is not trusted; InvalidRequestError for a malformed URL, an unknown software, and a
    software given for a site that has one of its own.
    """
    if not isinstance(name, str):
        raise InvalidRequestError(f"a site is named by text, not {type(name).__name__}")
    if software is not None:
        software_named(software)
    if is_url(name) or lacks_scheme(name):
        return Site(name, software=software or DEFAULT_SOFTWARE)
    named = _site_named(
        name,
        environ,
        lambda: find_profiles(
            environ=environ,
            folder=folder,
            user_folder=user_folder,
            trust=trust,
            state_folder=state_folder,
        ),
    )
    if software not in (None, named.software):
        raise InvalidRequestError(
            f"{name} runs {named.software}, not {software}: a software is for a bare URL"
        )
    return named


def is_url(name: str) -> bool:
    """Tell a URL, which has a scheme, from a name."""
    return "://" in name


def as_site(site_or_provider: Site | type[ChatProvider]) -> Site:
    """Return the site itself, or the site that a provider class describes.

    Raises InvalidRequestError for what is neither, and for a class whose own
    `create_async_generator` or `get_model` would be passed over.
    """
    if isinstance(site_or_provider, Site):
        return site_or_provider
    describe = getattr(site_or_provider, "as_site", None)
    if describe is None:
        kind = getattr(site_or_provider, "__name__", type(site_or_provider).__name__)
        raise InvalidRequestError(f"a site or a class of a known software is expected, not {kind}")
    described: Site = describe()
    for name in ("create_async_generator", "get_model"):
        own, ours = getattr(site_or_provider, name), getattr(ChatProvider, name)
        if getattr(own, "__func__", own) is not ours.__func__:
            raise InvalidRequestError(
                f"{described.name} has a {name} of its own, which is not called here: "
                "give the site that its as_site() returns"
            )
    return described


def _site_named(
    name: str, environ: Mapping[str, str] | None, find: Callable[[], Mapping[str, Profile]]
) -> Site:
    try:
        return provider_named(name).as_site()
    except ProviderNotFoundError as error:
        unknown = str(error)
    profiles = find()
    profile = profiles.get(name.lower())
    if profile is not None:
        return profiled_site(profile, environ)
    sites = ", ".join(each.name for each in profiles.values())
    named = f"sites: {sites}" if sites else "no tailrace.toml that is read here names a site"
    raise ProviderNotFoundError(f"{unknown}; {named}; or a URL")


def profiled_site(profile: Profile, environ: Mapping[str, str] | None = None) -> Site:
    """Return the site that a profile describes; `environ`: the variables of its secrets.

    Raises ProfileError for a profile that cannot be used, as `Profile.check_usable` says.
    """
    profile.check_usable()
    settings = profile.settings
    options: dict[str, Any] = {
        "software": settings.software,
        "name": profile.name,
        "endpoint": settings.endpoint,
        "model": settings.default_model,
        "models": settings.models,
        "aliases": settings.aliases,
        "bot": settings.bot,
        "bot_name": settings.bot_name,
        "native_history": settings.native_history,
        "api": settings.api,
        "comments_restart_idle": settings.comments_restart_idle,
        "unsupported": settings.unsupported,
        "proxy": settings.proxy,
        "retry": settings.retry and settings.retry.policy(),
        "throttle": _throttle(profile),
        **_secrets(profile, environ),
    }
    for clock in ("timeout", "connect_timeout", "total_timeout"):
        options[clock] = getattr(settings, clock)
    if settings.max_reply_bytes is not None:
        options["limits"] = Limits(max_reply_bytes=settings.max_reply_bytes)
    given = {name: value for name, value in options.items() if value is not None}
    return Site(settings.url, **given)


def _secrets(profile: Profile, environ: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the options whose values stay in the environment, and all headers."""
    settings = profile.settings
    home = origin_of(settings.url)

    def secret(key: str, variable: str, origin: str | None = home) -> Secret:
        return Secret(
            variable=variable,
            origin=origin,
            environ=environ,
            file=str(profile.file),
            key=f"sites.{profile.name}.{key}",
        )

    options: dict[str, Any] = {
        key.removesuffix("_env"): secret(key, variable)
        for key in ("secret_key_env", "password_env", "api_key_env", "cookies_env")
        if (variable := getattr(settings, key)) is not None
    }
    if settings.proxy_env is not None:  # for any site: a proxy belongs to this machine
        options["proxy"] = secret("proxy_env", settings.proxy_env, None)
    options["headers"] = {
        **settings.headers,
        **{
            name: secret(f"headers_env.{name}", variable)
            for name, variable in settings.headers_env.items()
        },
    }
    return options


def _throttle(profile: Profile) -> Throttle | None:
    settings = profile.settings
    if settings.concurrency is None and settings.rate is None:
        return None
    per = 60.0 if settings.per is None else settings.per
    return _shared_throttle(profile.file, profile.name, settings.concurrency, settings.rate, per)


@lru_cache(maxsize=1024)
def _shared_throttle(
    file: Path, name: str, concurrency: int | None, rate: float | None, per: float
) -> Throttle:
    """Return the throttle of one profile: one object for all sites made of the profile."""
    del file, name
    return Throttle(concurrency=concurrency, rate=rate, per=per)
