"""Secrets that stay in the environment until a call begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError, ProfileError
from tailrace.transport._rules import checked_url, origin

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Secret"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """The value of an environment variable, as an option instead of a secret in the source.

    `variable`: the variable's name; it is read anew for each call. `origin`: the one origin
    (``https://host``) the value may be sent to, at any other the option counts as not given; None:
    wherever the site is. `default`: the value where the variable is not set; None makes that an
    error. `environ`: the variables, None for those of the call's environment. `file` and `key`: the
    profile that names the variable, and its key there, for the error.
    """

    variable: str
    origin: str | None = None
    default: str | None = None
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    file: str | None = None
    key: str | None = None

    def read(self, url: str, environ: Mapping[str, str]) -> str | None:
        """Return the value for a call to the site at `url`; None where it must not be sent there.

        `environ`: the variables of the call's environment. Where the variable is not set, raises
        ProfileError for a secret that a profile names, InvalidRequestError for any other.
        """
        if self.origin is not None and self.origin != origin_of(url):
            return None
        value = self.value(environ)
        if value is not None:
            return value
        problem = f"the environment variable {self.variable} is not set"
        if self.file is not None:
            raise ProfileError(self.file, self.key or "", problem)
        raise InvalidRequestError(problem)

    def is_set(self, environ: Mapping[str, str]) -> bool:
        """Tell whether there is a value; `environ`: the variables of a call's environment."""
        return self.value(environ) is not None

    def value(self, environ: Mapping[str, str]) -> str | None:
        """Return the value, wherever it may be sent; None where there is none.

        `environ`: the variables of a call's environment.
        """
        return (environ if self.environ is None else self.environ).get(self.variable, self.default)


@lru_cache(maxsize=1024)  # of the same few sites, for each call
def origin_of(url: str) -> str:
    """Return ``scheme://host:port`` of a URL, the port only where it is not the scheme's own."""
    return origin(checked_url(url).url)
