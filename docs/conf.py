"""How ``make docs`` builds the documents. Neither the build nor a page fetches anything."""

from __future__ import annotations

import ast
import pkgutil
import sys
import tomllib
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from docutils.nodes import Element, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.domains.python import PythonDomain
    from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).parents[1]
STUB = ROOT / "python" / "tailrace" / "_native.pyi"
FLEET = ROOT / "rust" / "fleet" / "python"


class TypedExtension:
    """Imports the extension with the classes and functions of its stub, which know their types."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Know the extension alone."""
        spec = PathFinder.find_spec(name, path) if name == "tailrace._native" else None
        if spec is not None and spec.loader is not None:
            loader = spec.loader
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                exec(compile(STUB.read_text("utf-8"), STUB, "exec"), vars(module))  # noqa: S102 - our own file

            loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class StubAlone:
    """Makes a module of its stub: the extension of the fleet's wheel, which need not be built."""

    @classmethod
    def find_spec(
        cls, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Know that extension alone."""
        return spec_from_loader(name, cls()) if name == "tailrace_fleet._native" else None

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the stub, in which a constant has no value."""
        stub = FLEET / "tailrace_fleet" / "_native.pyi"
        exec(compile(stub.read_text("utf-8"), stub, "exec"), vars(module))  # noqa: S102 - our own file
        for constant in module.__annotations__:
            vars(module).setdefault(constant, ())


sys.meta_path[:0] = [TypedExtension, StubAlone]
sys.path.append(str(FLEET))

import tailrace  # noqa: E402 - as the finder above gives it


def complete_annotations() -> None:
    """Give each module the names it imports for its annotations alone.

    A module may import what another one has for its annotations alone: those wait for their turn.
    """
    blocks = list(annotation_imports())
    while blocks:
        waiting = [each for each in blocks if not done(*each)]
        if len(waiting) == len(blocks):
            raise ImportError(f"names for annotations of {', '.join(name for name, _ in blocks)}")
        blocks = waiting


def annotation_imports() -> Iterator[tuple[str, ast.Module]]:
    """Each module's block for type checkers."""
    fleet = import_module("tailrace_fleet")
    for each in (
        *pkgutil.walk_packages(tailrace.__path__, "tailrace."),
        *pkgutil.walk_packages(fleet.__path__, "tailrace_fleet."),
    ):
        if each.name.endswith(("_native", "__main__")):
            continue
        module = import_module(each.name)
        for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                here = [line for line in node.body if not is_missing(line)]
                yield each.name, ast.Module(here, [])


def is_missing(node: ast.stmt) -> bool:
    """Whether it imports a package that is not installed: a client that a module is for."""
    match node:
        case ast.Import(names):
            packages = [alias.name for alias in names]
        case ast.ImportFrom(str(module)):
            packages = [module]
        case _:
            packages = []
    return any(find_spec(name.partition(".")[0]) is None for name in packages)


def done(name: str, block: ast.Module) -> bool:
    """Whether the block ran in its module."""
    try:
        exec(compile(block, name, "exec"), vars(import_module(name)))  # noqa: S102 - our own files
    except ImportError:
        return False
    return True


complete_annotations()
# The order of the stub's members is their order here.
ModuleAnalyzer.cache["module", "tailrace._native"] = ModuleAnalyzer.for_string(
    STUB.read_text("utf-8"), "tailrace._native", str(STUB)
)


def repository_links() -> dict[str, object]:
    """Return the theme's options that link the repository, if pyproject.toml tells its URL.

    It is that of ``Repository`` or ``Source`` in ``[project.urls]``. A button on each page shows
    its source where the theme knows the host; a link at the foot of all pages there always is.
    """
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    urls = tomllib.loads(text)["project"].get("urls", {})
    url = urls.get("Repository") or urls.get("Source")
    if url is None:
        return {}
    link = {"name": "Repository", "url": url, "html": "Repository", "class": ""}
    source = {"source_repository": url, "source_branch": "main", "source_directory": "docs/"}
    is_known = any(host in url for host in ("github.com", "gitlab.com", "bitbucket.org"))
    return {"footer_icons": [link], **(source if is_known else {})}


project = "Tailrace"
release = version = tailrace.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "sphinx_copybutton"]
exclude_patterns = ["_build"]
default_role = "literal"
nitpick_ignore_regex = [
    # Other people's: their documents are not asked for, so that a build needs no network.
    (
        "py:.*",
        r"_?(asyncio|aiohttp|builtins|click|collections|concurrent|curl_cffi|datetime|msgspec|multidict|opentelemetry|pathlib|pytest|random|socket|ssl)\..*",
    ),
    ("py:class", "Provider"),  # an alias for type checkers alone
    ("py:class", r"tailrace\.(openai|anthropic)\._Client"),  # whichever class a client has
]

html_theme = "furo"
html_title = f"Tailrace {release}"
html_theme_options = repository_links()
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

# Of a console what was typed is copied, and not what was printed; what is no code has no button.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_copy_empty_lines = False
copybutton_line_continuation_character = "\\"
copybutton_selector = "div:not(.highlight-text, .highlight-none) > div.highlight > pre"

myst_heading_anchors = 3

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88


def setup(app: Sphinx) -> None:
    """Let names be found as the code writes them, and signatures be read."""
    app.connect("missing-reference", find_own)
    app.connect("autodoc-process-signature", without_factories)


def without_factories(*event: object) -> tuple[str | None, str | None]:
    """Write the default that a dataclass makes anew, which is no Python, as an ellipsis."""
    *_, signature, returns = event
    shown = None if signature is None else str(signature).replace("<factory>", "...")
    return shown, None if returns is None else str(returns)


def find_own(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: TextElement
) -> Element | None:
    """Link a name of ours, whether an annotation writes its module or not.

    A name that only a module with an underscore has is shown without a link.
    """
    domain: PythonDomain = env.domains.python_domain
    path, _, name = node["reftarget"].rpartition(".")
    found = [
        full
        for full in domain.objects
        if full.rpartition(".")[2] == name and full.startswith("tailrace")
    ]
    if node.get("refdomain") != "py":
        return None
    if len(found) == 1:
        entry = domain.objects[found[0]]
        return make_refnode(
            app.builder, node["refdoc"], entry.docname, entry.node_id, shown, found[0]
        )
    is_ours = path.startswith(("tailrace.", "tailrace_fleet."))
    return shown if is_ours and "._" in path else None
