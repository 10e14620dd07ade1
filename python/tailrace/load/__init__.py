"""Load for a site or server of one's own: how fast it answers many at once.

``tailrace load SITE`` is this as a command. `run` puts the load of a `Plan` on a site and returns a
`Report`; `read_report` reads one from a file, and `compare` tells which of two is faster. To
look at them, `report_page` and `comparison_page` make a page with plots.
"""

from __future__ import annotations

from tailrace.load._comparison import Change, Comparison, compare
from tailrace.load._distribution import Distribution
from tailrace.load._page import comparison_page, report_page
from tailrace.load._plan import Arrivals, Plan
from tailrace.load._report import Client, Rates, Report, Tokens, read_report
from tailrace.load._running import run
from tailrace.load._series import Series, Slot

__all__ = [
    "Arrivals",
    "Change",
    "Client",
    "Comparison",
    "Distribution",
    "Plan",
    "Rates",
    "Report",
    "Series",
    "Slot",
    "Tokens",
    "compare",
    "comparison_page",
    "read_report",
    "report_page",
    "run",
]
