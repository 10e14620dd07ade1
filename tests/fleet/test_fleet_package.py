"""The wheel as a package: its version, its stub, what it says of itself."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
import tomllib
from inspect import getdoc
from pathlib import Path
from typing import Any

import pytest
import tailrace_fleet
from tailrace_fleet import _native

import tailrace

FOLDER = Path(__file__).parents[2] / "rust" / "fleet"
STUB = ast.parse(Path(tailrace_fleet.__file__).with_name("_native.pyi").read_text("utf-8"))
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


@pytest.mark.skipif(not FOLDER.exists(), reason="a question to the sources")
def test_its_version_is_the_other_wheels_and_it_wants_that() -> None:
    manifest = tomllib.loads((FOLDER / "Cargo.toml").read_text("utf-8"))
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
    assert manifest["workspace"]["package"]["version"] == tailrace.__version__
    assert tailrace_fleet.__version__ == _native.__version__ == tailrace.__version__
    assert f"tailrace=={tailrace.__version__}" in project["dependencies"]


def test_every_name_is_there_and_says_what_it_is() -> None:
    for name in tailrace_fleet.__all__:
        assert getattr(tailrace_fleet, name) is not None
    undocumented = [
        name
        for name in ("Batch", "Batches", "Ended", "Fleet", "Request", "Ticket")
        if not getdoc(getattr(tailrace_fleet, name))
    ]
    assert undocumented == []


@pytest.mark.parametrize("name", CLASSES)
def test_the_stub_lists_what_each_class_has(name: str) -> None:
    declared = {each.name for each in CLASSES[name].body if isinstance(each, ast.FunctionDef)}
    kind = getattr(_native, name)
    public = {each for each in vars(kind) if not each.startswith("_")}
    assert {each for each in declared if not each.startswith("_")} == public


@pytest.mark.parametrize("name", CLASSES)
def test_the_stub_and_help_say_the_same(name: str) -> None:
    shown = ast.get_docstring(CLASSES[name]) or ""
    assert (
        shown.replace("`", "").split()
        == (getdoc(getattr(_native, name)) or "").replace("`", "").split()
    )


IMPORTED = """
import json, sys
from tailrace.fleet import Fleet
with Fleet() as fleet:
    for _ in fleet.batches():
        pass
print(json.dumps(%s))
"""


def in_a_new_process(told: str) -> Any:
    code = IMPORTED % told
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return json.loads(done.stdout)


def test_it_imports_no_other_way_to_read() -> None:
    """Least of all brotli, for which free-threaded Python turns its lock on."""
    loaded = set(in_a_new_process("sorted(sys.modules)"))
    assert loaded & {"aiohttp", "brotli", "curl_cffi", "multidict", "msgspec"} == set()


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="a question to free-threaded Python"
)
def test_the_extension_leaves_the_gil_off() -> None:
    assert in_a_new_process("sys._is_gil_enabled()") is False
