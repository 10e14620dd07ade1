"""A page to its bot: bytes in, nonce and post id out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from contenders import pages
from contenders.pages import FLOOR, OURS, TWICE_RE
from report import (
    Figure,
    Options,
    Section,
    Table,
    arguments,
    medians,
    publish,
    version,
    with_spread,
)
from tailrace import PageScanner
from timing import Measured, Samples, measure
from workloads import FEEDS, WordPressPage, cut, wordpress_page

if TYPE_CHECKING:
    from collections.abc import Callable

NOTES = """\
What is not like for like:

- The tree builders read the whole page, and give all of it; ours, `re` and the floor stop at the \
bot, 80 % down.
- `re` and the floor take the first bytes that look right, in comments, scripts and visible text \
too; ours takes real
  tags only, decodes values, knows both lines of the plugin, and gives everything the bot's tag \
says."""


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    page = wordpress_page()
    readers, packages = contenders(options)
    samples = measure(
        [reading(name, read, page) for name, read in readers.items()], 2 if options.quick else 31
    )
    cells = tuple((name, with_spread(samples, name)) for name in readers)
    section = Section(
        name="page",
        title="A page to its bot",
        tables=(
            Table(
                f"A WordPress page of {len(page.html):,} bytes, ns a page",
                ("reader", "time"),
                cells,
            ),
        ),
        figures=(*ratios(samples), past_the_tag(page)),
        notes=NOTES,
        versions={package: version(package) for package in ("tailrace", "python", *packages)},
        medians={"page": medians(samples, OURS)},
    )
    publish(section, options)


def contenders(
    options: Options,
) -> tuple[dict[str, Callable[[bytes], tuple[str, str]]], tuple[str, ...]]:
    """All of them and their packages; in a quick run, those that need none."""
    if options.quick:
        return pages.READERS, ()
    from contenders import page_parsers  # noqa: PLC0415 - a quick run needs no package

    return pages.READERS | page_parsers.READERS, page_parsers.PACKAGES


def reading(name: str, read: Callable[[bytes], tuple[str, str]], page: WordPressPage) -> Measured:
    """One reader's turn."""
    return Measured(name, partial(read, page.html), (page.nonce, page.post_id).__eq__, 1)


def ratios(samples: Samples) -> tuple[Figure, ...]:
    """What was to be reached."""
    return (
        Figure(
            "page, bytes in, widgets out, to two `re` searches",
            samples.ratio(OURS, TWICE_RE),
            0.25,
            0.12,
        ),
        Figure("page, the same, to two `bytes.find`", samples.ratio(OURS, FLOOR)),
    )


def past_the_tag(page: WordPressPage) -> Figure:
    """How many reads are fed after the one in which the bot's tag ends.

    The most at any size of read.
    """
    most = 0
    for size in FEEDS.values():
        scan = PageScanner()
        reads = cut(page.html, size or 1)
        fed = next(number for number, read in enumerate(reads) if scan.feed(read))
        most = max(most, fed - (page.tag_end - 1) // (size or 1))
    return Figure("page, early stop, reads fed past the tag's end", most, 1, unit="reads")


if __name__ == "__main__":
    main()
