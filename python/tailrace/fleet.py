"""A fleet: many streams read, decoded and stamped in threads of Rust, beside Python's lock.

For who holds hundreds of streams or thousands: load tools, batches, gateways. It has a wheel of its
own, ``pip install "tailrace[fleet]"``, for Linux and macOS::

    from tailrace.fleet import Fleet

    with Fleet(keep="text") as fleet:
        for number, body in enumerate(bodies):
            fleet.submit(url, json=body, tag=number)
        for batch in fleet.batches():
            for ended in batch.ended:
                print(ended.tag, ended.end, ended.text)

Importing this module looks for no wheel; the first of its names that is used does.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from tailrace.errors import MissingRequirementsError

if TYPE_CHECKING:
    from tailrace_fleet import KINDS, Batch, Batches, Ended, Fleet, Request, Ticket

__all__ = ["KINDS", "Batch", "Batches", "Ended", "Fleet", "Request", "Ticket"]

_WHEEL = "tailrace_fleet"


def __getattr__(name: str) -> object:
    """Take a name from the wheel when it is first used (PEP 562).

    Raises `MissingRequirementsError`, with the line that installs it, where there is no wheel.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        wheel = import_module(_WHEEL)
    except ModuleNotFoundError as error:
        if error.name != _WHEEL:
            raise
    else:
        value: object = getattr(wheel, name)
        globals()[name] = value
        return value
    if sys.platform == "win32":
        raise MissingRequirementsError("a fleet is for Linux and macOS, and not for Windows")
    raise MissingRequirementsError(
        'the fleet is not installed: pip install "tailrace[fleet]", '
        "or from a checkout: pip install ./rust/fleet"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
