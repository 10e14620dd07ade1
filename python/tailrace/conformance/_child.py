"""A callable as a program of its own: ``python -m tailrace.conformance._child module:attribute``.

The runner keeps callables out of its own process, so that one that hangs or crashes its interpreter
ends nothing but itself.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from tailrace.conformance._serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NoDecoderError", "callable_named"]


class NoDecoderError(Exception):
    """There is no decoder of that name."""


def callable_named(name: str) -> Callable[..., Any]:
    """Return the callable that ``module:attribute`` names; NoDecoderError where there is none."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise NoDecoderError(f"{name!r} is not module:attribute")
    try:
        decoder = importlib.import_module(module)
        for part in attribute.split("."):
            decoder = getattr(decoder, part)
    except (ImportError, AttributeError) as error:
        raise NoDecoderError(f"{name}: {error}") from None
    if not callable(decoder):
        raise NoDecoderError(f"{name} is not callable")
    return decoder


def main(arguments: list[str]) -> int:
    """Serve the callable that the one argument names, and return the exit code."""
    try:
        [name] = arguments
        decode = callable_named(name)
    except (ValueError, NoDecoderError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    serve(decode, name=name, claims=getattr(decode, "claims", None))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
