"""A client like another, whose streams are read by the core."""

from __future__ import annotations

import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from tailrace._fast.streams import Reading, ReadOn, fast_stream
from tailrace._fast.trial import stands
from tailrace.errors import InvalidRequestError, MissingRequirementsError, one_line
from tailrace.transport import keep_room_for_reads

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["fast_copy"]

_Client = TypeVar("_Client")


def fast_copy(
    client: _Client, kinds: Sequence[str], reading: Reading, sample: tuple[str, str, bytes]
) -> _Client:
    """Return a copy of a client whose streams are read by the core.

    Args:
        client: A client of the package of which `kinds` are classes.
        kinds: The names of the usual classes of clients, in the package.
        reading: How the package's streams are read.
        sample: The module and the name of a class of events, and the bytes of an event of it.

    Raises:
        InvalidRequestError: When `client` is of another class, cannot be copied by its
            `with_options`, or reads streams in a way of its own.
        MissingRequirementsError: When the package's version has streams of another kind.

    """
    package = _package_of(client, kinds)
    kind: Any = type(client)
    if "_tailrace_reading" in vars(kind):
        (kind,) = kind.__bases__
    _must_read_events(client, kind, package)
    copy = _copied(client, kind, reading)
    module, name, data = sample
    if not stands(copy, package, getattr(sys.modules[module], name), data):
        raise _unknown(package)
    if inspect.iscoroutinefunction(copy.close):
        keep_room_for_reads()
    # Which `with_options` forgets.
    copy._strict_response_validation = getattr(client, "_strict_response_validation", False)
    return copy  # type: ignore[no-any-return]


def _package_of(client: object, kinds: Sequence[str]) -> Any:
    name = kinds[0].partition(".")[0]
    package = sys.modules.get(name)
    base = sys.modules.get(f"{name}._base_client")
    known = tuple(getattr(base, each, ()) for each in ("SyncAPIClient", "AsyncAPIClient"))
    if package is None or not isinstance(client, known):
        listed = " or ".join(kinds)
        raise InvalidRequestError(f"the client must be of {listed}, not {type(client).__name__}")
    return package


def _must_read_events(client: Any, kind: type[Any], package: Any) -> None:
    """Refuse what does not have the places at which a stream is given another reader."""
    places = ("request", "with_options", "_make_sse_decoder", "_process_response_data")
    streaming = sys.modules.get(f"{package.__name__}._streaming")
    if streaming is None or not all(callable(getattr(client, place, None)) for place in places):
        raise _unknown(package)
    if "stream_cls" not in inspect.signature(kind.request).parameters:
        raise _unknown(package)
    if _decoder_class(client) is not getattr(streaming, "SSEDecoder", None):
        raise InvalidRequestError(
            f"{type(client).__name__} reads streams in a way of its own, which has no fast one"
        )


def _decoder_class(client: Any) -> type[Any] | None:
    try:
        return type(client._make_sse_decoder())
    except Exception:  # noqa: BLE001 - Bedrock's may need a package that is not there
        return None


def _copied(client: Any, kind: Any, reading: Reading) -> Any:
    try:
        copy = client.with_options()
        copy.__class__ = _subclass(kind, reading)
    except Exception as error:  # noqa: BLE001 - what a class derived from theirs may do
        failure = one_line(str(error))
    else:
        return copy
    raise InvalidRequestError(
        f"{kind.__name__} cannot be copied by with_options, which makes the fast one: {failure}"
    )


def _unknown(package: Any) -> MissingRequirementsError:
    version = getattr(package, "__version__", "of an unknown version")
    return MissingRequirementsError(
        f"{package.__name__} {version} makes its streams in a way that is not known here; "
        "a client of it works as it is"
    )


@cache
def _subclass(kind: Any, reading: Reading) -> Any:
    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("stream_cls") is not None:
            kwargs["stream_cls"] = fast_stream(kwargs["stream_cls"])
        return kind.request(self, *args, **kwargs)

    def _process_response_data(self: Any, *, data: Any, **kwargs: Any) -> Any:
        if type(data) is ReadOn:
            return data
        return kind._process_response_data(self, data=data, **kwargs)

    namespace = {
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__slots__": (),  # so that an object of the one class can be made one of the other
        "_process_response_data": _process_response_data,
        "_tailrace_reading": reading,
        "request": request,
    }
    # No mixin: Python takes the first base for what decides how objects are laid out.
    return type(kind)(kind.__name__, (kind,), namespace)
