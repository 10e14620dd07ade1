"""The wheel as a package: its version, its stub, what it says of itself."""

from __future__ import annotations

import ast
import tomllib
from inspect import getdoc
from pathlib import Path

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
