"""What a process holds of the system."""

from __future__ import annotations

from pathlib import Path

__all__ = ["descriptors", "threads"]


def threads() -> set[str]:
    """The system's threads of this process, those of Rust among them."""
    return {each.name for each in Path("/proc/self/task").iterdir()}


def descriptors() -> set[str]:
    """What this process holds open."""
    return {each.name for each in Path("/proc/self/fd").iterdir()}
