#!/usr/bin/env python3
"""Build the wheels of one platform, one for each interpreter named.

None says more of itself than is true.

    scripts/build_wheels.py TARGET PYTHON...          into dist/; --out FOLDER

TARGET is one of Rust's. PYTHON decides the ABI: up to 3.14 the stable one of 3.11 (abi3), so that
one wheel serves all of these versions; of a free-threaded 3.14 that version's own, since there is
no stable one; from 3.15 on the stable one that both builds of Python load (abi3t). For Linux zig is
compiler and linker (the package ziglang), so that any machine builds for any processor and an old
libc, and maturin knows the interpreters of other platforms by name: python3.14t.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LINUX = {
    "x86_64-unknown-linux-gnu": "manylinux_2_17",
    "aarch64-unknown-linux-gnu": "manylinux_2_17",
    "x86_64-unknown-linux-musl": "musllinux_1_2",
    "aarch64-unknown-linux-musl": "musllinux_1_2",
}
"""The systems that a target's wheels are for. Others need no more than their name."""

PROJECTS = [ROOT, ROOT / "rust" / "fleet"]
"""Folders whose pyproject.toml makes a wheel; what runs on Windows is the first."""


def main() -> None:
    """Build them, or end with the exit code of the first build that failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target")
    parser.add_argument("python", nargs="+")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    given = parser.parse_args()
    projects = PROJECTS[:1] if "windows" in given.target else PROJECTS
    for python in given.python:
        for project in projects:
            code = built(project, given.target, python, given.out.resolve())
            if code:
                sys.exit(code)


def built(project: Path, target: str, python: str, out: Path) -> int:
    """Build one wheel; return the exit code."""
    command: list[str | Path] = ["maturin", "build", "--release", "--locked"]
    command += ["--target", target, "--interpreter", python]
    if target in LINUX:
        command += ["--zig", "--compatibility", LINUX[target]]
    return subprocess.run([*command, "--out", out], cwd=project, check=False).returncode


if __name__ == "__main__":
    main()
