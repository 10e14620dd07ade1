"""Run a command of this environment that reaches loopback alone: ``only_loopback.py COMMAND …``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse addresses of anybody else: nobody is asked for news, prices or lists."""
    if event == "socket.connect":
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[0]
    else:
        return
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, str) and host not in HOSTS and "/" not in host:
        raise PermissionError(f"a test asks nobody but loopback, not {host}")


if __name__ == "__main__":
    sys.addaudithook(watch)
    sys.argv = sys.argv[1:]
    runpy.run_path(str(Path(sys.executable).parent / sys.argv[0]), run_name="__main__")
