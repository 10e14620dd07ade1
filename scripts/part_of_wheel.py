#!/usr/bin/env python3
"""Unpack a part of a wheel into the environment of the Python that runs this.

The modules in it are imported without the package's own `__init__`, where that is left out.
"""

from __future__ import annotations

import argparse
import sysconfig
from fnmatch import fnmatchcase
from zipfile import ZipFile


def main() -> None:
    """Unpack what the patterns match; fail where one matches nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel")
    parser.add_argument("patterns", nargs="+", help="names in the wheel, as 'package/module/*'")
    asked = parser.parse_args()
    with ZipFile(asked.wheel) as wheel:
        for pattern in asked.patterns:
            names = [name for name in wheel.namelist() if fnmatchcase(name, pattern)]
            if not names:
                parser.error(f"nothing in {asked.wheel} is {pattern}")
            wheel.extractall(sysconfig.get_path("purelib"), names)


if __name__ == "__main__":
    main()
