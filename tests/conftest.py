"""What every test obeys: nothing is left unclosed, and nothing is complained about behind our back."""

from __future__ import annotations

import gc
import logging
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# No clock decides, and every run tries the same examples.
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("ci")


def pytest_configure() -> None:
    """Have Ctrl-C as a terminal has it: a run that a shell starts in the background has it ignored,
    children too.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of every later look for garbage: most of a
    short test's time.
    """
    gc.collect()
    gc.freeze()


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if not line.startswith(
            "Executing "
        ):  # asyncio's debug mode on a slow machine: nothing is left behind
            self.lines.append(line)


@pytest.fixture(autouse=True)
def no_complaints() -> Iterator[None]:
    """Fail on "Unclosed …", "Task was destroyed …", "… was never retrieved": asyncio and aiohttp
    only log them.
    """
    complaints = _Complaints()
    watched = [logging.getLogger(name) for name in ("asyncio", "aiohttp")]
    for logger in watched:
        logger.addHandler(complaints)
    yield
    gc.collect()
    for logger in watched:
        logger.removeHandler(complaints)
    assert complaints.lines == []
