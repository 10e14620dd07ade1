"""An asyncio stream read by blocking code, inside a running event loop too: in another thread."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import TracebackType

    from tailrace._streams.closing import TextStream

__all__ = ["LoopThread", "iterate_blocking"]

T = TypeVar("T")


def iterate_blocking(start: Callable[[], TextStream]) -> Iterator[str]:
    """Yield the text of the stream that `start` makes.

    Nothing is read ahead of the consumer; leaving the iterator closes the stream.
    """
    with LoopThread() as loop:
        stream = start()
        try:
            while deltas := loop.run(stream.read()):
                yield from deltas
        finally:
            loop.run(stream.aclose())


class LoopThread:
    """An event loop in a thread; `run` waits for a coroutine's result from outside."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tailrace", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop and return its result."""
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
        self.run(_settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _settle() -> None:
    """Wait for tasks that an interrupt cancelled, which close their connections, to end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)
    await asyncio.get_running_loop().shutdown_asyncgens()
