"""The doctor's last verdicts, kept in the user's state folder.

There is one small file a site, so that writers never meet.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from tailrace.sites._state import MAX_FILE_BYTES, state_file, write_state
from tailrace.transport._rules import checked_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Verdict", "last_verdict", "store_verdict"]

log: logging.Logger = logging.getLogger("tailrace")

_LATEST = 253_402_300_799  # the last second of the year 9999, where Python's calendar ends


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Result of the doctor's last look at a site.

    `failed`: the step that failed, None where an answer came whole; `at`: seconds since 1970.
    """

    site: str
    url: str
    failed: str | None
    at: Annotated[float, msgspec.Meta(ge=0, le=_LATEST)]

    @property
    def when(self) -> str:
        """The time to the second, in UTC, as ISO 8601 writes it."""
        return datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def store_verdict(verdict: Verdict, folder: Path | None = None) -> bool:
    """Write a site's verdict over its last one; False, and a log line, where that fails."""
    file = _file(verdict.site, verdict.url, folder)
    try:
        write_state(file, msgspec.json.encode(verdict))
    except OSError as error:
        log.warning(
            "the doctor's verdict cannot be kept in %s: %s", file.parent, error.strerror or error
        )
        return False
    return True


def last_verdict(site: str, url: str, folder: Path | None = None) -> Verdict | None:
    """Return the verdict last kept of the site named `site` at `url`.

    `folder`: the state folder, the user's unless given. None where no verdict can be read.
    """
    try:
        with _file(site, url, folder).open("rb") as opened:
            return msgspec.json.decode(opened.read(MAX_FILE_BYTES), type=Verdict)
    except (OSError, msgspec.DecodeError):
        return None


def _file(site: str, url: str, folder: Path | None) -> Path:
    """Return the file of a site; a URL with a password in it has that of the one without."""
    return state_file("verdicts", f"{site.lower()} {checked_url(url).url}", folder)
