"""A name in, a provider class out: a provider's name, the name of a site's profile, or a bare URL.

The class made for a profile has its models, bot and endpoint as attributes, and fills in its proxy,
clocks, headers and secrets where a call gives none of its own. Secrets are read from the
environment when a call begins, and are sent to the profile's own origin only: a call with `url=`
elsewhere goes without them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace._calls.throttling import Throttle
from tailrace.errors import InvalidRequestError, ProviderNotFoundError
from tailrace.providers import ChatProvider, provider_named
from tailrace.providers._base import checked_site
from tailrace.sites._profiles import load_profiles, profile_files
from tailrace.sites._software import DEFAULT_DIALECT, DIALECTS
from tailrace.transport import Limits
from tailrace.transport._rules import checked_url, origin

if TYPE_CHECKING:
    from pathlib import Path

    from tailrace._messages import Messages
    from tailrace._streams.stream import ChatStream
    from tailrace.sites._profiles import Profile

__all__ = ["ProfiledSite", "is_url", "site"]


def site(
    name: str,
    *,
    dialect: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
) -> type[ChatProvider]:
    """The provider class of a provider's name, of a profile's name (both whatever their case), or
    of a URL.

    A URL is the page of a WordPress site unless `dialect` says otherwise; `tailrace.discover` finds
    out. `environ` stands for the environment, `folder` for the working folder, `user_folder` for
    the one of the user's settings.

    Raises ProviderNotFoundError for an unknown name, ProfileError for a file that is not as it
    should be, InvalidRequestError for a malformed URL, an unknown dialect, and a dialect given for
    what has one of its own.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise InvalidRequestError(
            f"no site speaks {dialect!r}: the dialects are {', '.join(DIALECTS)}"
        )
    if is_url(name):
        return _site_at(checked_site(name), dialect or DEFAULT_DIALECT)
    variables = os.environ if environ is None else environ
    provider = _named(name, variables, folder, user_folder)
    if dialect not in (None, provider.dialect):
        raise InvalidRequestError(
            f"{name} speaks {provider.dialect}, not {dialect}: a dialect is for a bare URL"
        )
    return provider


def is_url(name: str) -> bool:
    """Whether this is a URL rather than a name: it has a scheme."""
    return "://" in name


def _site_at(url: str, dialect: str) -> type[ChatProvider]:
    name = origin(checked_url(url).url)
    attributes = {
        "dialect": dialect,
        "url": url,
        "label": name,
        "__doc__": f"The site at {name}.",
        "__module__": __name__,
    }
    return type(name, (DIALECTS[dialect].provider(),), attributes)


def _named(
    name: str, environ: Mapping[str, str], folder: Path | None, user_folder: Path | None
) -> type[ChatProvider]:
    try:
        return provider_named(name)
    except ProviderNotFoundError as error:
        unknown = str(error)
    profiles = load_profiles(profile_files(environ=environ, folder=folder, user_folder=user_folder))
    profile = profiles.get(name.lower())
    if profile is None:
        sites = ", ".join(each.name for each in profiles.values())
        raise ProviderNotFoundError(
            f"{unknown}; {f'sites: {sites}' if sites else 'no profile names a site'}; or a URL"
        )
    return _profiled(profile, environ)


def _profiled(profile: Profile, environ: Mapping[str, str]) -> type[ChatProvider]:
    settings = profile.settings
    base = DIALECTS[settings.dialect].provider()
    attributes = {
        "profile": profile,
        "environ": environ,
        "dialect": settings.dialect,
        "url": settings.url,
        "label": profile.name,
        "api_endpoint": settings.endpoint or "",
        "models": settings.models,
        "model_aliases": settings.aliases,
        "default_model": settings.default_model or next(iter(settings.models), ""),
        "__doc__": f"The site {profile.name}, as {profile.file} describes it.",
        "__module__": __name__,
    }
    chosen = {
        "bot_id": settings.bot,
        "bot_name": settings.bot_name,
        "native_history": settings.native_history,
    }
    attributes |= {name: value for name, value in chosen.items() if value is not None}
    if settings.concurrency is not None or settings.rate is not None:
        attributes["throttle"] = _limit(
            profile.file, profile.name, settings.concurrency, settings.rate, settings.per
        )
    if settings.secret_key_env is not None:
        attributes["secret_variable"] = settings.secret_key_env
    return type(profile.name, (ProfiledSite, base), attributes)


