"""Sites: any deployment of a known software, by its URL or by the name of a profile.

All names are imported on first use: the classes of `tailrace.providers` use `Site`, and `site`
looks names up among those classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailrace.sites._diagnosis import Diagnosis, Step, doctor
    from tailrace.sites._discovery import Bot, Discovery, discover
    from tailrace.sites._options import CallOptions, SiteOptions
    from tailrace.sites._profiles import (
        ModelGroup,
        Profile,
        ProfileSettings,
        load_profiles,
        profile_files,
    )
    from tailrace.sites._registry import site
    from tailrace.sites._secrets import Secret
    from tailrace.sites._site import Site
    from tailrace.sites._software import DEFAULT_SOFTWARE, SOFTWARE
    from tailrace.sites._verdicts import Verdict, last_verdict

__all__ = [
    "DEFAULT_SOFTWARE",
    "SOFTWARE",
    "Bot",
    "CallOptions",
    "Diagnosis",
    "Discovery",
    "ModelGroup",
    "Profile",
    "ProfileSettings",
    "Secret",
    "Site",
    "SiteOptions",
    "Step",
    "Verdict",
    "discover",
    "doctor",
    "last_verdict",
    "load_profiles",
    "profile_files",
    "site",
]

_HOMES = {
    "DEFAULT_SOFTWARE": "software",
    "SOFTWARE": "software",
    "Bot": "discovery",
    "CallOptions": "options",
    "Diagnosis": "diagnosis",
    "Discovery": "discovery",
    "ModelGroup": "profiles",
    "Profile": "profiles",
    "Secret": "secrets",
    "ProfileSettings": "profiles",
    "Site": "site",
    "SiteOptions": "options",
    "Step": "diagnosis",
    "Verdict": "verdicts",
    "discover": "discovery",
    "doctor": "diagnosis",
    "last_verdict": "verdicts",
    "load_profiles": "profiles",
    "profile_files": "profiles",
    "site": "registry",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
