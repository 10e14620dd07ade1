"""The shards of a run: which are waiting, and what has become of each, over all its workers."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from msgspec import structs

from tailrace.batch import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailrace.batch import Report
    from tailrace.ray._worker import Opened

__all__ = ["Shards"]


class _Shard:
    """One shard; `before`: what was done and had failed before this run began."""

    def __init__(self) -> None:
        self.before: Opened | None = None
        self.done = self.failed = 0
        self.is_over = False
        self.failures = 0
        self.ended: list[Report] = []
        self.live: Report | None = None

    @property
    def reports(self) -> list[Report]:
        return self.ended if self.live is None else [*self.ended, self.live]


class Shards:
    """The shards of a run, `count` of them, in the order in which workers are to take them.

    `input_rows`: the rows of the input, 0 until a shard was opened.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.input_rows = 0
        self.waiting = deque(range(count))
        self._shards = [_Shard() for _ in range(count)]

    @property
    def is_over(self) -> bool:
        """Whether every shard has been worked through."""
        return all(each.is_over for each in self._shards)

    def was_opened(self, index: int) -> bool:
        """Return whether a worker of this run has had the shard."""
        return self._shards[index].before is not None

    def open(self, index: int, opened: Opened) -> None:
        """Take in what is done of a shard that a worker begins."""
        shard = self._shards[index]
        shard.before = shard.before or opened
        shard.done, shard.failed = opened.done, opened.failed
        self.input_rows = opened.input_rows

    def tell(self, index: int, report: Report) -> None:
        """Take in how far a worker is with a shard."""
        shard = self._shards[index]
        shard.live = report
        shard.done, shard.failed = report.skipped + report.done, report.failed

    def end(self, index: int, report: Report, *, is_over: bool) -> None:
        """Take in the end of a worker's work on a shard; `is_over`: no other is to go on."""
        self.tell(index, report)
        shard = self._shards[index]
        shard.ended, shard.live, shard.is_over = shard.reports, None, is_over

    def put_back(self, index: int) -> None:
        """Have a worker go on with a shard that was given to another."""
        shard = self._shards[index]
        shard.ended, shard.live = shard.reports, None
        self.waiting.appendleft(index)

    def count_failure(self, index: int) -> int:
        """Count that a worker could not end a shard; return how often that has been."""
        self._shards[index].failures += 1
        return self._shards[index].failures

    def add_to(self, report: Report) -> Report:
        """Return the report of a whole run, with the counts of all shards."""
        parts = [each for shard in self._shards for each in shard.reports]
        known = [each for each in self._shards if each.before is not None]
        skipped = sum(each.before.done for each in known if each.before is not None)
        failed_before = sum(each.before.failed for each in known if each.before is not None)
        done, failed = sum(each.done for each in known), sum(each.failed for each in known)
        examples: dict[str, str] = {}
        for each in parts:
            examples = {**each.examples, **examples}
        return structs.replace(
            report,
            rows=self.input_rows,
            skipped=skipped,
            done=done - skipped,
            failed=failed,
            failed_before=failed_before,
            left=max(0, self.input_rows - done - failed),
            requests=sum(each.requests for each in parts),
            retries=sum(each.retries for each in parts),
            refused=sum(each.refused for each in parts),
            errors=_sums(each.errors for each in parts),
            examples=examples,
            dropped=_sums(each.dropped for each in parts),
            usage=Tokens(
                prompt=sum(each.usage.prompt for each in parts),
                completion=sum(each.usage.completion for each in parts),
                total=sum(each.usage.total for each in parts),
                estimated=sum(each.usage.estimated for each in parts),
            ),
        )


def _sums(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
