"""Profiles: sites as data, one table ``[sites.NAME]`` each in a file ``tailrace.toml``.

A table ``[models.NAME]`` beside them is a `ModelGroup`: a name that several sites answer to. A
table ``[chat]`` says what ``tailrace chat`` does unless told otherwise.

Where they are looked for: with ``TAILRACE_CONFIG`` set, in that file alone. Else in the project's
file, which is the nearest ``tailrace.toml`` in the working folder or, inside a repository, in a
folder above it up to the repository's root; and in the user's file, ``tailrace.toml`` in the user's
configuration folder.

The project's file may be somebody else's: environment variables are read for its sites only where
the user trusts the file (`_trust`), and it cannot hide a site of the user's.

Nothing is guessed: an unknown key, a wrong type and a key that the site's software does not have
are refused with file, key and what was expected. A secret is never in a file, only the name of the
environment variable that holds it.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
import platformdirs
from msgspec import Meta

from tailrace._calls.retry_policy import RetryPolicy
from tailrace.errors import InvalidRequestError, ProfileError, ProviderNotFoundError, ProxyError
from tailrace.providers import provider_named
from tailrace.sites._options import closest_name
from tailrace.sites._software import (
    DEFAULT_SOFTWARE,
    FORMER_NAMES,
    SOFTWARE,
    SoftwareName,
    unknown_software,
)
from tailrace.sites._trust import is_trusted
from tailrace.transport._rules import checked_headers, checked_proxy, checked_url, origin

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

__all__ = [
    "CONFIG_VARIABLE",
    "FILE_NAME",
    "MAX_FILE_BYTES",
    "ChatDefaults",
    "ChatSettings",
    "Described",
    "ModelGroup",
    "Profile",
    "ProfileSettings",
    "RetrySettings",
    "find_described",
    "load_profiles",
    "profile_files",
    "read_profiles",
]

CONFIG_VARIABLE = "TAILRACE_CONFIG"
FILE_NAME = "tailrace.toml"
MAX_FILE_BYTES = 2**20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key"})

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

_Text = Annotated[str, Meta(min_length=1)]
_Seconds = Annotated[float, Meta(gt=0, le=1e6)]
_Wait = Annotated[float, Meta(ge=0, lt=1e6)]
_Bytes = Annotated[int, Meta(ge=1, le=2**40)]
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]
_Rate = Annotated[float, Meta(ge=1, le=1e6)]
_Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class RetrySettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """A `RetryPolicy` as data."""

    attempts: Annotated[int, Meta(ge=1, le=1000)] = 3
    first_wait: _Wait | None = None
    longest_wait: _Wait | None = None
    longest_retry_after: _Wait | None = None

    def policy(self) -> RetryPolicy:
        """Return the policy; a key that is not given is the policy's own default."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return RetryPolicy(**{name: value for name, value in given.items() if value is not None})


class ProfileSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The table of a site, key by key.

    Names ending in ``_env`` are names of environment variables; times are seconds.

    `endpoint` is on the URL's own host. `proxy` and `url` hold no password: `proxy_env` is for a
    proxy that wants one. At most `concurrency` calls are under way at once, and `rate` begun in
    `per` seconds (60 unless given). Without `retry` nothing is sent twice. A reply larger than
    `max_reply_bytes` is an error. `bot` is a bot's id, `bot_name` the name its chat shows;
    `native_history`, `api`, `comments_restart_idle` and `unsupported` as `tailrace.Site` says.

    `software` is one of `tailrace.sites.SOFTWARE`. `cookies_env` names cookies as a browser sends
    them (``name=value; name=value``), `headers_env` maps headers to variables.
    """

    url: _Text
    software: SoftwareName = DEFAULT_SOFTWARE
    endpoint: _Text | None = None
    bot: _Text | None = None
    bot_name: _Text | None = None
    native_history: bool | None = None
    api: Literal["chat", "responses"] | None = None
    models: list[_Text] = []
    aliases: dict[str, _Text] = {}
    default_model: _Text | None = None
    secret_key_env: _Variable | None = None
    password_env: _Variable | None = None
    api_key_env: _Variable | None = None
    cookies_env: _Variable | None = None
    headers: dict[str, str] = {}
    headers_env: dict[str, _Variable] = {}
    proxy: _Text | None = None
    proxy_env: _Variable | None = None
    timeout: _Seconds | None = None
    connect_timeout: _Seconds | None = None
    total_timeout: _Seconds | None = None
    concurrency: _Count | None = None
    rate: _Rate | None = None
    per: _Seconds | None = None
    retry: RetrySettings | None = None
    max_reply_bytes: _Bytes | None = None
    comments_restart_idle: bool | None = None
    unsupported: Literal["refuse", "drop"] | None = None

    def variables(self) -> dict[str, str]:
        """Return the environment variables this site names, each with the key that names it."""
        keys = ("secret_key_env", "password_env", "api_key_env", "cookies_env", "proxy_env")
        single = {key: getattr(self, key) for key in keys}
        headers = {f"headers_env.{name}": variable for name, variable in self.headers_env.items()}
        return {
            variable: key for key, variable in {**single, **headers}.items() if variable is not None
        }


class GroupSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table of a group of models, key by key.

    `sites`: those that are asked, in their order, until one answers; each by its name, for its
    model of the group's name, or as ``site/model``.
    """

    sites: Annotated[list[_Text], Meta(min_length=1)]


class ChatSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The table ``[chat]``, key by key: what ``tailrace chat`` does unless told otherwise.

    `site`: who answers where nobody is named; `keep`: whether conversations are kept, true;
    `plain`: whether answers are shown as they are on a terminal, and not as Markdown, false.
    """

    site: _Text | None = None
    keep: bool | None = None
    plain: bool | None = None


@dataclass(frozen=True, slots=True)
class ChatDefaults:
    """The table ``[chat]`` of one `file`; `trusted`: whether the user trusts the file."""

    settings: ChatSettings
    file: Path
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """A model's name that several sites answer to: each is asked until one does.

    `name`: the model's name; `sites`: the sites in their order, each by its name or as
    ``site/model``. `file`: the file that describes it, None for one made in a program; `hides`: the
    user's file where that describes a group of the same name, too, else None.
    """

    name: str
    sites: tuple[str, ...]
    file: Path | None = None
    hides: Path | None = None

    def error(self, key: str, problem: str) -> InvalidRequestError:
        """Make the error for a wrong value of `key`; `problem`: the expected value, in words."""
        path = f"models.{self.name}{key and '.'}{key}"
        if self.file is None:
            return InvalidRequestError(f"{path}: {problem}")
        return ProfileError(str(self.file), path, problem)


@dataclass(frozen=True, slots=True)
class Described:
    """Sites of profile files by their names in lower case, and groups of models by their names.

    `chat`: the files' tables ``[chat]``, in the order of the files.
    """

    profiles: dict[str, Profile]
    groups: dict[str, ModelGroup]
    chat: tuple[ChatDefaults, ...] = ()

    def before(self, other: Described) -> Described:
        """Return both; of one name, what is described here counts."""
        return Described(
            {**self.profiles, **_rest(other.profiles, self.profiles)},
            {**self.groups, **_rest(other.groups, self.groups)},
            (*self.chat, *other.chat),
        )


def _rest(named: dict[str, T], taken: Container[str]) -> dict[str, T]:
    return {name: each for name, each in named.items() if name not in taken}


@dataclass(frozen=True, slots=True)
class Profile:
    """A site as `file` describes it: its `name` there, and its table, the `settings`.

    `trusted`: whether the environment variables that it names may be read; `hides`: the user's file
    where that describes a site of the same name, too, else None.
    """

    name: str
    settings: ProfileSettings
    file: Path
    trusted: bool = True
    hides: Path | None = None

    def error(self, key: str, problem: str) -> ProfileError:
        """Make the error for a wrong value of `key`; `problem`: the expected value, in words."""
        return ProfileError(str(self.file), f"sites.{self.name}.{key}", problem)

    def check_usable(self) -> None:
        """Raise ProfileError where the profile hides another, or names variables without trust."""
        if self.hides is not None:
            raise ProfileError(
                str(self.file),
                f"sites.{self.name}",
                f"it would hide the site of this name in {self.hides}: rename one of them",
            )
        for variable, key in self.settings.variables().items():
            if not self.trusted:
                raise self.error(
                    key,
                    f"the environment variable {variable} is not read: the file came with this "
                    "folder and is not trusted; look through it, then run `tailrace trust`, or "
                    "give --trust this time",
                )


def profile_files(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
) -> list[Path]:
    """Return the files that profiles are read from; of one name the first file's profile counts.

    Where ``TAILRACE_CONFIG`` names a file, that file alone, whether it exists or not; else those
    that exist of the project's and the user's. `environ`: the environment variables, `folder`: the
    working folder, `user_folder`: the folder of the user's file; the process's own unless given.
    """
    named = _named_file(environ)
    if named is not None:
        return [named]
    project, user = project_file(folder), user_file(user_folder)
    return [each for each in (project, user) if each is not None and each.is_file()]


def find_profiles(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
    trust: bool = False,
    state_folder: Path | None = None,
) -> dict[str, Profile]:
    """Return the profiles that `find_described` finds, by name in lower case."""
    return find_described(
        environ=environ,
        folder=folder,
        user_folder=user_folder,
        trust=trust,
        state_folder=state_folder,
    ).profiles


def find_described(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
    trust: bool = False,
    state_folder: Path | None = None,
) -> Described:
    """Return the sites and groups of the files of `profile_files`.

    A profile of the project's file says whether it is trusted, which `trust` claims for this time,
    and whether it hides one of the user's, as a group does. `state_folder`: the folder that keeps
    trust, the user's unless given; the others are those of `profile_files`. Errors are those of
    `load_profiles`.
    """
    files = profile_files(environ=environ, folder=folder, user_folder=user_folder)
    own = user_file(user_folder)
    if _named_file(environ) is not None or not files or _is_same(files[0], own):
        return _described(files[:1])
    data = read_bytes(files[0])
    trusted = trust or is_trusted(files[0], data, state_folder)
    users = _described(files[1:])
    projects = parse_described(_decoded(data, files[0]), files[0])
    return Described(
        {
            name: replace(profile, trusted=trusted, hides=own if name in users.profiles else None)
            for name, profile in projects.profiles.items()
        },
        {
            name: replace(group, hides=own if name in users.groups else None)
            for name, group in projects.groups.items()
        },
        tuple(replace(each, trusted=trusted) for each in projects.chat),
    ).before(users)


def _described(files: list[Path]) -> Described:
    """Return what `files` describe together; of one name, the first file's counts."""
    found = Described({}, {})
    for file in files:
        found = found.before(parse_described(read_text(file), file))
    return found


