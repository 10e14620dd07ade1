"""pyarrow, where it is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tailrace.errors import MissingRequirementsError

__all__ = ["arrow"]


def arrow() -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet.

    Raises MissingRequirementsError where they are not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        pass
    raise MissingRequirementsError('Parquet needs pyarrow: pip install "tailrace[parquet]"')
