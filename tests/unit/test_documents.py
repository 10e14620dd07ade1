"""What the documents say holds: their Python compiles and imports what there is, their options
exist.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from blocks import FENCE, PAGES, PYTHON, ROOT, blocks_of, name_of
from test_package import PUBLIC

import tailrace
from tailrace._cli import cli
from tailrace.errors import MissingRequirementsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

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
                is_there = alias.name in dir(module) or hasattr(module, alias.name)
                assert is_there, f"{node.module} has no {alias.name}"
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
    # click caches a command's help option: with this parent it is the one of the command line.
    group = click.Context(cli, **cli.context_settings)
    known = {
        option
        for each in cli.commands[name].get_params(click.Context(cli.commands[name], parent=group))
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


def public_names() -> dict[str, object]:
    """Every name that a public module lists, by its whole path, and what it is."""
    modules = [import_module(name) for name in PUBLIC]
    return {
        f"{module.__name__}.{name}": value_of(module, name)
        for module in modules
        for name in module.__all__
        if name not in ("__version__", "errors")
    }


def value_of(module: ModuleType, name: str) -> object:
    """What a name of a module is; another thing for each of a wheel that is not there."""
    try:
        value: object = getattr(module, name)
    except MissingRequirementsError:
        return [name]
    return value


def reference_names() -> Iterator[str]:
    """The whole path of every name that a page of the reference has a directive for, modules with
    all their names but those that a page leaves to another one.
    """
    for page in REFERENCE.glob("*.md"):
        module = ""
        for line in re.finditer(
            r"^\.\. (?P<kind>\w+|py:\w+):: (?P<name>[\w.]+)(?:\(.*\))?\n(?P<options>(?:   :.*\n)*)",
            page.read_text("utf-8"),
            re.MULTILINE,
        ):
            kind, name = line["kind"], line["name"]
            if kind == "currentmodule":
                module = name
            elif kind == "automodule" and ":no-members:" not in line["options"]:
                left_out = re.findall(r"[\w_]+", "".join(_EXCLUDED.findall(line["options"])))
                names = set(import_module(name).__all__) - set(left_out)
                yield from (f"{name}.{each}" for each in names)
            elif kind.startswith(("auto", "py:")) and kind != "automodule":
                yield name if name.startswith("tailrace.") else f"{module}.{name}"


_EXCLUDED = re.compile(r":exclude-members: (.*)\n")


def test_the_reference_has_every_public_name_and_no_other() -> None:
    """A name that several public modules list is on a page under one of them."""
    public = public_names()
    named = set(reference_names())
    assert named <= set(public)
    shown = [public[name] for name in named]
    assert [
        name for name, thing in public.items() if not any(thing is each for each in shown)
    ] == []


def test_the_reference_says_nothing_twice() -> None:
    public = public_names()
    things = [(name, public[name]) for name in reference_names() if callable(public[name])]
    for name, thing in things:
        assert [other for other, each in things if each is thing] == [name]


def test_every_variable_of_the_environment_is_in_the_reference() -> None:
    sources = "".join(
        path.read_text("utf-8") for path in Path(tailrace.__file__).parent.rglob("*.py")
    )
    read = set(re.findall(r"\"((?:TAILRACE|GPROCHAT)_[A-Z_]+)\"", sources))
    told = re.findall(
        r"^\| `([A-Z_]+)` \|", (REFERENCE / "environment.md").read_text("utf-8"), re.MULTILINE
    )
    assert read == set(told)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_prose_is_no_wider_than_100_columns(page: Path) -> None:
    """Tables and fences may be, and a line of one piece of code or one link."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    wide = [line for line in prose.splitlines() if len(line) > 100 and not line.startswith("|")]
    assert [line for line in wide if " " in _CODE.sub("", line).strip()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_and_files_named_exist(page: Path) -> None:
    """In a piece of code. Modules are promises, but on pages about the source."""
    pieces = {piece.strip("`") for piece in _CODE.findall(FENCE.sub("", page.read_text("utf-8")))}
    for piece in pieces:
        if re.fullmatch(r"tailrace(?:\.\w+)+", piece):
            assert resolves(piece), f"there is no {piece}"
            assert "._" not in piece or _about_the_source(page), f"{piece} is no promise"
        elif re.fullmatch(r"[\w./-]+/[\w-]+\.(?:py|rs|pyi|json|md|toml|txt)", piece):
            named = f"/{piece}"
            assert any(path.endswith(named) for path in _files()), f"there is no {piece}"


_CODE = re.compile(r"`[^`\n]+`")


def resolves(path: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    module, _, name = path.rpartition(".")
    if path in ("tailrace.toml", "tailrace.outcome"):  # a file, an attribute of a span
        return True
    try:
        import_module(path)
    except ModuleNotFoundError:
        return bool(module) and hasattr(import_module(module), name)
    return True


def _about_the_source(page: Path) -> bool:
    return name_of(page).startswith(("CONTRIBUTING", "docs/contributing/", "docs/way-of-a-byte"))


@cache
def _files() -> list[str]:
    tops = (
        *("python", "rust", "plugins", "tests", "benchmarks", "examples", "scripts", "docs"),
        "web/src",
    )
    return [path.as_posix() for top in tops for path in (ROOT / top).rglob("*.*")]


def test_the_first_pages_are_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8 * 1024
    assert len((ROOT / "CONTRIBUTING.md").read_bytes()) <= 6 * 1024
