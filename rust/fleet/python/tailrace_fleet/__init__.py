"""Many chat streams at once: sent, read, decoded and stamped in threads that are not Python's.

`tailrace.fleet` is the same module under the name that programs use.
"""

from __future__ import annotations

from tailrace_fleet._batches import KINDS, Batch, Batches
from tailrace_fleet._ended import Ended
from tailrace_fleet._fleet import Fleet
from tailrace_fleet._native import Ticket, __version__
from tailrace_fleet._requests import Request

__all__ = ["KINDS", "Batch", "Batches", "Ended", "Fleet", "Request", "Ticket", "__version__"]

for _each in (Batch, Batches, Ended, Fleet, Request):
    _each.__module__ = __name__
del _each
