"""The package as its importers find it: what importing costs, which names there are, and what the
stub says.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import sysconfig
import tomllib
from importlib import import_module
from importlib.util import find_spec
from inspect import getdoc
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest

import tailrace
from tailrace import _native, errors, providers

ROOT = Path(__file__).parents[2]
PUBLIC = (
    "tailrace",
    "tailrace.anthropic",
    "tailrace.batch",
    "tailrace.conformance",
    "tailrace.errors",
    "tailrace.fleet",
    "tailrace.gateway",
    "tailrace.load",
    "tailrace.locust",
    "tailrace.openai",
    "tailrace.providers",
    "tailrace.pytest_plugin",
    "tailrace.ray",
    "tailrace.recording",
    "tailrace.replica",
    "tailrace.sites",
    "tailrace.transport",
)
STUB = Path(_native.__file__).with_name("_native.pyi")
HEAVY = (
    "aiohttp",
    "curl_cffi",
    "click",
    "rich",
    "aiohttp_socks",
    "httpx",
    "httpx2",
    "requests",
    "urllib3",
    "openai",
    "anthropic",
    "pydantic",
    "fsspec",
    "ray",
    "tailrace_fleet",
)


def in_a_new_process(code: str, *options: str) -> Any:
    """Run code that prints JSON in an interpreter that has imported nothing."""
    command = [sys.executable, *options, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - ours
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "imported",
    [
        "tailrace",
        "tailrace.anthropic",
        "tailrace.conformance",
        "tailrace.errors",
        "tailrace.fleet",
        "tailrace.openai",
        "tailrace.recording",
        "tailrace.transport",
        "tailrace._calls.exchange",
        "tailrace._messages",
        "tailrace._streams.opened",
    ],
)
def test_importing_imports_no_http_library(imported: str) -> None:
    loaded = in_a_new_process(
        f"import json, sys, {imported}; print(json.dumps(sorted(sys.modules)))"
    )
    assert "tailrace" in loaded
    assert not set(HEAVY) & set(loaded)


def test_importing_the_package_imports_nothing_but_the_extension_and_the_errors() -> None:
    code = """
import json, sys
before = set(sys.modules)
import tailrace
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    loaded = in_a_new_process(code)
    assert [name for name in loaded if name.startswith("tailrace")] == [
        "tailrace",
        "tailrace._native",
        "tailrace.errors",
    ]
    assert "asyncio" not in loaded
    roots = {name.partition(".")[0] for name in loaded} - {"tailrace"}
    assert roots <= sys.stdlib_module_names


def test_the_parser_needs_no_other_package() -> None:
    """As after ``pip install --no-deps``: no folder of installed packages is on the path."""
    code = f"""
import asyncio, json, sys
sys.path.insert(0, {str(Path(tailrace.__file__).parents[1])!r})
import tailrace
reply = b'data: {{"choices":[{{"delta":{{"content":"x"}}}}]}}\\n\\ndata: [DONE]\\n\\n'
with tailrace.stream_deltas([reply]) as deltas:
    waited = list(deltas)
async def main():
    async with tailrace.stream_deltas([reply]) as deltas:
        return [text async for text in deltas]
seen = [waited, asyncio.run(main()), tailrace.DeltaDecoder().feed(reply)]
seen.append([record.text for record in tailrace.decode_many([reply])])
seen.append([event.data for event in tailrace.SSEDecoder().feed(b"data: x\\n\\n")])
roots = {{name.partition(".")[0] for name in sys.modules}} - {{"tailrace", "__main__"}}
print(json.dumps([seen, sorted(roots - sys.stdlib_module_names)]))
"""
    seen, foreign = in_a_new_process(code, "-I", "-S")
    assert seen == [["x"]] * 5
    assert foreign == []


def test_decoding_imports_no_http_library() -> None:
    code = """
import json, sys
from tailrace import ChatStream, DeltaDecoder, PageScanner, SSEDecoder
from tailrace import scan_page, sign_request, stream_deltas
import asyncio
REPLY = [b'data: {"choices":[{"delta":{"content":"x"}}]}\\n\\n', b"data: [DONE]\\n\\n"]
async def main():
    async with stream_deltas(REPLY) as deltas:
        return [text async for text in deltas]
print(json.dumps([asyncio.run(main()), sorted(sys.modules)]))
"""
    deltas, loaded = in_a_new_process(code)
    assert deltas == ["x"]
    assert not set(HEAVY) & set(loaded)


