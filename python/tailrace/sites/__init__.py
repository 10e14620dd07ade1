"""Sites: any deployment of a known software, by its URL or by the name of a profile."""

from __future__ import annotations

from tailrace.sites.dialects import DEFAULT_DIALECT, DIALECTS
from tailrace.sites.profiles import Profile, Settings, load_profiles, profile_files
from tailrace.sites.registry import ProfiledSite, site

__all__ = [
    "DEFAULT_DIALECT",
    "DIALECTS",
    "Profile",
    "ProfiledSite",
    "Settings",
    "load_profiles",
    "profile_files",
    "site",
]