def _named_file(environ: Mapping[str, str] | None) -> Path | None:
    named = (os.environ if environ is None else environ).get(CONFIG_VARIABLE)
    return Path(named) if named else None


def _is_same(file: Path, other: Path) -> bool:
    return other.exists() and file.samefile(other)


def user_file(user_folder: Path | None = None) -> Path:
    """Return the path of the user's file, which may not exist; `user_folder`: its folder."""
    return (user_folder or platformdirs.user_config_path("tailrace", appauthor=False)) / FILE_NAME


def project_file(folder: Path | None = None) -> Path | None:
    """Return the nearest profile file, None without one; `folder`: the working folder.

    Folders above it count only inside a repository, so that no stranger's file in /tmp is ever
    read.
    """
    folder = Path.cwd() if folder is None else folder.absolute()
    above = [folder, *folder.parents]
    root = next((depth for depth, each in enumerate(above) if (each / ".git").exists()), 0)
    return next(
        (each / FILE_NAME for each in above[: root + 1] if (each / FILE_NAME).is_file()), None
    )


def load_profiles(files: list[Path]) -> dict[str, Profile]:
    """Return the profiles of all `files` by name in lower case; of one name the first file's.

    Raises ProfileError for a file that cannot be read or is not as `ProfileSettings` describes it.
    """
    return _described(files).profiles


def read_profiles(file: Path) -> list[Profile]:
    """Return the profiles of one file, in its order.

    Raises ProfileError for a file that cannot be read or is not as `ProfileSettings` describes it.
    """
    return parse_profiles(read_text(file), file)


def read_text(file: Path) -> str:
    """Return the file as text.

    Raises ProfileError for one that cannot be read, or is larger than `MAX_FILE_BYTES`.
    """
    return _decoded(read_bytes(file), file)


