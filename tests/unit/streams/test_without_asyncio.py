"""Streams read by blocking code import neither asyncio nor a package of others."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

READ = """
import io, json, sys, tempfile
from pathlib import Path
from tailrace._streams.opened import stream_deltas, stream_events

DELTAS = [b'data: {"choices":[{"delta":{"content":"x"}}]}\\n\\n', b"data: [DONE]\\n\\n"]
path = Path(tempfile.mkdtemp(), "reply")
path.write_bytes(b"".join(DELTAS))
found = []
for source in (DELTAS, iter(DELTAS), io.BytesIO(b"".join(DELTAS)), path, str(path)):
    for idle in (None, 60):
        with stream_deltas(source if source is not DELTAS else list(DELTAS), idle=idle) as stream:
            found.append("".join(stream) + " " + stream.end)
        if not isinstance(source, (list, str, Path)):
            break
with stream_events(DELTAS) as events:
    found += [event.data for event in events][1:]
with stream_deltas(iter(DELTAS), idle=60) as stream:
    next(stream)
stream = stream_deltas(DELTAS, records=True)
found.append(next(stream).text)
del stream
print(json.dumps([found, sorted(sys.modules)]))
"""


def run(code: str) -> Any:
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - ours
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_blocking_code_reads_without_asyncio() -> None:
    found, loaded = run(READ)
    assert found == [*["x done"] * 8, "[DONE]", "x"]
    assert "asyncio" not in loaded


@pytest.mark.parametrize(
    "module",
    [
        "tailrace._calls.exchange",
        "tailrace._calls.retry_policy",
        "tailrace._headers",
        "tailrace._messages",
        "tailrace._streams.outcome",
        "tailrace._streams.reading",
        "tailrace._streams.stream",
        "tailrace._streams.sync",
    ],
)
def test_what_needs_no_loop_imports_no_asyncio(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    assert "asyncio" not in run(code)


def test_streams_import_the_standard_library_alone() -> None:
    code = """
import json, sys
before = set(sys.modules)
import tailrace._streams.aio, tailrace._streams.conversation, tailrace._streams.fallback
import tailrace._streams.loop_thread, tailrace._streams.opened
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
    assert set(run(code)) - {"tailrace"} <= set(sys.stdlib_module_names)
