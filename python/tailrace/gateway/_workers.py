"""Several workers on one port, forked and replaced by a parent that holds the listening sockets.

Where the system spreads connections over the sockets of one port (Linux), each worker has its own;
those of a worker that died wait for the next one.

The parent runs no event loop and answers no request. A worker that dies is replaced at once, or
after `PAUSE_SECONDS` where it had only just begun; after `MOST_FAILURES` of the latter in a row the
gateway gives up. The next worker goes on with the figures of the dead one (`SharedFigures`). The
parent passes a signal to stop on to all workers, and kills those that have not ended in time. It
passes SIGHUP on, too.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket
    from types import FrameType

__all__ = ["WORKER_SIGNALS", "Supervisor"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

WORKER_SIGNALS: tuple[signal.Signals, ...] = (signal.SIGTERM,)
"""The signals that stop a worker; a terminal's Ctrl-C, which reaches all, is the parent's."""

PAUSE_SECONDS = 0.5
JUST_BEGUN_SECONDS = 1.0
MOST_FAILURES = 5
KILL_AFTER_SECONDS = 10.0
"""Seconds beyond the grace time in which a worker may end."""


class Supervisor:
    """The parent of `workers` processes that run `work(number, parent)` until a signal stops them.

    `parent` is a descriptor that ends when this process does; `sockets` are closed when the
    stopping begins; `grace`: seconds that the workers get to end before they are killed, beside
    `KILL_AFTER_SECONDS`. `died(number)` is called for each worker that has ended, before another
    takes its place. Raises InvalidRequestError where processes cannot be forked.
    """

    def __init__(
        self,
        workers: int,
        work: Callable[[int, int], None],
        sockets: Sequence[socket],
        grace: float,
        *,
        died: Callable[[int], object],
    ) -> None:
        if not hasattr(os, "fork"):
            raise InvalidRequestError(
                "several workers need a system that can fork: leave out --workers"
            )
        self._workers = workers
        self._work = work
        self._sockets = sockets
        self._grace = grace
        self._died = died
        self._running: dict[int, int] = {}
        self._begun: dict[int, float] = {}
        self._failures = 0
        self._stopping = False
        self._alive = (-1, -1)

    def run(self, started: Callable[[], object] = lambda: None) -> bool:
        """Run until SIGTERM or SIGINT and return True; False where the workers die again and again.

        `started` is called once the workers run.
        """
        self._alive = os.pipe()
        signal.signal(signal.SIGALRM, self._kill)
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_hangup)
        for number in range(self._workers):
            self._start(number)
        started()
        while self._running:
            process, status = os.waitpid(-1, 0)
            number = self._running.pop(process)
            self._died(number)
            if not self._stopping:
                self._replace(number, status)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return self._failures < MOST_FAILURES

    def _replace(self, number: int, status: int) -> None:
        how = os.waitstatus_to_exitcode(status)
        log.error(
            "worker %d died (%s): another takes its place",
            number,
            f"exit code {how}" if how >= 0 else f"signal {-how}",
        )
        if time.monotonic() - self._begun[number] < JUST_BEGUN_SECONDS:
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                log.error(
                    "%d workers in a row died as soon as they had begun: giving up", self._failures
                )
                self._stop()
                return
            time.sleep(PAUSE_SECONDS)
        else:
            self._failures = 0
        if not self._stopping:
            self._start(number)

    def _start(self, number: int) -> None:
        # Until the child has signal handlers of its own, it must not run ours.
        held = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP}
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
        try:
            process = os.fork()
            if process == 0:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                # On a terminal's Ctrl-C the parent stops the workers.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                # A worker that begins looks at the files anyway.
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
                self._be_worker(number)
            self._running[process] = number
            self._begun[number] = time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
        if self._stopping:
            os.kill(process, signal.SIGTERM)

    def _be_worker(self, number: int) -> None:
        """Run the work, and end the process without the parent's exit handlers."""
        code = 1
        try:
            os.close(self._alive[1])
            self._work(number, self._alive[0])
            code = 0
        except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop()

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        """Pass SIGHUP on, at which the workers read their files again."""
        del number, frame
        self._send(signal.SIGHUP)

    def _stop(self) -> None:
        """Pass SIGTERM on to every worker, which ends the grace time where it comes again."""
        if not self._stopping:
            self._stopping = True
            signal.setitimer(signal.ITIMER_REAL, self._grace + KILL_AFTER_SECONDS)
            for each in self._sockets:
                each.close()
        self._send(signal.SIGTERM)

    def _kill(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        for process in list(self._running):
            with suppress(ProcessLookupError):  # the worker has just ended
                os.kill(process, number)
