"""A run that goes on, for `batch.py`: all rows but the last hundred are done before.

``python batch_resume.py ROWS OUT URL``; printed is when it went on, in nanoseconds of the machine's
monotonic clock, and how much memory it took at most.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from batch_server import BODY
from tailrace import Site, batch
from tailrace.batch._beginning import begin

LEFT = 100


def main() -> None:
    """Prepare in one process, go on in another."""
    rows, out, url, *phase = sys.argv[1:]
    site = Site(url, software="openai", model="bench")
    if not phase:
        command = [sys.executable, *sys.argv]
        subprocess.run([*command, "prepare"], check=True)  # noqa: S603
        subprocess.run([*command, "go on"], check=True)  # noqa: S603
    elif phase == ["prepare"]:
        prepare(Path(rows), Path(out), site)
    else:
        begun = time.monotonic_ns()
        report = asyncio.run(batch.run(rows, out, site))
        if (report.done, report.left) != (LEFT, 0):
            raise SystemExit(f"{report.done} rows were done, and {report.left} are left")
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"begun": begun, "megabytes": megabytes}))


def prepare(rows: Path, out: Path, site: Site) -> None:
    """Write the answers of all rows but the last."""
    with begin(rows, out, site).folder as folder:
        for row in folder.pending():
            if folder.done == folder.rows - LEFT:
                break
            folder.write_done(row, body=BODY, request_id="req_1")


if __name__ == "__main__":
    main()
