"""What the documents say holds: their Python compiles and imports what there is, their options
exist.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from blocks import FENCE, PAGES, PYTHON, ROOT, blocks_of, name_of

import tailrace
from tailrace._cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark.structures import ParameterSet

REFERENCE = ROOT / "docs" / "reference"


def python_blocks() -> list[ParameterSet]:
    """The pages' Python, each piece named by its place."""
    found = (block for page in PAGES for block in blocks_of(page) if block.language in PYTHON)
    return [pytest.param(block.text, id=block.place) for block in found]


@pytest.mark.parametrize("code", python_blocks())
def test_python_compiles_and_imports_what_there_is(code: str) -> None:
    tree = compile(code, "document", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tailrace":
            module = import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "tailrace":
                    import_module(alias.name)


def command_lines() -> Iterator[tuple[str, str]]:
    """Every ``tailrace …`` in a document, in a block of commands or between backquotes, without
    what it pipes to.
    """
    for path in PAGES:
        text = path.read_text("utf-8")
        shown = [
            block.text
            for block in blocks_of(path)
            if block.language in ("", "sh", "bash", "console", "ini")
        ]
        shown += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
        for each in shown:
            for found in re.finditer(r"(?:^|[\s|$(])tailrace (?P<words>[a-z-][^|\n#`]*)", each):
                yield name_of(path), found["words"]


@pytest.mark.parametrize(("document", "words"), sorted(set(command_lines())))
def test_commands_and_options_named_exist(document: str, words: str) -> None:
    name, *rest = words.split()
    options = {option for word in rest for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", word)}
    if name.startswith("-"):
        assert name in ("-h", "--help", "--version"), document
        return
    assert name in cli.commands, f"{document}: there is no command {name}"
    known = {
        option
        for each in cli.commands[name].get_params(click.Context(cli.commands[name]))
        for option in each.opts
    }
    assert options <= known | {"-h"}, f"{document}: {options - known}"


def test_targets_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for path in PAGES:
        named = set(
            re.findall(r"(?:^|`)make ([a-z-]+)(?=[`\s])", path.read_text("utf-8"), re.MULTILINE)
        )
        assert named <= targets, name_of(path)


def test_every_public_name_is_in_the_reference() -> None:
    directives = "".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md"))
    documented = re.compile(
        r"^\.\. (?:auto|py:)(?:class|function|data|module):: (?:tailrace\.)?(\S+)$", re.MULTILINE
    )
    named = set(documented.findall(directives))
    assert set(tailrace.__all__) - named == {"__version__"}


def test_every_variable_of_the_environment_is_in_the_reference() -> None:
    sources = "".join(
        path.read_text("utf-8") for path in Path(tailrace.__file__).parent.rglob("*.py")
    )
    read = set(re.findall(r"\"((?:TAILRACE|GPROCHAT)_[A-Z_]+)\"", sources))
    told = re.findall(
        r"^\| `([A-Z_]+)` \|", (REFERENCE / "environment.md").read_text("utf-8"), re.MULTILINE
    )
    assert read == set(told)