def read_bytes(file: Path) -> bytes:
    """Return the file's bytes; errors are those of `read_text`."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ProfileError(str(file), "", f"it cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ProfileError(str(file), "", f"it is larger than {MAX_FILE_BYTES} bytes")
    return data


def _decoded(data: bytes, file: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProfileError(str(file), "", "it is not UTF-8") from None


def parse_profiles(text: str, file: Path) -> list[Profile]:
    """Return the profiles of a text; `file` is its name in errors."""
    return list(parse_described(text, file).profiles.values())


def parse_described(text: str, file: Path) -> Described:
    """Return what a text describes; `file` is its name in errors."""
    document = parse_document(text, file)
    for key in document:
        if key not in _TABLES:
            close = closest_name(key, frozenset(_TABLES))
            meant = close and repr(close)
            if meant is None and _is_a_site(document[key]):
                meant = f"[sites.{key}]"
            hint = "" if meant is None else f"did you mean {meant}? "
            raise ProfileError(
                str(file), key, f"{hint}unknown key: a site is a table [sites.NAME]{_OR_A_GROUP}"
            )
    profiles: dict[str, Profile] = {}
    for name, table in _tables(document, "sites", file).items():
        check_name(name, file)
        if name.lower() in profiles:
            raise ProfileError(
                str(file), f"sites.{name}", "a site of this name stands above, in another case"
            )
        profiles[name.lower()] = _profile(name, table, file)
    groups = {
        name: _group(name, table, file) for name, table in _tables(document, "models", file).items()
    }
    chat: tuple[ChatDefaults, ...] = ()
    if "chat" in document:
        chat = (ChatDefaults(_converted(document["chat"], ChatSettings, file, "chat"), file),)
    return Described(profiles, groups, chat)


_TABLES = ("sites", "models", "chat")
_OR_A_GROUP = (
    ", a group of models a table [models.NAME], what `tailrace chat` does by itself a table [chat]"
)


def _is_a_site(value: object) -> bool:
    """Tell the table of a site that stands under its name alone."""
    return isinstance(value, dict) and "url" in value


def _tables(document: dict[str, Any], key: str, file: Path) -> dict[str, Any]:
    tables = document.get(key, {})
    if not isinstance(tables, dict):
        raise ProfileError(str(file), key, f"expected tables [{key}.NAME]")
    return tables


def parse_document(text: str, file: Path) -> dict[str, Any]:
    """Read a text as TOML; ProfileError says in which line it is not."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # a whole number of thousands of digits is no TOMLDecodeError
        raise ProfileError(str(file), "", f"it is not TOML: {error}") from None
    except RecursionError:
        raise ProfileError(
            str(file), "", "it is not TOML that can be read: it is nested too deeply"
        ) from None


def check_name(name: str, file: Path) -> None:
    """Raise ProfileError unless a site may have this name; `file`: the file the error names."""
    key = f"sites.{name[:80]}"
    if not _NAME.fullmatch(name):
        raise ProfileError(
            str(file),
            key,
            "a site's name is 1 to 64 letters, digits, - and _, none of the last two first",
        )
    try:
        taken = provider_named(name).__name__
    except ProviderNotFoundError:
        return
    raise ProfileError(str(file), key, f"the name belongs to the provider {taken}")


def _profile(name: str, table: object, file: Path) -> Profile:
    if isinstance(table, dict) and "dialect" in table:
        raise ProfileError(str(file), f"sites.{name}.dialect", _renamed(table["dialect"]))
    software = table.get("software") if isinstance(table, dict) else None
    if isinstance(software, str) and software not in SOFTWARE:
        raise ProfileError(str(file), f"sites.{name}.software", unknown_software(software))
    settings = _converted(table, ProfileSettings, file, f"sites.{name}")
    profile = Profile(name, settings, file)
    for key, problem in _problems(settings):
        raise profile.error(key, problem)
    return profile


def _group(name: str, table: object, file: Path) -> ModelGroup:
    if not _GROUP_NAME.fullmatch(name):
        raise ProfileError(
            str(file),
            f"models.{name[:80]}",
            "a group's name is 1 to 128 letters, digits and - . _ : / @ +, the first no mark",
        )
    settings = _converted(table, GroupSettings, file, f"models.{name}")
    return ModelGroup(name, tuple(settings.sites), file)


def _converted(table: object, kind: type[S], file: Path, path: str) -> S:
    """Read a table as `kind`; `path`: its key in the file, for the error."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        key, problem = explained(str(error), kind.__struct_fields__)
    raise ProfileError(str(file), f"{path}{key}", problem)


def _renamed(former: object) -> str:
    """Say how a site's software is written now that the key is no longer `dialect`."""
    software = FORMER_NAMES.get(former, former) if isinstance(former, str) else None
    name = software if software in SOFTWARE else DEFAULT_SOFTWARE
    return f'the key is now software; write software = "{name}"'


