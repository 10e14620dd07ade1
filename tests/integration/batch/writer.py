"""Writes a run's rows through its folder until it is killed, or all have their line.

``writer.py INPUT FOLDER SHARD SHARDS SEED``: some rows fail, and some starts ask those again.
"""

from __future__ import annotations

import random
import sys

import msgspec

from tailrace.batch._folder import OutputFolder
from tailrace.batch._inputs import open_source


def main(given: str, out: str, shard: str, count: str, seed: str) -> None:
    chance = random.Random(int(seed))
    source = open_source(given, folder=out)
    sys.stdout.write("opening\n")
    sys.stdout.flush()
    with OutputFolder.open(
        out,
        source,
        shard=(int(shard), int(count)),
        skip_bad=True,
        retry_failed=chance.random() < 0.3,
    ) as folder:
        for row in folder.pending():
            if chance.random() < 0.2:
                folder.write_failed(row, code="timeout", message="late", partial_text=text(chance))
            else:
                folder.write_done(row, body=msgspec.json.encode({"text": text(chance)}))
            if chance.random() < 0.01:
                folder.sync()
    sys.stdout.write("closed\n")


def text(chance: random.Random) -> str:
    """Long ones are torn the most easily."""
    return "x" * int(10 ** chance.uniform(0, 5))


if __name__ == "__main__":
    main(*sys.argv[1:])
