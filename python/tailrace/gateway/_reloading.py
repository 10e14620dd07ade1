"""Keys and profiles read again while the gateway runs: on SIGHUP, and where their files change.

Requests under way keep what they began with. What cannot be used is not taken over: the keys and
the sites stay as they were, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from tailrace.errors import InvalidRequestError, TailraceError
from tailrace.gateway._logs import log_expired_keys, log_missing_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tailrace.gateway._context import Context
    from tailrace.gateway._keys import Key
    from tailrace.gateway._model_lists import ModelLists
    from tailrace.gateway._models import ModelRegistry

__all__ = ["Reloader", "Source"]

log: logging.Logger = logging.getLogger("tailrace.gateway")

WATCH_SECONDS = 1.0
"""Seconds between two looks at the files; a change is taken over at the second one that sees it."""


class Reading(NamedTuple):
    """The content of a gateway's files: the keys of those who may ask, the models they may ask."""

    keys: tuple[Key, ...]
    registry: ModelRegistry


State = tuple[tuple[str, int, int, int] | None, ...]
"""When each file was changed, its size and its number; None for one that is not there."""


class Source:
    """The files of a gateway's keys and sites.

    `read` reads them, and raises a TailraceError where they cannot be used; `files`: those that it
    reads, whether they are there or not.
    """

    def __init__(self, read: Callable[[], Reading], files: Callable[[], Iterable[Path]]) -> None:
        self._read = read
        self._files = files
        self.seen: State = ()
        """The state of the files when they were read last."""

    def read(self) -> Reading:
        """Read the files as they are now; errors are those of `read`."""
        self.seen = self.state()
        return self._read()

    def read_again(self) -> Reading:
        """Read the files another time; raises InvalidRequestError also for one that is a pipe."""
        self.seen = self.state()
        for file in self._files():
            if file.is_fifo():  # nobody writes into it any more: to open it would take for ever
                raise InvalidRequestError(f"{file} is a pipe, which can be read once")
        return self.read()

    def state(self) -> State:
        """Look at the files, without reading them; what cannot be looked at has not changed."""
        try:
            return tuple(map(_state_of, self._files()))
        except OSError:  # of a folder that may not be searched any more
            return self.seen


def _state_of(file: Path) -> tuple[str, int, int, int] | None:
    with suppress(OSError):
        found = file.stat()
        return str(file), found.st_mtime_ns, found.st_size, found.st_ino
    return None


class Reloader:
    """The keys and the models of `context`, brought up to date with their `source`.

    `lists`: the lists of models, asked for anew; `speaks`: whether it is logged; one worker does so
    for all.
    """

    def __init__(
        self, context: Context, lists: ModelLists, source: Source, *, speaks: bool
    ) -> None:
        self._context = context
        self._lists = lists
        self._source = source
        self._speaks = speaks
        self._wanted = asyncio.Event()

    def want(self) -> None:
        """Have the files read again now, whether they have changed or not."""
        self._wanted.set()

    async def catch_up(self) -> None:
        """Read the files again if they have changed meanwhile.

        A worker that takes another's place begins with what was read when the gateway started.
        """
        if await asyncio.to_thread(self._source.state) != self._source.seen:
            await self._reload()

    async def keep_up(self) -> None:
        """Read the files again whenever it is wanted or they change, until it is cancelled."""
        before = self._source.seen
        while True:
            state = await asyncio.to_thread(self._source.state)
            # A file that is being written is left alone until it rests.
            if self._wanted.is_set() or (state == before and state != self._source.seen):
                self._wanted.clear()
                await self._reload()
            before = state
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._wanted.wait()

    async def _reload(self) -> None:
        context = self._context
        try:
            keys, registry = await asyncio.to_thread(self._source.read_again)
            settings = replace(context.settings, keys=keys)
        except (TailraceError, OSError) as error:
            self._say(logging.ERROR, f"the keys and sites stay as they were: {error}")
            return
        except Exception as error:  # noqa: BLE001 - the next change is read, whatever this one was
            # Its words may quote a key.
            problem = f"{type(error).__name__} while they were read"
            self._say(logging.ERROR, f"the keys and sites stay as they were: {problem}")
            return
        context.settings, context.registry = settings, registry
        self._lists.apply()
        self._lists.want(at_once=True)
        sites = len(registry.sites)
        self._say(logging.WARNING, f"read again: {len(keys)} keys, {sites} sites")
        if self._speaks:
            log_missing_variables(registry, context.environment.environ)
            log_expired_keys(keys, context.environment.now_ms())

    def _say(self, level: int, message: str) -> None:
        log.log(level if self._speaks else logging.DEBUG, "%s", message)
