"""Every regular expression of the package takes time in proportion to its input.

Many read what a peer sent. A repeat without an upper bound makes a search quadratic as soon as the
text holds the pattern's beginning often and its end never; so there is none but those below, each
with the reason why it is harmless.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tailrace
from tailrace.recording import RecordingWriter
from tailrace.replica._sites.wordpress.php import sanitize_text_field

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(tailrace.__file__).parent
FUNCTIONS = {
    "compile",
    "search",
    "match",
    "fullmatch",
    "sub",
    "subn",
    "split",
    "findall",
    "finditer",
}
LONGEST_REPEAT = 5000

ONE_RUN = "a run of one class of characters, and nothing behind it that could fail"
WHOLE = "used with `match` or `fullmatch`: it begins at one place only"
UNBOUNDED = {
    r"[\x00-\x1f\x7f]+": ONE_RUN,
    r"[\r\n\t ]+": ONE_RUN,
    r"\s+": ONE_RUN,
    r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+": WHOLE,
    r"[0-9a-z._~%!$&'()*+,;=\-]+|[0-9a-f:.]+(%[0-9a-z._~\-]+)?": WHOLE,
    rb"HTTP/\d(?:\.\d)? (\d{3}) ?(.*)": WHOLE,
    r"Object missing required field (\w+)": WHOLE,
    r"Object contains unknown field (.*)": WHOLE,
    r"\s*\d{1,18}": WHOLE,
    r"<[^>]*?(?:(?=<)|>|$)": "ends at the next place where it could begin",
    r"<(?!\s)[^>]*>": "the text it is used on ends with >: each search for one finds it",
}
# Patterns that are put together in a function: where, and why they are harmless.
MADE_THERE = {
    "batch/_rates.py": "a model's name, word for word",
    "sites/_saving.py": "`match` at the beginning of a line of the user's own file",
    "replica/_sites/models/schemas.py": "a request's own, on a short text that the replica made",
    "replica/_replay.py": "two literals, and a look at the next character",
}


def calls_of_re(tree: ast.Module) -> Iterator[tuple[ast.Call, str | None]]:
    """Each call of a function of `re` that takes a pattern, with the name it is assigned to."""
    names = {
        id(node.value): target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in FUNCTIONS
        ):
            yield node, names.get(id(node))


def patterns() -> Iterator[tuple[str, str | bytes | None]]:
    """Each pattern with its file; None for one that only a running function knows."""
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        source = file.read_text("utf-8")
        if not any(f"re.{function}(" in source for function in FUNCTIONS):
            continue  # to parse them all takes a second, in each process that runs tests
        for call, target in calls_of_re(ast.parse(source)):
            first = call.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str | bytes):
                yield name, first.value
                continue
            module = import_module("tailrace." + name.removesuffix(".py").replace("/", "."))
            compiled = vars(module).get(target or "")
            yield name, compiled.pattern if isinstance(compiled, re.Pattern) else None
            for each in vars(module).values():  # tables of patterns
                if isinstance(each, dict | tuple):
                    values = each.values() if isinstance(each, dict) else each
                    yield from (
                        (name, one.pattern) for one in values if isinstance(one, re.Pattern)
                    )


FOUND = list(patterns())
TABLES = {"errors.py", "replica/_sites/wordpress/php.py"}


def highest_repeat(parsed: Any) -> int:
    """The highest number of repeats that a parsed pattern allows of a part."""
    highest = 0
    for item in parsed:
        if isinstance(item, tuple) and len(item) == 2 and str(item[0]).endswith("REPEAT"):
            highest = max(highest, int(item[1][1]), highest_repeat(item[1][2]))
        elif isinstance(item, tuple | list) or type(item).__name__ == "SubPattern":
            highest = max(highest, highest_repeat(item))
    return highest


def test_patterns_are_found() -> None:
    assert len(FOUND) > 40
    assert {name for name, pattern in FOUND if pattern is None} <= {*MADE_THERE, *TABLES}


@pytest.mark.parametrize("pattern", sorted({each for _, each in FOUND if each}, key=repr))
def test_no_repeat_is_without_a_bound(pattern: str | bytes) -> None:
    parsed = import_module("re._parser").parse(pattern)
    assert highest_repeat(parsed) <= LONGEST_REPEAT or pattern in UNBOUNDED


def test_the_exceptions_are_still_there() -> None:
    assert set(UNBOUNDED) <= {pattern for _, pattern in FOUND}


# Texts that took minutes: each fits into a page, a prompt or a reply.


@pytest.mark.parametrize("page", [b"nonce" * 40_000, b"nonce =" * 40_000, b"nonce " * 40_000])
def test_a_page_of_nonces_is_recorded(tmp_path: Path, page: bytes) -> None:
    with RecordingWriter(tmp_path / "a", environ={}) as writer:
        get = writer.exchange("GET", "https://a.example/", {})
        get.head(200, "OK", "https://a.example/", [("Content-Type", "text/html")])
        get.read(page)
    assert writer.recording().exchanges[0].reads[0].data == page


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<script>" * 20_000, ""),
        ("<script" * 20_000 + ">", "&lt;script" * 19_999),
        ("<style>a" * 20_000, "a" * 20_000),
        ("< a" * 20_000, "&lt; a" * 20_000),
        ("%" * 20_000 + "41" * 20_000, ""),
    ],
)
def test_a_prompt_of_tags_is_cleaned(text: str, left: str) -> None:
    assert sanitize_text_field(text) == left
