"""The machine's chromium, started so that nothing of its own goes over the network."""

from __future__ import annotations

import os
import shutil

# The first is the engine without a window: the same pages at half the processor time.
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
)
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
NONE_HERE = (
    f"there is no chromium here (looked for {', '.join(NAMES)}): "
    "the page is not tested in a browser"
)


def find() -> str | None:
    """Find the first on PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def must_be_there() -> bool:
    """Whether tests without a browser are tests that failed."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
