"""Another package's streams, which do all they always do but read events.

They connect, fail, close and end as ever. A stream's own loop asks its decoder for events. Ours
gives word to read on, which the client hands through; from then on the core's objects come without
that loop. It gets what is no object to us, event by event: errors, the end, names that are unknown;
and what broke the reading off. What becomes of those is the stream's own to say.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from types import new_class
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin

from tailrace._fast.bodies import AsyncBody, Body, async_body, blocking_body
from tailrace._fast.shapes import variants_of
from tailrace._native import _ObjectReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tailrace._native import _Variants

__all__ = ["MAX_EVENT_BYTES", "ReadOn", "Reading", "fast_stream"]

MAX_EVENT_BYTES = 64 * 2**20
"""Bytes of one event held at most: the last event of a response may hold whole images."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Reading:
    """Settings by which the streams of a package (openai, anthropic) are read."""

    named: bool
    """Whether each event has the name of its kind, and is nothing without."""
    max_event_bytes: int
    """Bytes of one event held at most."""

    def reader(self, variants: _Variants, make: Callable[[str], Any]) -> _ObjectReader:
        """Return what reads one stream; `make` makes the whole object of an event's JSON."""
        return _ObjectReader(variants, make, named=self.named, max_event_bytes=self.max_event_bytes)


class ReadOn:
    """Word from the decoder, as an event of which the stream's loop thinks nothing."""

    __slots__ = ()

    event = "content_block_delta"
    data = "word"
    id = None
    retry = None

    def json(self) -> ReadOn:
        """Return the word itself, which the client then hands through."""
        return self


_READ_ON = ReadOn()


class _Decoder:
    """A decoder of events, as a stream expects it, of those events that it must look at itself."""

    def __init__(self, reader: _ObjectReader, response: Any, event: Callable[..., Any]) -> None:
        self._reader = reader
        self._response = response
        self._event = event
        self._reads: Any = None
        self._body: Body | AsyncBody | None = None
        self._found: list[Any] = []
        self._failure: BaseException | None = None
        self._has_ended = False

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
        if self._is_plain():
            self._body = blocking_body(self._response)
            iterator = self._response.iter_raw() if self._body is None else self._body
        self._reads = iterator
        while not self._has_ended:
            yield _READ_ON
            yield from self._for_the_stream()

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        if self._is_plain():
            self._body = async_body(self._response)
            iterator = self._response.aiter_raw() if self._body is None else self._body
        self._reads = iterator
        while not self._has_ended:
            yield _READ_ON
            for event in self._for_the_stream():
                yield event

    def _is_plain(self) -> bool:
        """Whether what the response brings needs no decoding, and nobody has read it yet."""
        response = self._response
        return "content-encoding" not in response.headers and not response.is_stream_consumed

    def _for_the_stream(self) -> Iterator[Any]:
        if self._failure is not None:
            raise self._failure
        if self._has_ended:
            self._reader.close()
        elif self._found and type(self._found[0]) is tuple:
            name, data, last_id, retry = self._found.pop(0)
            yield self._event(event=name, data=data, id=last_id or None, retry=retry)

    def objects(self) -> list[Any] | None:
        """Return the next objects; None when there is something for the stream to look at."""
        try:
            while not self._found:
                self._found = self._reader.feed(next(self._reads))
        except StopIteration:
            self._has_ended = True
        except BaseException as error:  # noqa: BLE001 - the stream raises it
            self._failure = error
        return self._objects()

    async def objects_soon(self) -> list[Any] | None:
        """Return what `objects` does, without blocking."""
        try:
            while not self._found:
                self._found = self._reader.feed(await self._reads.__anext__())
        except StopAsyncIteration:
            self._has_ended = True
        except BaseException as error:  # noqa: BLE001 - the stream raises it
            self._failure = error
        return self._objects()

    def _objects(self) -> list[Any] | None:
        if self._found and type(self._found[0]) is list:
            return self._found.pop(0)  # type: ignore[no-any-return]
        if self._body is not None:
            self._body.pause()  # the stream may read what is left
        return None


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


def _mixin(origin: Any) -> Any:
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
def _subclass(mixin: Any, origin: Any) -> Any:
    names = {"__module__": origin.__module__, "__qualname__": origin.__qualname__}
    return new_class(
        origin.__name__, (mixin[_T], origin[_T]), exec_body=lambda body: body.update(names)
    )


class _Fast(Generic[_T]):
    """A stream of a package, read by the core: what its async and its blocking kind share.

    It stands in front of the package's own class in the order of bases.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._unread: Iterator[Any] = iter(())
        reader = self._reader_of(kwargs["client"], kwargs["cast_to"], kwargs["response"])
        if reader is not None:
            event_class = _streaming(type(self)).ServerSentEvent
            self._decoder: Any = _Decoder(reader, kwargs["response"], event_class)

    def _reader_of(self, client: Any, cast_to: Any, response: Any) -> _ObjectReader | None:
        """The core's reader; None where the stream must read its events itself."""
        variants = variants_of(cast_to)
        if variants is None or self._is_watched(client):
            return None

        def make(text: str) -> Any:
            return client._process_response_data(
                data=json.loads(text), cast_to=cast_to, response=response
            )

        reading: Reading = client._tailrace_reading
        return reading.reader(variants, make)

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
            if type(item) is not ReadOn:
                yield item
                continue
            while (objects := self._decoder.objects()) is not None:
                self._unread = iter(objects)
                yield from self._unread

    def __next__(self) -> _T:
        own: Any = super()
        while True:
            for item in self._unread:
                return item  # type: ignore[no-any-return]
            item = own.__next__()
            if type(item) is not ReadOn:
                return item  # type: ignore[no-any-return]
            self._unread = iter(self._decoder.objects() or ())


class _FastAsyncStream(_Fast[_T]):
    async def __aiter__(self) -> AsyncIterator[_T]:
        for item in self._unread:
            yield item
        own: Any = super()
        async for item in own.__aiter__():
            if type(item) is not ReadOn:
                yield item
                continue
            while (objects := await self._decoder.objects_soon()) is not None:
                self._unread = iter(objects)
                for each in self._unread:
                    yield each

    async def __anext__(self) -> _T:
        own: Any = super()
        while True:
            for item in self._unread:
                return item  # type: ignore[no-any-return]
            item = await own.__anext__()
            if type(item) is not ReadOn:
                return item  # type: ignore[no-any-return]
            self._unread = iter(await self._decoder.objects_soon() or ())
