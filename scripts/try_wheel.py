#!/usr/bin/env python3
"""Installs a wheel, or an sdist, as a user would, and runs the tests against what was installed.

    scripts/try_wheel.py PYTHON WHEEL [--extras gateway,socks] [TEST...]
    scripts/try_wheel.py PYTHON FOLDER      what pip takes for PYTHON of what lies there

The environment is new, and so is the folder the tests run in: a copy of the project without
`python/` and `rust/`, so that nothing can be imported but what the wheel holds. What the tests need
is read from pyproject.toml, in the versions of requirements/dev.lock. Where the folder has the
fleet, too, it is installed, and its tests run. With the extra impersonate examples/demo.py runs,
too. Needs no package itself.
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

FLEET = "tailrace-fleet"
OF_THE_FLEET = ["tests/fleet"] if sys.platform == "linux" else []  # they count threads in /proc

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
    parser.add_argument("tests", nargs="*", help=f"what pytest is given ({' '.join(TESTS)})")
    parser.add_argument("--extras", default=EXTRAS, help=f"({EXTRAS}); an empty one for none")
    given = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory(prefix="tailrace-", ignore_cleanup_errors=True) as folder:
        pip = new_environment(Path(folder) / "venv", given.python)
        found = taken(pip, given.wheel.resolve(), Path(folder) / "taken")
        install(pip, found, given.extras)
        python = pip[0]
        project = Path(folder) / "project"
        shutil.copytree(ROOT, project, ignore=LEFT_OUT)
        run([python, "-c", CHECK], project)
        if FLEET in found:
            run([python, "-c", "from tailrace.fleet import Fleet; Fleet().close()"], project)
        if "impersonate" in given.extras.split(","):
            run([python, "examples/demo.py"], project)
        tests = given.tests or [*TESTS, *(OF_THE_FLEET if FLEET in found else [])]
        run([python, "-m", "pytest", "-q", *tests], project)


CHECK = """
import sys, tailrace
from pathlib import Path
place = Path(tailrace.__file__)
print(sys.version, place, sep="\\n")
assert place.is_relative_to(sys.prefix), "this is not what was installed"
"""


def new_environment(folder: Path, interpreter: str) -> list[str | Path]:
    """The pip of a new environment, as a command that begins with its interpreter."""
    run([interpreter, "-m", "venv", folder])
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    return [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def taken(pip: list[str | Path], wheel: Path, into: Path) -> dict[str, Path]:
    """The files to install, by the names of their packages.

    Of a folder what suits the interpreter; where there is no wheel at all, the sdists.
    """
    if not wheel.is_dir():
        return {"tailrace": wheel}
    has_wheels = bool(list(wheel.glob("tailrace-*.whl")))
    found: dict[str, Path] = {}
    for name in ("tailrace", FLEET):
        files = f"{name.replace('-', '_')}-*.{'whl' if has_wheels else 'tar.gz'}"
        if has_wheels and list(wheel.glob(files)):
            takes: list[str | Path] = ["download", "--no-deps", "--no-index", "--find-links", wheel]
            run([*pip, *takes, "--dest", into, name])
        for file in (into if has_wheels else wheel).glob(files):
            found[name] = file
    return found or sys.exit(f"{wheel} has neither a wheel of tailrace nor its sdist")


def install(pip: list[str | Path], found: dict[str, Path], extras: str) -> None:
    """Install what was found, and what its tests need."""
    suffix = f"[{extras}]" if extras else ""
    what = [
        f"{name}{suffix if name == 'tailrace' else ''} @ {file.as_uri()}"
        for name, file in found.items()
    ]
    run([*pip, "install", "--constraint", ROOT / "requirements" / "dev.lock", *what, *needed()])


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
