"""Another package's streams, which go on to do all but to read events: they connect, fail, close
and end as they always do.

The stream's own loop asks its decoder for events. Ours gives it all that one read brought as one
event, which the client hands through, and one by one the events that are no object to us: errors,
the end, names that are unknown. What becomes of those is the stream's own to say.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from types import new_class
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin

from tailrace._fast.shapes import variants_of
from tailrace._native import _ObjectReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from tailrace._native import _Variants

__all__ = ["MAX_EVENT_BYTES", "Batch", "Reading", "fast_stream"]

MAX_EVENT_BYTES = 64 * 2**20
"""Bytes of one event held at most: the last event of a response may hold whole images."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Reading:
    """How a package's streams are read."""

    named: bool
    """Whether each event has the name of its kind, and is nothing without."""
    max_event_bytes: int
    """Bytes of one event held at most."""

    def reader(self, variants: _Variants, make: Callable[[str], Any]) -> _ObjectReader:
        """Return what reads one stream; `make` makes the whole object of an event's JSON."""
        return _ObjectReader(
            variants, make, named=self.named, max_event_bytes=self.max_event_bytes
        )


class Batch:
    """The objects that one read brought, as an event of which the stream's loop thinks nothing."""

    __slots__ = ("objects",)

    event = "content_block_delta"
    data = "objects"
    id = None
    retry = None

    def __init__(self, objects: list[Any]) -> None:
        self.objects = objects

    def json(self) -> Batch:
        """Return the batch itself, which the client then hands through."""
        return self


class _Decoder:
    """A decoder of events, as a stream expects it."""

    def __init__(self, reader: _ObjectReader, event_class: Callable[..., Any]) -> None:
        self._reader = reader
        self._event_class = event_class

    def iter_bytes(self, iterator: Iterable[bytes]) -> Iterator[Any]:
        for data in iterator:
            yield from self._read(data)
        self._reader.close()

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for data in iterator:
            for event in self._read(data):
                yield event
        self._reader.close()

    def _read(self, data: bytes) -> Iterator[Any]:
        for found in self._reader.feed(data):
            if type(found) is list:
                yield Batch(found)
            else:
                name, text, last_id, retry = found
                yield self._event_class(event=name, data=text, id=last_id or None, retry=retry)


def fast_stream(stream_class: Any) -> Any:
    """Return the class of the fast streams for a class of streams, or that class itself.

    Args:
        stream_class: A package's own class with what it yields: `Stream[ChatCompletionChunk]`.
    """
    origin = get_origin(stream_class)
    mixin = _mixin(origin)
    if mixin is None:
        return stream_class
    return _subclass(mixin, origin)[get_args(stream_class)]


def _mixin(origin: Any) -> type[Any] | None:
    if not isinstance(origin, type):
        return None
    streaming = _streaming(origin)
    if origin is getattr(streaming, "Stream", None):
        return _FastStream
    return _FastAsyncStream if origin is getattr(streaming, "AsyncStream", None) else None


def _streaming(stream_class: type[Any]) -> Any:
    """The module of a package in which its streams are defined, whose name they may not say."""
    package, _, _ = stream_class.__module__.partition(".")
    return sys.modules.get(f"{package}._streaming")


@cache
def _subclass(mixin: type[Any], origin: Any) -> Any:
    names = {"__module__": origin.__module__, "__qualname__": origin.__qualname__}
    return new_class(origin.__name__, (mixin[_T], origin[_T]), exec_body=lambda body: body.update(names))


class _Fast(Generic[_T]):
    """What both kinds of streams have; stands in front of the package's own class."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._unread: Iterator[Any] = iter(())
        reader = self._reader_of(kwargs["client"], kwargs["cast_to"], kwargs["response"])
        if reader is not None:
            event_class = _streaming(type(self)).ServerSentEvent
            self._decoder: Any = _Decoder(reader, event_class)

    def _reader_of(self, client: Any, cast_to: Any, response: Any) -> _ObjectReader | None:
        """The core's reader; None where the stream must read its events itself."""
        variants = variants_of(cast_to)
        if variants is None or self._is_watched(client):
            return None

        def make(text: str) -> Any:
            return client._process_response_data(
                data=json.loads(text), cast_to=cast_to, response=response
            )

        return client._tailrace_reading.reader(variants, make)

    def _is_watched(self, client: Any) -> bool:
        """Whether each event is checked, put together with its name, or traced."""
        options = getattr(self, "_options", None)
        return bool(
            getattr(client, "_strict_response_validation", False)
            or getattr(options, "synthesize_event_and_data", None)
            or getattr(options, "stream_mode", "legacy") != "legacy"
            or getattr(self, "_observer", None) is not None
        )


class _FastStream(_Fast[_T]):
    def __iter__(self) -> Iterator[_T]:
        yield from self._unread
        own: Any = super()
        for item in own.__iter__():
            if type(item) is Batch:
                self._unread = iter(item.objects)
                yield from self._unread
            else:
                yield item

    def __next__(self) -> _T:
        for item in self._unread:
            return item  # type: ignore[no-any-return]
        own: Any = super()
        item = own.__next__()
        if type(item) is not Batch:
            return item  # type: ignore[no-any-return]
        self._unread = iter(item.objects)
        return self.__next__()


class _FastAsyncStream(_Fast[_T]):
    async def __aiter__(self) -> AsyncIterator[_T]:
        for item in self._unread:
            yield item
        own: Any = super()
        async for item in own.__aiter__():
            if type(item) is Batch:
                self._unread = iter(item.objects)
                for each in self._unread:
                    yield each
            else:
                yield item

    async def __anext__(self) -> _T:
        for item in self._unread:
            return item  # type: ignore[no-any-return]
        own: Any = super()
        item = await own.__anext__()
        if type(item) is not Batch:
            return item  # type: ignore[no-any-return]
        self._unread = iter(item.objects)
        return await self.__anext__()