def test_a_command_imports_what_it_needs_alone() -> None:
    code = """
import contextlib, io, json, sys
from tailrace._cli import run
with contextlib.redirect_stdout(io.StringIO()):
    run(["decode", "--help"])
print(json.dumps(sorted(sys.modules)))
"""
    assert not {"aiohttp", "rich", "tailrace.replica"} & set(in_a_new_process(code))


def test_a_provider_imports_aiohttp_when_it_is_first_used() -> None:
    code = "import json, sys, tailrace; tailrace.ChatGptt; print(json.dumps(sorted(sys.modules)))"
    loaded = in_a_new_process(code)
    assert "tailrace.providers._g4f" in loaded
    assert not {"curl_cffi", "click", "rich"} & set(loaded)


def test_what_is_no_promise_has_an_underscore() -> None:
    public = {
        module.name
        for module in walk_packages(tailrace.__path__, "tailrace.")
        if not any(part.startswith("_") for part in module.name.split("."))
    }
    assert public | {"tailrace"} == set(PUBLIC)


def test_the_head_of_the_package_names_where_to_begin() -> None:
    """What `help(tailrace)` shows first."""
    listed = [
        line.removeprefix("- ").partition(":")[0].strip("`")
        for line in (tailrace.__doc__ or "").splitlines()
        if line.startswith("- ")
    ]
    *names, command = listed
    assert names == ["Site", "stream_deltas", "DeltaDecoder", "decode", "decode_many"]
    assert set(names) <= set(tailrace.__all__)
    assert command == "tailrace serve"


