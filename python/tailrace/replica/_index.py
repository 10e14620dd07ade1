"""The page at `INDEX_PATH` of every site: the sites, what they show, and how they can be made to
fail.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tailrace.replica._sending import PLACES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailrace.replica._faults import FaultKind
    from tailrace.replica._server import SiteInfo

INDEX_PATH = "/~replica"


def index_page(sites: Iterable[SiteInfo], faults: Iterable[FaultKind]) -> str:
    """Return the page, as HTML."""
    return "".join((_HEAD, *map(_site, sites), _faults(faults), "</body>\n</html>\n"))


def _site(site: SiteInfo) -> str:
    pages = _table(((_link(page.url), page.shows) for page in site.pages), "page")
    markers = _table(
        ((_code(marker.text), marker.shows) for marker in site.markers), "word in a message"
    )
    in_force = (
        f"<p>Faults of the whole site now: {_code(' '.join(site.faults))}</p>\n"
        if site.faults
        else ""
    )
    title = f"<h2>{escape(site.name)} {_link(site.url)}</h2>\n<p>{escape(site.shows)}</p>\n"
    return f"{title}{in_force}{pages}{markers}"


def _faults(faults: Iterable[FaultKind]) -> str:
    rows = ((_code(f"{kind.text} @{' @'.join(kind.targets)}"), kind.shows) for kind in faults)
    rows_of_places = [
        *PLACES.items(),
        ("N", "after N bytes of the body, counted before compression"),
    ]
    places = ((_code(place), where) for place, where in rows_of_places)
    return f"<h2>Faults</h2>\n{_ABOUT_FAULTS}{_table(rows, 'fault')}{_table(places, 'place of a break')}"


def _table(rows: Iterable[tuple[str, str]], title: str) -> str:
    lines = "".join(f"<tr><td>{what}</td><td>{escape(shows)}</td></tr>\n" for what, shows in rows)
    return f"<table>\n<tr><th>{escape(title)}</th><th>what it shows</th></tr>\n{lines}</table>\n"


def _link(url: str) -> str:
    return f'<a href="{escape(url)}">{escape(url)}</a>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Tailrace replica</title>
<style>body { font-family: sans-serif; margin: 2em; } td, th { text-align: left; padding-right: 2em; }</style>
</head>
<body>
<h1>Tailrace replica</h1>
"""

_ABOUT_FAULTS = """<p>Put <code>/~fault/NAME[:ARGUMENT][@page|@answer|@all]</code> in front of the path of any page,
several times for several faults: <code>/~fault/gzip/~fault/cut:character/chat-stream/</code>. The page, and the
messages sent from it, then have it. Without <code>@</code> it holds for what stands first in the table.</p>
"""
