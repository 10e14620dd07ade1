"""The figures of a day as a picture: `results/<date>.svg`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from contenders import OURS, TEXT
from report import arguments

mpl.use("svg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKLOAD = "W1, 1400 B"
INK, OURS_COLOUR, OTHERS_COLOUR = "#24292f", "#0a7d8c", "#8c959f"


def main() -> None:
    """Draw what `decode.py` filed."""
    options = arguments(__doc__)
    file = options.folder / f"{options.date}.json"
    results = json.loads(file.read_text("utf-8"))
    # The same figures make the same file, and text stays text.
    with mpl.rc_context({"svg.hashsalt": options.date, "svg.fonttype": "none", "text.color": INK}):
        figure = dots(results["sections"]["decode"]["medians"][WORKLOAD], results)
        figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})
    print(f"{file.with_suffix('.svg')} is drawn")


def dots(taken: Mapping[str, Mapping[str, float]], results: Mapping[str, Any]) -> Any:
    """One dot a contender, the fastest at the top, on a scale of powers of ten.

    They lie three of them apart.
    """
    names = sorted(taken, key=lambda name: -taken[name]["median"])
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(names) + 1.3), layout="constrained")
    for row, name in enumerate(names):
        median, low, high = (
            taken[name][key] for key in ("median", "first_quartile", "third_quartile")
        )
        colour = OURS_COLOUR if name in {OURS, TEXT} else OTHERS_COLOUR
        axes.plot([low, high], [row, row], color=colour, linewidth=2)
        axes.plot(median, row, "o", color=colour, markersize=8)
        axes.annotate(
            f"{median:,.0f} ns", (median, row), (9, -3.5), textcoords="offset points", fontsize=9
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set_xlim(10, max(one["median"] for one in taken.values()) * 8)
    axes.grid(color="#d8dee4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"CPU time an event, in powers of ten, on {results['machine']}", fontsize=8)
    axes.set_title(
        f"A chat stream to its text, reads of 1400 bytes, {results['date']}",
        loc="left",
        fontsize=11,
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="both", length=0)
    return figure


if __name__ == "__main__":
    main()
