"""The sources of a reply's bytes, responses, files and iterables, and a `Reader` of each.

A source is known by its methods, so no HTTP library is imported here. A reader's bytes have been
decompressed where the source's library does so, and no read waits for more than there is.
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterable, Collection, Iterable
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailrace._headers import header_of
from tailrace._streams.readers import AsyncReader, BlockingReader, MemoryReader
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tailrace._streams.readers import Reader

__all__ = ["reader_of"]

_READ_SIZE = 2**16  # bytes; Python allocates them all for each read of a file


def reader_of(source: Any) -> Reader:
    """Make the reader of a source; nothing is read or opened yet.

    Raises InvalidRequestError for an object that is no source.
    """
    if isinstance(source, str | os.PathLike):
        return BlockingReader(_chunks_at(_checked_path(source)), source)
    if isawaitable(source):
        how = "enter it with async with" if hasattr(source, "__aenter__") else "await it"
        raise _no_source(source, f"{how}, and give the response")
    if hasattr(source, "iter_bytes"):
        return _reader_of_httpx(source)
    if hasattr(source, "iter_content") and hasattr(source, "raw"):
        return BlockingReader(_chunks_of_requests(source), source)
    body: Any = source if hasattr(source, "iter_any") else getattr(source, "content", None)
    if hasattr(body, "iter_any"):  # aiohttp's body, whose iteration yields lines
        _keep_room_for_reads()
        return AsyncReader(body.iter_any(), source)
    return _reader_of_file(source) if hasattr(source, "read") else _reader_of_iterable(source)


def _keep_room_for_reads() -> None:
    from tailrace.transport import keep_room_for_reads  # noqa: PLC0415 - it imports asyncio

    keep_room_for_reads()


def _reader_of_httpx(source: Any) -> Reader:
    """Make the reader of a response of httpx, httpx2 or the openai package.

    httpx has one class of responses for both kinds of client, the openai package has two.
    """
    stream = getattr(source, "stream", None)
    if (
        hasattr(source, "aiter_bytes")
        and hasattr(stream, "__aiter__")
        and not hasattr(stream, "__iter__")
    ):
        return AsyncReader(source.aiter_bytes(), source)
    chunks = source.iter_bytes()
    return (
        AsyncReader(aiter(chunks), source)
        if hasattr(chunks, "__aiter__")
        else BlockingReader(chunks, source)
    )


def _reader_of_iterable(source: object) -> Reader:
    if isinstance(source, AsyncIterable):
        return AsyncReader(aiter(source), source)
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | memoryview):
        kind = MemoryReader if isinstance(source, Collection) else BlockingReader
        return kind(iter(source), source)
    for enter, how in (("__aenter__", "async with"), ("__enter__", "with")):
        if hasattr(source, enter) and not isinstance(source, memoryview):
            raise _no_source(source, f"enter it with {how}, and give the response")
    raise _no_source(source, "give a response, a binary file, a path or an iterable of bytes")


def _no_source(source: object, wanted: str) -> InvalidRequestError:
    return InvalidRequestError(f"cannot read a reply from {type(source).__name__}: {wanted}")


def _chunks_of_requests(response: Any) -> Iterator[bytes]:
    """Yield the chunks of a response of requests as they come.

    The `iter_content` of requests waits until a chunk is full or, without a size, for the end of a
    body that is not chunked.
    """
    if getattr(response.raw, "closed", True) or not hasattr(response.raw, "read1"):
        # The body has been read, or urllib3 is too old for `read1`.
        yield from response.iter_content(_READ_SIZE)
    else:
        yield from _chunks_of_file(response.raw)


def _reader_of_file(file: Any) -> Reader:
    if isinstance(file, io.TextIOBase):
        raise InvalidRequestError("the file gives text: open it in binary mode")
    for read in (getattr(file, "read1", None), file.read):
        if iscoroutinefunction(read):
            return AsyncReader(_chunks_of_async_file(read), file)
    if isinstance(file, io.BytesIO):
        return MemoryReader(_chunks_of_file(file), file)
    if _is_of_urllib3(file) and file.closed:
        return MemoryReader(iter([file.data]), file)  # the body has been read
    coding = header_of(file, "Content-Encoding")
    if coding not in (None, "identity") and not _is_of_urllib3(file):
        raise InvalidRequestError(
            f"the response is packed ({coding}) and its library does not unpack it"
        )
    return BlockingReader(_chunks_of_file(file), file)


def _is_of_urllib3(file: object) -> bool:
    return hasattr(file, "drain_conn")


def _chunks_of_file(file: Any) -> Iterator[bytes]:
    """Yield the chunks of a binary file as they come.

    `read1` returns the bytes that are there; `read`, of files without it, waits for the full size
    unless the file is raw.
    """
    read = getattr(file, "read1", None) or file.read
    options = {"decode_content": True} if _is_of_urllib3(file) else {}
    while (chunk := read(_READ_SIZE, **options)) != b"":
        yield chunk
    # http.client's, which raises nothing when a body ends too early.
    missing = getattr(file, "length", None)
    if isinstance(missing, int) and missing > 0:
        raise EOFError(f"{missing} bytes are missing")


async def _chunks_of_async_file(read: Any) -> AsyncIterator[bytes]:
    while (chunk := await read(_READ_SIZE)) != b"":
        yield chunk


def _checked_path(source: str | os.PathLike[Any]) -> Path:
    path = os.fsdecode(source)
    if not path or "\0" in path or "\n" in path:
        raise InvalidRequestError(
            "a str is the path of a file, and this is none: give a reply's bytes in a list"
        )
    return Path(path)


def _chunks_at(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidRequestError(
            f"cannot open the file {str(path)!r}: {error.strerror}"
        ) from error
    with file:
        yield from _chunks_of_file(file)
