"""Ray, where it is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tailrace.errors import MissingRequirementsError

__all__ = ["installed_ray"]


def installed_ray() -> Any:
    """Return the module ray. Raises MissingRequirementsError where it is not installed."""
    try:
        ray = import_module("ray")
    except ImportError:
        ray = None
    if hasattr(ray, "remote"):  # and is no folder of that name, which can be imported, too
        return ray
    raise MissingRequirementsError('Ray is not installed: pip install "tailrace[ray]"')
