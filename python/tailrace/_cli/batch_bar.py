"""The bar of ``tailrace batch``, with rich."""

from __future__ import annotations

from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING

from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import Task

    from tailrace.batch import Report

__all__ = ["shown_bar"]


class _Rate(ProgressColumn):
    """The rows that were ended in a second of the last half minute."""

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        return Text(f"{task.finished_speed or task.speed or 0.0:,.1f} rows/s")


@contextmanager
def shown_bar(report: Callable[[], Report], screen: Console) -> Iterator[None]:
    """Show how far a run is, twice a second; `report` tells it."""
    progress = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("{task.fields[words]}", markup=False),
        TimeRemainingColumn(),
        console=screen,
        auto_refresh=False,
    )
    now = report()
    known = now.skipped + now.failed
    task = progress.add_task("", total=now.rows - known, words="")

    def renewed() -> Progress:
        now = report()
        progress.update(task, completed=now.rows - now.left - known, words=_words(now))
        return progress

    with Live(
        get_renderable=renewed,
        console=screen,
        refresh_per_second=2,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield


def _words(report: Report) -> str:
    usage = report.usage
    pause = f" · waits {ceil(report.paused):,} s" if report.paused >= 1 else ""
    return (
        f"{usage.prompt:,} tokens in, {usage.completion:,} out · {report.failed:,} failed · "
        f"{report.under_way} of {report.concurrency} at once{pause}"
    )
