"""An asyncio stream read by blocking code, inside a running event loop too: in another thread.

No thread outlives its program: loops that are still open when the program ends are ended then, and
an iterator that is closed later, when Python is torn down, waits for nobody.
"""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
from concurrent.futures import wait
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar
from weakref import WeakSet

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from concurrent.futures import Future
    from types import TracebackType

__all__ = ["LoopThread", "Readable", "iterate_blocking", "iterate_stream"]

T = TypeVar("T")

_LONGEST_ENDING = 5.0  # seconds that the end of a program waits at most for connections to close
_LONGEST_LEAVING = 0.1  # seconds until tasks that nobody has cancelled are


class Readable(Protocol[T]):
    """A stream that blocking code can read: all that is ready at a time, until it is closed."""

    async def read(self) -> list[T]:
        """Return what is ready, at least one item, or ``[]`` at the end."""

    async def aclose(self) -> None:
        """Stop reading."""


def iterate_blocking(start: Callable[[], Readable[T]]) -> Iterator[T]:
    """Yield the items of the stream that `start` makes.

    Nothing is read ahead of the consumer; leaving the iterator closes the stream.
    """
    with LoopThread() as loop:
        stream = start()
        loop.close_at_end(stream.aclose)
        while items := loop.run(stream.read()):
            yield from items


def iterate_stream(stream: Readable[T]) -> Iterator[T]:
    """Yield the items of a stream in blocking code; closing the iterator closes the stream.

    Raises InvalidRequestError inside a running event loop, which would stand still meanwhile.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return iterate_blocking(lambda: stream)
    raise InvalidRequestError(
        "a plain `for` would stop the event loop: use `async for`, or `for … in await stream`, "
        "which reads the whole reply first"
    )


class LoopThread:
    """An event loop in a thread; `run` waits for a coroutine's result from outside."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="tailrace", daemon=True)
        self._leaving: Future[None] | None = None
        self._close: Callable[[], Awaitable[object]] | None = None
        try:
            self._thread.start()
        except RuntimeError as error:
            self._loop.close()
            raise InvalidRequestError(f"no thread for the call could be started: {error}") from None
        _running.add(self)
        return self

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def close_at_end(self, close: Callable[[], Awaitable[object]]) -> None:
        """Call and await `close` in the loop before it ends."""
        self._close = close

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop and return its result.

        Raises InvalidRequestError when the loop has ended, as it does with the program.
        """
        if self._is_gone:
            work.close()
            raise InvalidRequestError("the program is ending: nothing more is read")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupt here must not leave the read running
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_gone:
            return
        leaving = self.begin_to_leave()
        # Garbage is collected in any thread: an iterator in it may be closed by its own loop.
        if threading.current_thread() is not self._thread:
            leaving.result()
            self._thread.join()

    def begin_to_leave(self, *, at_exit: bool = False) -> Future[None]:
        """Close what is open in the loop, then end it; return the future of the closing.

        `at_exit`: tasks of the loop are cancelled first, for nobody waits for them any more.
        """
        leaving = asyncio.run_coroutine_threadsafe(self._settle(cancel=at_exit), self._loop)
        leaving.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
        self._leaving = leaving
        return leaving

    def join(self, seconds: float) -> None:
        """Wait for the thread's end, for so many seconds at most."""
        self._thread.join(seconds)

    @property
    def _is_gone(self) -> bool:
        """Whether the loop has ended or is about to, or its thread cannot run any more."""
        # After a fork and at the end of the program there is no thread behind the loop.
        return self._leaving is not None or not self._thread.is_alive() or sys.is_finalizing()

    async def _settle(self, *, cancel: bool) -> None:
        """Close, then wait for tasks that an interrupt cancelled, which close their connections.

        A task that a provider of the caller's own left behind is cancelled, as `asyncio.run` does.
        """
        try:
            if self._close is not None:
                await self._close()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others and not cancel:
                _, others = await asyncio.wait(others, timeout=_LONGEST_LEAVING)
            for task in others:
                if cancel or not task.cancelling():
                    task.cancel()
            if others:
                await asyncio.wait(others, timeout=_LONGEST_ENDING)
            await self._loop.shutdown_asyncgens()


_running: WeakSet[LoopThread] = WeakSet()


@atexit.register
def _end_all() -> None:
    """End the loops that are still open, while their threads can still run."""
    open_ones = [each for each in _running if not each._is_gone]  # noqa: SLF001
    latest = monotonic() + _LONGEST_ENDING
    wait([each.begin_to_leave(at_exit=True) for each in open_ones], _LONGEST_ENDING)
    for each in open_ones:
        each.join(max(0.0, latest - monotonic()))
