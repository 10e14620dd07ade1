"""Ray, where it is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tailrace.errors import MissingRequirementsError

__all__ = ["installed_ray"]


def installed_ray() -> Any:
    """Return the module ray. Raises MissingRequirementsError where it is not installed."""
    try:
        return import_module("ray")
    except ImportError:
        pass
    raise MissingRequirementsError('Ray is not installed: pip install "tailrace[ray]"')
