"""Sites: any deployment of a known software, by its URL or by the name of a profile."""

from __future__ import annotations

from tailrace.sites._diagnosis import Diagnosis, Step, doctor
from tailrace.sites._discovery import Bot, Discovery, discover
from tailrace.sites._profiles import Profile, Settings, load_profiles, profile_files
from tailrace.sites._registry import ProfiledSite, site
from tailrace.sites._software import DEFAULT_DIALECT, DIALECTS
from tailrace.sites._verdicts import Verdict, last_verdict

__all__ = [
    "DEFAULT_DIALECT",
    "DIALECTS",
    "Bot",
    "Diagnosis",
    "Discovery",
    "Profile",
    "ProfiledSite",
    "Settings",
    "Step",
    "Verdict",
    "discover",
    "doctor",
    "last_verdict",
    "load_profiles",
    "profile_files",
    "site",
]