def explained(message: str, fields: tuple[str, ...]) -> tuple[str, str]:
    """Split a message of msgspec into the key, with a dot in front, and the problem.

    `fields`: those of the table.
    """
    problem, _, path = message.replace("`", "").replace(" | null", "").partition(" - at $")
    missing = re.fullmatch(r"Object missing required field (\w+)", problem)
    if missing:
        return f".{missing[1]}", f"expected {_MISSING.get(missing[1], 'str')}, and it is missing"
    unknown = re.fullmatch(r"Object contains unknown field (.*)", problem, re.DOTALL)
    if unknown:
        known = RetrySettings.__struct_fields__ if path == ".retry" else fields
        close = _ELSEWHERE.get(unknown[1])
        if close not in known:
            close = closest_name(unknown[1], frozenset(known))
        hint = "" if close is None else f"did you mean {close!r}? "
        problem = f"{hint}unknown key; expected one of {', '.join(known)}"
        return f"{path}.{unknown[1][:80]}", problem
    return path.removesuffix("[...]"), problem[:1].lower() + problem[1:]


_ELSEWHERE = {
    "key": "api_key_env",
    "model": "default_model",
    "retries": "retry",
    "token": "api_key_env",
}
"""Names of options, and of other programs, whose keys here look unlike them."""

_MISSING = {"sites": "a list of sites"}


def _problems(settings: ProfileSettings) -> Iterator[tuple[str, str]]:
    """Yield the problems that types do not show, key by key."""
    yield from _software_problems(settings)
    yield from _url_problems(settings)
    yield from _model_problems(settings)
    yield from _header_problems(settings)
    if settings.per is not None and settings.rate is None:
        yield "per", "expected together with rate, which it is the time of"
    if settings.proxy is not None:
        yield from _proxy_problems(settings.proxy, settings.proxy_env)


def _software_problems(settings: ProfileSettings) -> Iterator[tuple[str, str]]:
    own = SOFTWARE[settings.software].options
    others = frozenset().union(*(each.options for each in SOFTWARE.values())) - own
    for key in sorted(ProfileSettings.__struct_fields__):
        if key.removesuffix("_env") in others and getattr(settings, key) is not None:
            yield key, f"a site of the software {settings.software} has no such setting"


def _url_problems(settings: ProfileSettings) -> Iterator[tuple[str, str]]:
    for key, url in (("url", settings.url), ("endpoint", settings.endpoint)):
        if url is None:
            continue
        try:
            checked_url(url)
        except InvalidRequestError as error:
            yield key, f"expected an http or https URL: {error}"
            return
        if "@" in urlsplit(url).netloc:
            yield key, "expected a URL without user and password: secrets do not stand in files"
    if settings.endpoint is not None and origin(settings.endpoint) != origin(settings.url):
        yield "endpoint", f"expected a URL at {origin(settings.url)}, where the site is"


def _model_problems(settings: ProfileSettings) -> Iterator[tuple[str, str]]:
    named = {"default_model": settings.default_model}
    named.update({f"aliases.{alias}": target for alias, target in settings.aliases.items()})
    for key, model in named.items():
        if model is not None and settings.models and model not in settings.models:
            yield key, f"expected one of models: {', '.join(settings.models)}"


def _header_problems(settings: ProfileSettings) -> Iterator[tuple[str, str]]:
    for key, headers in (("headers", settings.headers), ("headers_env", settings.headers_env)):
        try:
            names = checked_headers(headers)
        except InvalidRequestError as error:
            yield key, str(error)
            return
        secret = sorted(_SECRET_HEADERS & set(names))
        if key == "headers" and secret:
            yield (
                f"{key}.{secret[0]}",
                "a secret does not stand in a file: name its variable under headers_env",
            )


def _proxy_problems(proxy: str, proxy_env: str | None) -> Iterator[tuple[str, str]]:
    if proxy_env is not None:
        yield "proxy_env", "expected either proxy or proxy_env, not both"
    try:
        checked = checked_proxy(proxy)
    except ProxyError as error:
        yield "proxy", str(error)
        return
    if checked is not None and (checked.username is not None or checked.password is not None):
        yield (
            "proxy",
            (
                "expected a URL without user and password: put the whole into a variable, and name "
                "it in proxy_env"
            ),
        )