@lru_cache(maxsize=1024)
def _limit(
    file: Path, name: str, concurrency: int | None, rate: float | None, per: float | None
) -> Throttle:
    """The limit of one site, one object for all classes made of its profile."""
    return Throttle(concurrency=concurrency, rate=rate, per=60.0 if per is None else per)


class _FromProfile:
    """The default of `timeout`: not given, so the profile's."""

    def __repr__(self) -> str:
        return "<the profile's>"


_FROM_PROFILE: Any = _FromProfile()


class ProfiledSite(ChatProvider):
    """What the class of a profile adds to its dialect's provider: the profile's settings, where a
    call gives none.
    """

    profile: ClassVar[Profile]
    environ: ClassVar[Mapping[str, str]]

    @classmethod
    def create_async_generator(
        cls,
        model: str,
        messages: Messages,
        proxy: str | None = None,
        timeout: float | None = _FROM_PROFILE,
        cookies: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> ChatStream:
        """As every provider's; what is not given is the profile's.

        `cookies` and `headers` of a call are added to the profile's, and win over it. Raises
        ProfileError when a variable the profile names is not set.
        """
        given = {"proxy": proxy, "cookies": cookies, **kwargs}
        options = cls.own_options(kwargs.get("url"))
        for name, value in given.items():
            if name in ("cookies", "headers") and isinstance(value, Mapping):
                options[name] = {**options.get(name, {}), **value}
            elif value is not None or name not in _NONE_IS_NOTHING:
                options[name] = value
        if timeout is not _FROM_PROFILE:
            options["timeout"] = timeout
        if cls.profile.settings.secret_key_env is not None:
            # Elsewhere the app's own default signs: given nothing, the provider would look the
            # variable up itself.
            options.setdefault("secret_key", "")
        return super().create_async_generator(model, messages, **options)

    @classmethod
    def own_options(cls, url: str | None = None) -> dict[str, Any]:
        """The call's options as the profile has them; without secrets where `url` is of another
        origin.
        """
        settings = cls.profile.settings
        plain = ("proxy", "timeout", "connect_timeout", "total_timeout")
        options: dict[str, Any] = {name: getattr(settings, name) for name in plain}
        options["headers"] = dict(settings.headers)
        options["retry"] = settings.retry and settings.retry.policy()
        if settings.max_reply_bytes is not None:
            options["limits"] = Limits(max_reply_bytes=settings.max_reply_bytes)
        if settings.proxy_env is not None:
            options["proxy"] = cls._variable("proxy_env", settings.proxy_env)
        if _is_at(settings.url, url):
            cls._add_secrets(options)
        return {name: value for name, value in options.items() if value}

    @classmethod
    def _add_secrets(cls, options: dict[str, Any]) -> None:
        settings = cls.profile.settings
        for key in ("secret_key_env", "password_env", "api_key_env"):
            variable = getattr(settings, key)
            if variable is not None:
                options[key.removesuffix("_env")] = cls._variable(key, variable)
        for name, variable in settings.headers_env.items():
            options["headers"][name] = cls._variable(f"headers_env.{name}", variable)
        if settings.cookies_env is not None:
            options["cookies"] = _cookies(cls._variable("cookies_env", settings.cookies_env))

    @classmethod
    def _variable(cls, key: str, variable: str) -> str:
        value = cls.environ.get(variable)
        if value is None:
            raise cls.profile.error(key, f"the environment variable {variable} is not set")
        return value


_NONE_IS_NOTHING = frozenset({"proxy", "cookies", "headers", "secret_key", "password", "api_key"})


def _is_at(home: str, url: str | None) -> bool:
    if url is None or url == home:
        return True
    try:
        return origin(checked_url(url).url) == origin(checked_url(home).url)
    except InvalidRequestError:  # which the call itself will say
        return False


def _cookies(text: str) -> dict[str, str]:
    """Cookies as a browser sends them: ``name=value; name=value``."""
    pairs = (pair.partition("=") for pair in text.split(";") if pair.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}