def test_type_checkers_are_told_what_is_imported_late() -> None:
    tree = ast.parse(Path(tailrace.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.asname or alias.name: (node.module or "").removeprefix("tailrace.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    modules = {name for name, home in told.items() if home == "tailrace"}
    assert {f"tailrace.{name}" for name in (*modules, "errors")} | {"tailrace"} == set(PUBLIC)
    assert modules == tailrace._MODULES
    assert {name: home for name, home in told.items() if name not in modules} == tailrace._LATE


@pytest.mark.parametrize("name", PUBLIC[1:])
def test_a_public_module_needs_no_import_of_its_own(name: str) -> None:
    code = f"import json, tailrace; print(json.dumps({name}.__name__))"
    assert in_a_new_process(code) == name


def test_every_error_is_in_the_package_itself() -> None:
    for name in errors.__all__:
        assert getattr(tailrace, name) is getattr(errors, name)
    # A star import must not hide Python's own behind ours, which is narrower.
    assert set(errors.__all__) - set(tailrace.__all__) == {"TimeoutError"}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves_and_is_listed(name: str) -> None:
    module: Any = import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    lacks_its_wheel = name == "tailrace.fleet" and find_spec("tailrace_fleet") is None
    for each in () if lacks_its_wheel else module.__all__:
        assert getattr(module, each) is not None
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing
    if name != "tailrace":
        assert {each for each in module.__all__ if each.startswith("_")} == set()


def test_the_names_outsiders_rely_on() -> None:
    names = """SSEDecoder ServerSentEvent DeltaDecoder Usage PageScanner Page PageTokens ChatWidget
        scan_page sign_request stream_deltas ChatStream ChatGptt ChatgptFree ChatGptEs GPROChat
        AsyncGeneratorProvider ProviderModelMixin WordPressChatProvider GeminiProChatProvider
        Messages format_prompt errors __version__ site discover doctor"""
    assert set(names.split()) <= set(tailrace.__all__)
    seeds = (
        "ChatGptt",
        "ChatgptFree",
        "ChatGptEs",
        "GPROChat",
        "AsyncGeneratorProvider",
        "ProviderModelMixin",
    )
    for name in (*seeds, "WordPressChatProvider", "GeminiProChatProvider"):
        assert getattr(tailrace, name) is getattr(providers, name)
        assert getattr(tailrace, name).__name__ == name


def test_a_star_import_gives_all_of_it() -> None:
    code = """
import json
from tailrace import *
import tailrace
print(json.dumps(sorted(set(tailrace.__all__) - set(globals()))))
"""
    assert in_a_new_process(code) == []


def test_the_version_is_cargos() -> None:
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))
    assert (
        tailrace.__version__ == _native.__version__ == manifest["workspace"]["package"]["version"]
    )


def test_the_package_is_marked_as_typed() -> None:
    assert STUB.with_name("py.typed").is_file()


def stub() -> dict[str, ast.stmt]:
    """What the stub declares, by name; imports, and names for its own types, left out."""
    declared: dict[str, ast.stmt] = {}
    for node in ast.parse(STUB.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            declared[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            declared[node.target.id] = node
    own = [name for name in declared if name.startswith("_") and not name.startswith("__")]
    return {name: node for name, node in declared.items() if name not in own}


def test_the_stub_lists_what_the_extension_has() -> None:
    public = {name for name in vars(_native) if not name.startswith("_")}
    assert set(stub()) == public | {"__version__"}
    assert public <= set(tailrace.__all__)


@pytest.mark.parametrize(
    "name", [name for name, node in stub().items() if isinstance(node, ast.ClassDef)]
)
def test_the_stub_lists_what_each_class_has(name: str) -> None:
    node = stub()[name]
    assert isinstance(node, ast.ClassDef)
    declared = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    kind = getattr(_native, name)
    assert {each for each in declared if not each.startswith("_")} == {
        each for each in vars(kind) if not each.startswith("_")
    }
    assert kind.__doc__
    assert [
        each for each in vars(kind) if not each.startswith("_") and not getattr(kind, each).__doc__
    ] == []


def documented() -> dict[str, tuple[str | None, str | None]]:
    """By name what the stub says, which the documents show, and what `help` does."""
    said: dict[str, tuple[str | None, str | None]] = {}
    for name, node in stub().items():
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            said[name] = ast.get_docstring(node), getdoc(getattr(_native, name))
        for each in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"):
                method = getattr(getattr(_native, name), each.name)
                said[f"{name}.{each.name}"] = ast.get_docstring(each), getdoc(method)
    return said


@pytest.mark.parametrize("name", documented())
def test_the_stub_and_help_say_the_same(name: str) -> None:
    """But for marks of code, which the two languages write otherwise."""
    shown, told = ((text or "").replace("`", "").split() for text in documented()[name])
    assert shown == told != []


def test_the_plugin_of_llm_has_the_same_version_and_wants_it() -> None:
    text = (ROOT / "plugins" / "llm-tailrace" / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)["project"]
    assert project["version"] == tailrace.__version__
    assert f"tailrace=={tailrace.__version__}" in project["dependencies"]


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="a question to free-threaded Python"
)
def test_the_extension_leaves_the_gil_off() -> None:
    code = "import json, sys, tailrace; print(json.dumps(sys._is_gil_enabled()))"
    assert in_a_new_process(code) is False


def test_a_site_over_curl_cffi_names_its_extra_where_that_is_missing() -> None:
    code = """
import asyncio, json, sys
sys.modules["curl_cffi"] = None
from tailrace import ChatGptEs, errors
async def main():
    stream = ChatGptEs.create_async_generator("", [{"role": "user", "content": "hi"}], url="http://127.0.0.1:9/")
    try:
        await stream.read()
    except errors.MissingRequirementsError as error:
        return [str(error), stream.end, type(error.__cause__).__name__]
print(json.dumps(asyncio.run(main())))
"""
    message, end, cause = in_a_new_process(code)
    assert "tailrace[impersonate]" in message
    assert (end, cause) == ("failed", "NoneType")


def test_a_fleet_names_its_extra_where_its_wheel_is_missing() -> None:
    code = """
import json, sys
sys.modules["tailrace_fleet"] = None
from tailrace import errors, fleet
try:
    fleet.Fleet
except errors.MissingRequirementsError as error:
    print(json.dumps([str(error), type(error.__cause__).__name__]))
"""
    message, cause = in_a_new_process(code)
    assert message == (
        'the fleet is not installed: pip install "tailrace[fleet]", '
        "or from a checkout: pip install ./rust/fleet"
    )
    assert cause == "NoneType"


def test_a_fleet_says_where_it_has_no_wheel_at_all() -> None:
    code = """
import json, sys
sys.modules["tailrace_fleet"] = None
from tailrace import errors, fleet
sys.platform = "win32"
try:
    fleet.Fleet
except errors.MissingRequirementsError as error:
    print(json.dumps(str(error)))
"""
    assert in_a_new_process(code) == "a fleet is for Linux and macOS, and not for Windows"
