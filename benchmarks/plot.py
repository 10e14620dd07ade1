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
INK, OURS_COLOUR, OTHERS_COLOUR = "#24292f", "#0a7d8c", "#b7bfc8"


def main() -> None:
    """Draw what `decode.py` filed."""
    options = arguments(__doc__)
    file = options.folder / f"{options.date}.json"
    results = json.loads(file.read_text("utf-8"))
    # The same figures make the same file, and text stays text.
    with mpl.rc_context({"svg.hashsalt": options.date, "svg.fonttype": "none", "text.color": INK}):
        figure = bars(results["sections"]["decode"]["medians"][WORKLOAD], results)
        figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})
    print(f"{file.with_suffix('.svg')} is drawn")


def bars(taken: Mapping[str, Mapping[str, float]], results: Mapping[str, Any]) -> Any:
    """One bar a contender, the fastest at the top, on a scale of powers of ten: they lie three of them apart."""
    names = sorted(taken, key=lambda name: -taken[name]["median"])
    times = [taken[name]["median"] for name in names]
    spread = [
        [taken[name]["median"] - taken[name]["first_quartile"] for name in names],
        [taken[name]["third_quartile"] - taken[name]["median"] for name in names],
    ]
    colours = [OURS_COLOUR if name in {OURS, TEXT} else OTHERS_COLOUR for name in names]
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(names) + 1.3), layout="constrained")
    drawn = axes.barh(
        names, times, xerr=spread, color=colours, height=0.72, error_kw={"ecolor": INK, "elinewidth": 0.8}
    )
    axes.bar_label(drawn, [f" {time:,.0f} ns" for time in times], padding=3, fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(right=max(times) * 4)
    axes.set_xlabel(f"CPU time an event, logarithmic scale · {results['machine']}", fontsize=8)
    axes.set_title(f"A chat stream to its text, reads of 1400 bytes · {results['date']}", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


if __name__ == "__main__":
    main()
