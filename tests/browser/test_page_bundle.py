"""The page's committed bundle: what its sources build, with licences; and the sources' tests."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tarfile
from importlib.resources import files
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
STATIC = Path(str(files("tailrace.gateway._web").joinpath("static")))
FIRST_LOAD = ("index.html", "page.css", "page.js", "common.js")
MOST_BYTES = 61_000  # gzip: what a visitor waits for before the first word

PATIENCE = 170  # seconds, on a machine that has much else to do

pytestmark = pytest.mark.timeout(PATIENCE + 10)

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (WEB / "node_modules").is_dir(),
    reason="there is no Node.js here, or not what the page is built with: run `make page`",
)


@needs_node
def test_the_committed_bundle_is_what_the_sources_build(tmp_path: Path) -> None:
    _run("node", "build.js", str(tmp_path))
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    assert sorted(built) == sorted(committed)
    stale = [name for name, body in built.items() if committed[name] != body]
    assert stale == [], "run `make page`, and commit what it builds"


@needs_node
def test_the_sources_pass_their_own_tests() -> None:
    _run("node", "--test")


def test_the_page_is_small() -> None:
    sizes = {
        name: len(gzip.compress((STATIC / name).read_bytes(), 9, mtime=0)) for name in FIRST_LOAD
    }
    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_the_licence_of_everything_in_the_bundle_goes_with_it() -> None:
    text = (STATIC / "LICENSES.txt").read_text()
    for name in (
        "@preact/signals",
        "@preact/signals-core",
        "dompurify",
        "highlight.js",
        "htm",
        "marked",
        "preact",
        "uplot",
    ):
        assert f"\n{name} " in text, name
    assert "Permission is hereby granted" in text
    assert "Apache License" in text


def test_a_source_distribution_holds_the_bundle_and_what_it_is_built_from(tmp_path: Path) -> None:
    _run(sys.executable, "-m", "maturin", "sdist", "--out", str(tmp_path), folder=WEB.parent)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"python/tailrace/gateway/_web/static/{path.name}" for path in STATIC.iterdir()} <= held
    sources = [
        path for path in WEB.rglob("*") if path.is_file() and "node_modules" not in path.parts
    ]
    assert {str(path.relative_to(WEB.parent)) for path in sources} <= held
    assert not any("node_modules" in name for name in held)


def test_the_bundle_names_no_other_host() -> None:
    for path in STATIC.iterdir():
        if path.suffix in (".html", ".css", ".js"):
            assert b"//cdn" not in path.read_bytes(), path.name
            assert b"sourceMappingURL" not in path.read_bytes(), path.name


def test_the_lock_names_no_registry() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text()


def _run(*command: str, folder: Path = WEB) -> None:
    done = subprocess.run(  # noqa: S603 - ours
        command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
