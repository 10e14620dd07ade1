"""Whose site a command may be used on: asked of whoever starts it, unless it is this machine's."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from tailrace._printable import visible_line

if TYPE_CHECKING:
    from tailrace.sites import Site

__all__ = ["make_sure", "owned_option"]

owned_option = click.option("--i-own-it", is_flag=True, help="Do not ask whose site it is.")
"""The option that answers the question beforehand, for scripts."""


def make_sure(chosen: Site, whose: str, purpose: str, *, is_owned: bool) -> None:
    """Ask whose site it is, unless it is on this machine.

    `whose`: on which sites the command may be used, in words; `purpose`: for what the site is to be
    one's own. Raises click's UsageError without a yes.
    """
    if is_owned or _is_loopback(chosen.url):
        return
    click.echo(whose, err=True)
    try:
        agreed = click.confirm(
            f"Is {chosen.name} ({visible_line(chosen.url)}) yours {purpose}?", err=True
        )
    except click.Abort:
        if sys.stdin.isatty():
            raise
        agreed = False
    if not agreed:
        raise click.UsageError("nothing was sent; --i-own-it says that the site is yours")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
