"""A stream of one event, read to see whether a package's streams are those that are known here."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

from tailrace._fast.lazy import whole
from tailrace._fast.streams import fast_stream
from tailrace._native import _kept

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["stands"]


def stands(client: Any, package: Any, kind: Any, data: bytes) -> bool:
    """Whether a stream of `client` gives an object that becomes the package's own."""
    try:
        read = _read(client, package, kind, data)
        is_lazy = _kept(read) is not None
        own = client._process_response_data(
            data=json.loads(data.partition(b"data: ")[2]), cast_to=kind, response=_Response(data)
        )
        whole(read)
        return is_lazy and type(read) is type(own) and bool(read == own)
    except Exception:  # noqa: BLE001 - whatever it is, it is not what is known
        return False


def _read(client: Any, package: Any, kind: Any, data: bytes) -> Any:
    is_async = inspect.iscoroutinefunction(client.close)
    stream_class = package.AsyncStream if is_async else package.Stream
    stream = fast_stream(stream_class[kind])(cast_to=kind, response=_Response(data), client=client)
    if not is_async:
        return next(iter(stream))
    # Nothing here waits, so that the first step is the last.
    try:
        stream.__anext__().send(None)
    except StopIteration as stopped:
        return stopped.value


class _Response:
    """A response that has arrived."""

    http_version = "HTTP/1.1"
    status_code = 200
    request = None
    is_stream_consumed = False

    def __init__(self, data: bytes) -> None:
        self.headers: dict[str, str] = {}
        self._data = data

    def iter_raw(self) -> Iterator[bytes]:
        yield self._data

    async def aiter_raw(self) -> AsyncIterator[bytes]:
        yield self._data

    iter_bytes = iter_raw
    aiter_bytes = aiter_raw

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass
