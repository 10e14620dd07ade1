"""A thread that runs blocking jobs for its caller, one after the other."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker"]

T = TypeVar("T")

_Job: TypeAlias = tuple["Future[Any]", "Callable[[], Any]"]


class Worker:
    """A daemon thread that runs jobs in a copy of its creator's context (`contextvars`)."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        work = partial(copy_context().run, _work, self._jobs)
        self._thread = Thread(target=work, name="tailrace source", daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], T]) -> Future[T]:
        """Run `job` in the thread, after the jobs before it; return the future of its result."""
        future: Future[T] = Future()
        self._jobs.put((future, job))
        return future

    def wait_for(self, future: Future[T]) -> None:
        """Wait for a job, and raise its error; return at once where the thread cannot do it now.

        When Python is torn down the thread stands still, and a finalizer that waited for it would
        wait for ever; in the thread itself the job comes later.
        """
        if not sys.is_finalizing() and current_thread() is not self._thread:
            future.result()

    def end(self) -> None:
        """Let the thread end after the jobs so far."""
        self._jobs.put(None)


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        _do(*job)
        del job  # free the objects of a job before the wait for the next


def _do(future: Future[Any], job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001 - the future's owner gets it
        future.set_exception(error)
    else:
        future.set_result(result)
