"""How the core reads objects of another package's classes, from what these say of their fields."""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from tailrace._fast.lazy import lazy_class, whole
from tailrace._native import _Field, _Shape, _Variants

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["is_model", "variants_of"]

_TEXT, _INTEGER, _BOOLEAN, _NULL = 1, 2, 4, 8
_KINDS = {str: _TEXT, int: _INTEGER, bool: _BOOLEAN, NoneType: _NULL}


def is_model(kind: object) -> bool:
    """Whether this is a class of pydantic's models, of its second major version."""
    return isinstance(kind, type) and isinstance(getattr(kind, "model_fields", None), dict)


def variants_of(annotation: object, metadata: Iterable[object] = ()) -> _Variants | None:
    """Return how to read an object of which a field, or a stream, says that it is this.

    Args:
        annotation: A class, or a union of classes among which a field of theirs decides.
        metadata: What else is said of it, as `Annotated` would.

    Returns:
        None where an object's class depends on more than that.

    """
    models, metadata = _models(annotation, metadata)
    if len(models) == 1:
        return _alone(models[0])
    discriminator = next(filter(None, map(_discriminator, metadata)), None)
    return _told_apart(discriminator, models) if discriminator and models else None


def _discriminator(note: object) -> str | None:
    """The field that a note on a union names: a `PropertyInfo`, or a `UnionDiscriminator`."""
    for name in ("discriminator", "field_name"):
        field = getattr(note, name, None)
        if isinstance(field, str):
            return field
    return None


def _models(
    annotation: object, metadata: Iterable[object]
) -> tuple[tuple[Any, ...], tuple[object, ...]]:
    """The classes that an annotation names, none when it names anything else, and its metadata."""
    annotation, within = _bare(annotation)
    leaves = tuple(leaf for leaf in _leaves(annotation) if leaf is not NoneType)
    models = tuple(leaf for leaf in leaves if isinstance(leaf, type) and is_model(leaf))
    return models if models == leaves else (), (*metadata, *within)


@cache
def _alone(model: Any) -> _Variants:
    return _Variants(None, lambda _: _shape(model))


@cache
def _told_apart(discriminator: str, models: tuple[Any, ...]) -> _Variants | None:
    variants: dict[str, Any] = {}
    for model in models:
        field = model.model_fields.get(discriminator)
        if field is None or field.alias is not None:
            return None
        for name in _literals(field.annotation):
            # One of two of the same name would be chosen by what else an object has.
            if variants.setdefault(name, model) is not model:
                return None
    return _Variants(
        discriminator, lambda name: _shape(variants[name]) if name in variants else None
    )


def _literals(annotation: object) -> Iterator[str]:
    for leaf in _leaves(annotation):
        if get_origin(leaf) is Literal:
            yield from (value for value in get_args(leaf) if isinstance(value, str))


@cache
def _shape(model: Any) -> _Shape:
    fields = model.model_fields
    lazy = lazy_class(model)
    has_aliases = any(field.alias is not None for field in fields.values())
    for name, field in fields.items():
        type.__setattr__(lazy, name, _field(model, name, field, has_aliases=has_aliases))
    return _Shape(lazy, not has_aliases and _takes_extras(model))


def _takes_extras(model: Any) -> bool:
    """Whether members that are no fields become attributes as they are."""
    own = (base for base in model.__mro__ if base.__module__.partition(".")[0] != "pydantic")
    return model.model_config.get("extra") == "allow" and not any(map(_types_extras, own))


def _types_extras(base: type[Any]) -> bool:
    try:
        return "__pydantic_extra__" in getattr(base, "__annotations__", {})
    except NameError:  # what they name is imported for type checkers alone
        return True


def _field(model: Any, name: str, field: Any, *, has_aliases: bool) -> _Field:
    if has_aliases:
        return _Field(name, model, whole)
    annotation, _ = _bare(field.annotation)
    default = None if field.is_required() else field.default
    is_plain = field.default_factory is None and type(default) in _KINDS
    kinds = _kinds(annotation) if is_plain else 0
    # What is null is the default of a field that has one.
    return _Field(
        name,
        model,
        whole,
        kinds=kinds | _NULL if is_plain and default is None else kinds & ~_NULL,
        absent=(default,) if is_plain else None,
        item=variants_of(annotation, field.metadata),
        elements=_elements(annotation),
    )


def _kinds(annotation: object) -> int:
    """The kinds of values that are taken as they are: none where some may be made another."""
    kinds = 0
    for leaf in _leaves(annotation):
        if leaf in _KINDS:
            kinds |= _KINDS[leaf]
        elif get_origin(leaf) is Literal and all(isinstance(each, str) for each in get_args(leaf)):
            kinds |= _TEXT
        elif not is_model(leaf) and get_origin(leaf) is not list:
            return 0
    return kinds


def _elements(annotation: object) -> _Variants | None:
    leaves = [leaf for leaf in _leaves(annotation) if leaf is not NoneType]
    if len(leaves) != 1 or get_origin(leaves[0]) is not list:
        return None
    (element,) = get_args(leaves[0])
    return variants_of(element)


def _leaves(annotation: object) -> Iterator[Any]:
    annotation, _ = _bare(annotation)
    if get_origin(annotation) in {Union, UnionType}:
        for each in get_args(annotation):
            yield from _leaves(each)
    else:
        yield annotation


def _bare(annotation: object) -> tuple[object, tuple[object, ...]]:
    """An annotation without the names and notes around it, and the notes."""
    metadata: tuple[object, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *notes = get_args(annotation)
            metadata = (*metadata, *notes)
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__  # type: ignore[attr-defined]
        else:
            return annotation, metadata
