"""The list of the sites: as records, and as the page at `INDEX_PATH` of every site."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from tailrace.replica._response import BREAK_POSITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailrace.replica._faults import FaultKind
    from tailrace.replica._site import Marker

INDEX_PATH = "/~replica"


@dataclass(frozen=True, slots=True)
class PageInfo:
    """One page of a site.

    `name`: its short name; `url`: its full URL; `shows`: its purpose, as one sentence.
    """

    name: str
    url: str
    shows: str


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """One site of a replica.

    `name`: its name; `url`: its origin; `software`: ``wordpress``, ``geminiprochat``,
    ``chatgpt-demo``, ``openai``, ``anthropic``, ``gemini`` or ``ollama``; `shows`: its purpose, as
    one sentence; `pages`: its pages. `markers`: the words that make the site misbehave, or a model
    call a tool; `faults`: those that hold for the whole site at the moment, as they are written.
    """

    name: str
    url: str
    software: str
    shows: str
    pages: tuple[PageInfo, ...]
    markers: tuple[Marker[Any], ...]
    faults: tuple[str, ...] = ()


def index_page(sites: Iterable[SiteInfo], faults: Iterable[FaultKind]) -> str:
    """Return the page that lists `sites` and `faults`, as HTML."""
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
    title = f"<h2>{escape(site.name)} {_link(site.url)}</h2>\n"
    about = f"<p>{escape(site.shows)} (software: {escape(site.software)})</p>\n"
    return f"{title}{about}{in_force}{pages}{markers}"


def _faults(faults: Iterable[FaultKind]) -> str:
    rows = ((_code(f"{kind.text} @{' @'.join(kind.targets)}"), kind.shows) for kind in faults)
    counted = ("N", "after N bytes of the body, counted before compression")
    positions = ((_code(name), shows) for name, shows in (*BREAK_POSITIONS.items(), counted))
    tables = f"{_table(rows, 'fault')}{_table(positions, 'position of a break')}"
    return f"<h2>Faults</h2>\n{_ABOUT_FAULTS}{tables}"


def _table(rows: Iterable[tuple[str, str]], title: str) -> str:
    lines = "".join(f"<tr><td>{name}</td><td>{escape(shows)}</td></tr>\n" for name, shows in rows)
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
<style>
body { font-family: sans-serif; margin: 2em; }
td, th { text-align: left; padding-right: 2em; }
</style>
</head>
<body>
<h1>Tailrace replica</h1>
"""

_ABOUT_FAULTS = """<p>Put
<code>/~fault/NAME[:ARGUMENT][@page|@answer|@all][%SHARE]</code> before the path of any page,
several times for several faults:
<code>/~fault/gzip/~fault/cut:character/chat-stream/</code>. The page, and the messages sent from
it, then have it. Without <code>@</code> a fault holds for what stands first in the table.</p>
"""
