"""Hold every test to this: nothing is left unclosed, and nothing is complained about in a log."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# No clock decides, and every run tries the same examples. `make test-fast` asks for the second.
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=200)
settings.register_profile("fast", settings.get_profile("ci"), max_examples=25)
settings.load_profile("ci")


def pytest_configure() -> None:
    """Have Ctrl-C as a terminal has it: where a shell starts a run in the background, it is ignored
    by the run and by every process the tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of every look for garbage."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each test that runs in a loop look for tasks that it leaves. Its first fixture does, and
    so looks when all others are gone.
    """
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames.insert(0, "no_task_left")


_LAST_TURNS = 20


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Hold that no task is pending at the end; one that is cancelled needs a few turns to go."""
    yield
    for _ in range(_LAST_TURNS):
        if len(asyncio.all_tasks()) == 1:
            return
        await asyncio.sleep(0)
    assert asyncio.all_tasks() - {asyncio.current_task()} == set()


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        # asyncio's debug mode on a slow machine: nothing is left behind.
        if not line.startswith("Executing "):
            self.lines.append(line)


@contextmanager
def _no_complaints() -> Iterator[None]:
    """Fail on "Unclosed …", "Task was destroyed …", "… was never retrieved": asyncio and aiohttp
    only log them, and some when the object is found to be garbage.
    """
    complaints = _Complaints()
    watched = [logging.getLogger(name) for name in ("asyncio", "aiohttp")]
    for logger in watched:
        logger.addHandler(complaints)
    yield
    gc.collect()
    # What a test leaves behind is looked at once: after thousands of tests, that would be most of
    # the time that a test takes.
    gc.freeze()
    for logger in watched:
        logger.removeHandler(complaints)
    assert complaints.lines == []


@pytest.fixture(autouse=True)
def no_complaints() -> Iterator[None]:
    """Look for what this test left behind."""
    with _no_complaints():
        yield


@pytest.fixture(scope="session", autouse=True)
def no_complaints_at_the_end() -> Iterator[None]:
    """Look once more for what tests left behind and only later became garbage: what a module's
    fixtures held, for one.
    """
    with _no_complaints():
        yield
        gc.unfreeze()
