"""Objects of another package's classes that are filled when more is asked than the core reads.

A lazy object is of a subclass of its class, which adds nothing to what an object holds. On the
first touch of anything but a field that the core reads, the package makes its own object of the
event's JSON; the lazy one takes over what that holds, and its class. Nothing of it is left then.
"""

from __future__ import annotations

from abc import ABCMeta
from functools import wraps
from threading import RLock
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tailrace._native import _kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["lazy_class", "whole"]

_FILLING = RLock()
_CLASS: Any = vars(object)["__class__"]
_KEPT_FROM_THE_CLASS = frozenset(
    {
        "__class__",
        "__class_getitem__",
        "__doc__",
        "__getattr__",
        "__getattribute__",
        "__hash__",
        "__init__",
        "__init_subclass__",
        "__module__",
        "__new__",
        "__qualname__",
        "__subclasshook__",
        "__weakref__",
    }
)
_OF_EVERY_OBJECT = ("__dir__", "__getstate__", "__reduce__", "__reduce_ex__", "__sizeof__")


def lazy_class(real: type[Any]) -> type[Any]:
    """Make the class of the lazy objects that become objects of `real`, without their fields."""
    namespace: dict[str, Any] = {
        "__slots__": (),
        "__doc__": real.__doc__,
        "__module__": real.__module__,
        "__qualname__": real.__qualname__,
        "__hash__": _method(real, "__hash__") if callable(vars(real).get("__hash__")) else None,
        "__class__": property(lambda _: real),
        "__getattr__": _absent(real),
    }
    for name, value in _inherited(real):
        if isinstance(value, FunctionType):
            namespace[name] = _method(real, name)
        elif hasattr(type(value), "__get__") and not isinstance(value, staticmethod):
            namespace[name] = _Whole(real, name)
    for name in _OF_EVERY_OBJECT:
        namespace[name] = _method(real, name)
    # Not by the class's own metaclass, which would collect the fields of every class anew.
    return ABCMeta.__new__(type(real), real.__name__, (real,), namespace)


def _inherited(real: type[Any]) -> Iterator[tuple[str, Any]]:
    for base in reversed(real.__mro__[:-1]):
        for name, value in vars(base).items():
            if name not in _KEPT_FROM_THE_CLASS:
                yield name, value


def _method(real: type[Any], name: str) -> Callable[..., Any]:
    @wraps(getattr(real, name))
    def method(self: object, *args: Any, **kwargs: Any) -> Any:
        whole(self)
        return getattr(real, name)(self, *args, **kwargs)

    return method


def _absent(real: type[Any]) -> Callable[[object, str], Any]:
    """Make what is asked for attributes that the class does not have: those beyond the fields."""

    def __getattr__(self: object, name: str) -> Any:  # noqa: N807 - what Python calls it
        kept = None if name.startswith("_") else _kept(self)
        found = None if kept is None else kept.member(name)
        if found is None:
            return getattr(_filled(self, real, name), name)
        if found:
            return found[0]
        raise AttributeError(
            f"{real.__name__!r} object has no attribute {name!r}", name=name, obj=self
        )

    return __getattr__


class _Whole:
    """An attribute that only a whole object has."""

    def __init__(self, real: type[Any], name: str) -> None:
        self._real, self._name = real, name

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        return getattr(
            self._real if instance is None else _filled(instance, self._real, self._name),
            self._name,
        )

    def __set__(self, instance: object, value: object) -> None:
        setattr(_filled(instance, self._real, self._name), self._name, value)

    def __delete__(self, instance: object) -> None:
        delattr(_filled(instance, self._real, self._name), self._name)


def _filled(lazy: object, real: type[Any], name: str) -> object:
    whole(lazy)
    # An object that was made without an event has nothing to be filled with.
    if type(lazy) is not real:
        raise AttributeError(f"{real.__name__!r} object has no attribute {name!r}")
    return lazy


def whole(lazy: object) -> None:
    """Make a lazy object, and all those handed out by it, objects of their package's own class."""
    kept = _kept(lazy)
    if kept is None:
        # Perhaps another thread is about it.
        with _FILLING:
            return
    real = kept.whole()
    given = dict(kept.given())
    with _FILLING:
        if _kept(lazy) is kept:
            _take_over(lazy, real, given)
    for value in given.values():
        for each in value if isinstance(value, list) else (value,):
            if _kept(each) is not None:
                whole(each)


def _take_over(lazy: object, real: object, given: dict[str, object]) -> None:
    for slot in _slots(type(real)):
        try:
            value = slot.__get__(real)
        except AttributeError:
            continue
        # Not the same attributes: objects within this one are looked for in the real one.
        slot.__set__(lazy, {**value, **given} if slot.__name__ == "__dict__" else value)
    _CLASS.__set__(lazy, type(real))


def _slots(real: type[Any]) -> Iterator[Any]:
    """Yield the descriptors of all that an object of this class holds."""
    for base in real.__mro__[:-1]:
        for name, value in vars(base).items():
            if name != "__weakref__" and type(value).__name__ in _HOLDING:
                yield value


_HOLDING = frozenset({"getset_descriptor", "member_descriptor"})
