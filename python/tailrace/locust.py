"""A user for Locust, whose own clock stops at a reply's headers: TTFT and whole times of answers.

``pip install tailrace[locust]`` brings Locust along. A file for it::

    from locust import between, task
    from tailrace import Site
    from tailrace.locust import TailraceUser

    class Visitor(TailraceUser):
        site = Site("http://localhost:8000/v1", software="openai", model="gpt-4o-mini")
        wait_time = between(1, 3)

        @task
        def say_hello(self):
            self.ask("Say hello")

Each answer is two rows of Locust's statistics: ``TTFT``, to the first delta of any kind, and
``ANSWER``, to the end. The times are taken by asyncio in a thread of its own, where no greenlet
keeps a read waiting.
"""

from __future__ import annotations

import asyncio
import atexit
import time
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from tailrace._environment import Environment
from tailrace.errors import (
    InvalidRequestError,
    MissingRequirementsError,
    StreamError,
    TailraceError,
)
from tailrace.transport import Transport, make_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tailrace._messages import Messages
    from tailrace.sites import Site
    from tailrace.transport import TransportKind

    class User:
        """Types of the part of Locust's `User` that is used here, as Locust has none."""

        abstract: bool
        environment: Any

        def __init__(self, environment: Any) -> None: ...
        def context(self) -> dict[str, object]: ...

else:
    try:
        from locust import User
    except ImportError:  # the class can be looked at without it
        User = object

__all__ = ["TailraceUser"]

T = TypeVar("T")


class TailraceUser(User):
    """A user of Locust that asks a chat site; a subclass sets `site` and has tasks that `ask`.

    Raises MissingRequirementsError where Locust is not installed, InvalidRequestError without a
    site.
    """

    abstract = True
    site: Site | None = None

    def __init__(self, environment: Any) -> None:
        if User.__module__ == "builtins":
            raise MissingRequirementsError("Locust is not installed: pip install tailrace[locust]")
        super().__init__(environment)
        if self.site is None:
            raise InvalidRequestError(f"{type(self).__name__} has no site to ask")

    def ask(self, prompt: str | Messages, *, name: str | None = None, **options: Any) -> str | None:
        """Ask the site, tell Locust the answer's times, and return its text; None if it failed.

        `prompt` and `options` are those of `Site.stream`; nothing is sent twice, though the site
        has a `retry`, and waiting for its `throttle` is a part of the times. `name`: the row in
        Locust's statistics, the site's name unless given. A failure is one of Locust's, of the row
        ``ANSWER``. Raises InvalidRequestError for what cannot be asked.
        """
        site = self.site
        if site is None:  # set back since
            raise InvalidRequestError(f"{type(self).__name__} has no site to ask")
        answer = _loop().run(_answer(site, prompt, options))
        self._tell(name or site.name, answer)
        return answer.text if answer.error is None else None

    def _tell(self, name: str, answer: _Answer) -> None:
        fire = self.environment.events.request.fire
        common: dict[str, Any] = {"name": name, "context": self.context(), "start_time": answer.at}
        if answer.first is not None:
            fire(
                request_type="TTFT",
                response_time=answer.first,
                response_length=0,
                exception=None,
                **common,
            )
        fire(
            request_type="ANSWER",
            response_time=answer.whole,
            response_length=len(answer.text.encode("utf-8", "replace")),
            exception=answer.error,
            **common,
        )


class _Answer:
    """An answer: its text as far as it came, and its times in milliseconds."""

    def __init__(self) -> None:
        self.text = ""
        self.at = time.time()
        self.first: float | None = None
        self.whole = 0.0
        self.error: TailraceError | None = None


async def _answer(site: Site, prompt: str | Messages, options: dict[str, Any]) -> _Answer:
    clock = (site.environment or Environment()).monotonic_ns
    answer, begun = _Answer(), clock()
    stream = site.stream(
        prompt, transport=_transport(site.transport), timings=True, retry=None, **options
    )
    try:
        async with stream:
            answer.text = await stream.text()
    except TailraceError as error:
        if isinstance(error, InvalidRequestError) and not isinstance(error, StreamError):
            raise
        answer.error = error
    timings = stream.timings
    if timings is not None and timings.first_delta is not None:
        answer.first = (timings.first_delta - begun) / 1e6
    answer.whole = (clock() - begun) / 1e6
    return answer


_shared: dict[str, Transport] = {}
"""The connections that all users of a process share, by their kind."""


def _transport(given: Transport | TransportKind) -> Transport:
    if isinstance(given, Transport):
        return given
    if given not in _shared:
        _shared[given] = make_transport(given)
    return _shared[given]


class _Signal:
    """A signal from another thread of the system to a greenlet of this one, which waits for it."""

    def __init__(self) -> None:
        from gevent import event, get_hub  # noqa: PLC0415 - comes with Locust

        self._event = event.Event()
        self._watcher = get_hub().loop.async_()
        self._watcher.start(self._event.set)  # before anybody sends: what is sent earlier is lost

    def send(self) -> None:
        """Give the signal, in any thread."""
        self._watcher.send()

    def wait(self) -> None:
        """Let other greenlets run until the signal is given."""
        self._event.wait()

    def close(self) -> None:
        """Take no signal any more."""
        self._watcher.stop()
        self._watcher.close()


class _Loop:
    """asyncio's loop in a thread of the system: `run` lets other greenlets run meanwhile.

    Under Locust a thread of Python's is a greenlet, and a loop in it would be everybody's.
    """

    def __init__(self) -> None:
        from gevent import monkey  # noqa: PLC0415 - comes with Locust

        # Nothing here lets other users run, who would make a loop of their own.
        self._started = _Signal()
        monkey.get_original("_thread", "start_new_thread")(self._serve, (self._started.send,))
        atexit.register(self._end)

    def _serve(self, tell: Callable[[], None]) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.call_soon(tell)
        self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop and return its result; who is killed meanwhile cancels it."""
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(lambda _: done.send())

        def leave() -> None:
            tasks[0].cancel()

        self._started.wait()
        with closing(_Signal()) as done:
            self._loop.call_soon_threadsafe(begin)
            try:
                done.wait()
            except BaseException:
                self._loop.call_soon_threadsafe(leave)
                done.wait()  # until the connection is closed
                raise
        return tasks[0].result()

    def _end(self) -> None:
        """End the loop: a thread that is still in it when the program ends cannot go on."""
        self.run(_close_all())
        self._loop.call_soon_threadsafe(self._loop.stop)


async def _close_all() -> None:
    """Cancel what nobody waits for any more, and close the shared connections."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)
    for transport in _shared.values():
        transport.abort()


@cache
def _loop() -> _Loop:
    return _Loop()
