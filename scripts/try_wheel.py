#!/usr/bin/env python3
"""Installs a wheel, or an sdist, as a user would, and runs the tests against what was installed.

    scripts/try_wheel.py PYTHON WHEEL [--extras gateway,socks] [TEST...] scripts/try_wheel.py PYTHON
    FOLDER                     what pip takes for PYTHON of what lies there

The environment is new, and so is the folder the tests run in: a copy of the project without
`python/` and `rust/`, so that nothing can be imported but what the wheel holds. What the tests need
is read from pyproject.toml, in the versions of requirements/dev.lock. With the extra impersonate
examples/demo.py runs, too. Needs no package itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TESTS = [
    "tests/unit",
    "tests/property",
    "tests/integration/installed",
    "tests/integration/streams",
]
if sys.platform != "win32":  # they count this process's sockets in /dev/fd
    TESTS.append("tests/integration/providers")

EXTRAS = "gateway,impersonate,socks"

LEFT_OUT = shutil.ignore_patterns(
    ".*", "python", "rust", "target", "dist", "node_modules", "__pycache__", "_build", "results"
)
NOT_NEEDED = {"playwright"}  # of the tests in a browser, which need the checkout


def main() -> None:
    """Try it, or end with the exit code of what failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("python", help="an interpreter, which will not be changed")
    parser.add_argument("wheel", type=Path)
    parser.add_argument(
        "tests", nargs="*", default=TESTS, help=f"what pytest is given ({' '.join(TESTS)})"
    )
    parser.add_argument("--extras", default=EXTRAS, help=f"({EXTRAS}); an empty one for none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailrace-", ignore_cleanup_errors=True) as folder:
        python = installed(Path(folder), given.python, given.wheel.resolve(), given.extras)
        project = Path(folder) / "project"
        shutil.copytree(ROOT, project, ignore=LEFT_OUT)
        run([python, "-c", CHECK], project)
        if "impersonate" in given.extras.split(","):
            run([python, "examples/demo.py"], project)
        run([python, "-m", "pytest", "-q", *given.tests], project)


CHECK = """
import sys, tailrace
from pathlib import Path
place = Path(tailrace.__file__)
print(sys.version, place, sep="\\n")
assert place.is_relative_to(sys.prefix), "this is not what was installed"
"""


def installed(folder: Path, interpreter: str, wheel: Path, extras: str) -> Path:
    """The interpreter of a new environment with the wheel, and what its tests need, in it."""
    run([interpreter, "-m", "venv", str(folder / "venv")])
    python = folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip: list[str | Path] = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    if wheel.is_dir():
        wheel = taken(pip, wheel, folder / "taken")
    what = f"tailrace[{extras}] @ {wheel.as_uri()}" if extras else str(wheel)
    run([*pip, "install", "--constraint", ROOT / "requirements" / "dev.lock", what, *needed()])
    return python


def taken(pip: list[str | Path], folder: Path, into: Path) -> Path:
    """The wheel in the folder that suits the interpreter.

    Where there is no wheel at all, the sdist.
    """
    if not list(folder.glob("*.whl")):
        into = folder
    else:
        run(
            [
                *pip,
                "download",
                "--no-deps",
                "--no-index",
                "--find-links",
                folder,
                "--dest",
                into,
                "tailrace",
            ]
        )
    (found,) = into.iterdir()
    return found


def needed() -> list[str]:
    """The packages of the tests."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        group = tomllib.load(file)["dependency-groups"]["test"]
    return [each for each in group if each.partition(">")[0] not in NOT_NEEDED]


def run(command: list[str | Path], folder: Path = ROOT) -> None:
    """Run it with nothing of this environment's that changes what Python imports."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    code = subprocess.run(
        command, cwd=folder, env={**environment, "PYTHONUTF8": "1"}, check=False
    ).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
