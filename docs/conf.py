"""How the documents are built (``make docs``): nothing is fetched for it, and no page fetches
anything.
"""

from __future__ import annotations

import ast
import pkgutil
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from docutils.nodes import Element, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.domains.python import PythonDomain
    from sphinx.environment import BuildEnvironment

STUB = Path(__file__).parents[1] / "python" / "tailrace" / "_native.pyi"


class TypedExtension:
    """Imports the extension with its stub's classes and functions over its own, which cannot tell
    their types.
    """

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


sys.meta_path.insert(0, TypedExtension)

import tailrace  # noqa: E402 - as the finder above gives it


def complete_annotations() -> None:
    """Give each module the names it imports for its annotations alone, now that no circle can come
    of it.
    """
    for each in pkgutil.walk_packages(tailrace.__path__, "tailrace."):
        if each.name.endswith(("_native", "__main__")):
            continue
        module = import_module(each.name)
        for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                exec(compile(ast.Module(node.body, []), each.name, "exec"), vars(module))  # noqa: S102


complete_annotations()
# The order of the stub's members is their order here.
ModuleAnalyzer.cache["module", "tailrace._native"] = ModuleAnalyzer.for_string(
    STUB.read_text("utf-8"), "tailrace._native", str(STUB)
)

project = "Tailrace"
release = version = tailrace.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
exclude_patterns = ["_build"]
default_role = "literal"
nitpick_ignore_regex = [
    # Other people's: their documents are not asked for, so that a build needs no network.
    (
        "py:.*",
        r"_?(asyncio|aiohttp|click|collections|concurrent|curl_cffi|multidict|pathlib|pytest|random|ssl)\..*",
    ),
    (
        "py:class",
        r"D|tailrace\.(blocking|stream|tokens)\.[DT]|tailrace\.replica\.site\.Play",
    ),  # type variables
]

html_theme = "furo"
html_title = f"Tailrace {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

myst_heading_anchors = 3

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88


def setup(app: Sphinx) -> None:
    """Let names be found as the code writes them."""
    app.connect("missing-reference", find_own)


def find_own(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: TextElement
) -> Element | None:
    """Find a name of ours that an annotation writes without its module, or with the one it is
    defined in.
    """
    domain: PythonDomain = env.domains.python_domain
    name = node["reftarget"].rpartition(".")[2]
    found = [
        full
        for full in domain.objects
        if full.rpartition(".")[2] == name and full.startswith("tailrace")
    ]
    if node.get("refdomain") != "py" or len(found) != 1:
        return None
    place = domain.objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], place.docname, place.node_id, shown, found[0])
