"""The exit codes and their meanings."""

from __future__ import annotations

import os
import sys

from tailrace import errors

__all__ = [
    "BROKEN_PIPE",
    "HELP",
    "INTERRUPTED",
    "NETWORK",
    "OK",
    "SERVER",
    "SITE",
    "USAGE",
    "code_of",
    "silence_stdout",
]

OK = 0
USAGE = 2
SITE = 3
NETWORK = 4
SERVER = 5
INTERRUPTED = 130
BROKEN_PIPE = 141

HELP = (
    "Exit codes: 0 an answer came whole (of load and batch: all of them); 2 wrong usage, or a file "
    "that cannot be read or written; 3 the site answered, "
    "but not with a whole answer (of batch: some rows failed); 4 no reply came (network, proxy, "
    "TLS, timeout; of batch: the site is down, rows are left); 5 the "
    "gateway's workers died again "
    "and again; 130 interrupted; 141 the reader of the output went away. The replica, the "
    "gateway and a doctor on guard end with 0."
)

_USAGE_ERRORS = (
    errors.InvalidProxyError,
    errors.BatchWriteError,
    errors.InvalidRequestError,
    errors.MissingRequirementsError,
    errors.ProviderNotFoundError,
)
_NETWORK_ERRORS = (errors.BatchWorkersError, errors.NetworkError, errors.TimeoutError)


def code_of(error: errors.TailraceError) -> int:
    """Return the exit code of a failure."""
    if isinstance(error, _USAGE_ERRORS):
        return USAGE
    return NETWORK if isinstance(error, _NETWORK_ERRORS) else SITE


def silence_stdout() -> None:
    """Send further writes to stdout to the null device.

    After a failed write the interpreter flushes once more at its end, and would report the failure.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
