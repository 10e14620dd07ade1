"""Sites: any deployment of a known software, by its URL or by the name of a profile."""

from __future__ import annotations

from tailrace.sites.diagnosis import Diagnosis, Step, doctor
from tailrace.sites.dialects import DEFAULT_DIALECT, DIALECTS
from tailrace.sites.discovery import Bot, Discovery, discover
from tailrace.sites.profiles import Profile, Settings, load_profiles, profile_files
from tailrace.sites.registry import ProfiledSite, site
from tailrace.sites.verdicts import Verdict, last_verdict

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
