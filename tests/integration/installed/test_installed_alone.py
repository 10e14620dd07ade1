"""The parser works without the package's dependencies: as ``pip install --no-deps`` leaves it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tailrace

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[str], Any]

REPLY = (
    b'data: {"choices":[{"delta":{"content":"one "}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"two"}}]}\n\n'
    b"data: [DONE]\n\n"
)

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run code, in an environment that has the package and no other, and return its `result`."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    packages = Path(paths["purelib"])
    source = Path(tailrace.__file__).parent
    shutil.copytree(source, packages / "tailrace", ignore=shutil.ignore_patterns("__pycache__"))
    python = Path(paths["scripts"]) / ("python.exe" if sys.platform == "win32" else "python")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }

    def run(code: str) -> Any:
        begin = f"import json, sys\nREPLY = {REPLY!r}\n"
        ended = subprocess.run(  # noqa: S603
            [python, "-W", "error", "-c", f"{begin}{code}\nprint(json.dumps(result))"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return json.loads(ended.stdout)

    return run


def test_no_other_package_is_there(alone: Run) -> None:
    code = """
from importlib import metadata, util
import tailrace
names = "aiohttp", "aiolimiter", "brotli", "click", "msgspec", "platformdirs", "pytest", "rich"
result = [
    tailrace.__file__.startswith(sys.prefix),
    "asyncio" in sys.modules,
    [each.name for each in metadata.distributions()],
    [name for name in names if util.find_spec(name)],
]
"""
    assert alone(code) == [True, False, [], []]


def test_a_decoder_decodes(alone: Run) -> None:
    code = """
from tailrace import DeltaDecoder
decoder = DeltaDecoder()
texts = [decoder.feed_text(REPLY[:40]), decoder.feed_text(REPLY[40:])]
result = ["".join(texts), decoder.end]
"""
    assert alone(code) == ["one two", "done"]


def test_many_replies_are_decoded(alone: Run) -> None:
    code = """
from tailrace import decode_many
result = [[reply.text, reply.end] for reply in decode_many([REPLY, REPLY[:60]])]
"""
    assert alone(code) == [["one two", "done"], ["one ", "truncated"]]


@pytest.mark.parametrize(
    "source",
    [
        "[REPLY]",
        "[REPLY[:40], REPLY[40:]]",
        "(REPLY[at : at + 1] for at in range(len(REPLY)))",
        "io.BytesIO(REPLY)",
        "file",
        "str(file)",
    ],
)
def test_a_stream_is_read(alone: Run, source: str) -> None:
    code = f"""
import io
from pathlib import Path
from tailrace import stream_deltas
file = Path("reply")
file.write_bytes(REPLY)
with stream_deltas({source}) as deltas:
    texts = list(deltas)
result = [texts, deltas.outcome.end]
"""
    assert alone(code) == [["one ", "two"], "done"]
