"""The figures of a load: percentiles, rates, what counts and what is left out."""

from __future__ import annotations

from math import inf
from random import Random

import msgspec
import pytest

from tailrace.errors import RateLimitError, StreamError
from tailrace.load import Distribution, Plan
from tailrace.load._calls import MeasuredCall
from tailrace.load._distribution import Times
from tailrace.load._figures import Figures, limits_of
from tailrace.load._series import Slots

SECOND = 1_000_000_000
MS = 1_000_000


def times(*milliseconds: float) -> Distribution:
    counted = Times()
    for each in milliseconds:
        counted.add(int(each * MS))
    return counted.distribution()


def test_percentiles_are_off_by_half_a_hundredth_at_most() -> None:
    random = Random(7)
    values = sorted(random.lognormvariate(3, 2) for _ in range(20_000))
    found = times(*values)
    for part in (0.5, 0.9, 0.95, 0.99, 0.999):
        true = values[round(part * len(values)) - 1] / 1e3
        assert found.quantile(part) == pytest.approx(true, rel=0.0051)
    assert found.p50 == found.quantile(0.5)
    assert (found.least, found.most) == pytest.approx((values[0] / 1e3, values[-1] / 1e3), abs=1e-9)
    assert found.mean == pytest.approx(sum(values) / len(values) / 1e3, rel=1e-6)


def test_what_one_read_brought_has_no_gap() -> None:
    found = times(0, 0, 0, 20)
    assert (found.p50, found.least, found.most) == (0, 0, 0.02)


def test_nothing_counted_has_no_percentiles() -> None:
    nothing = times()
    assert nothing == Distribution()
    assert (nothing.quantile(0.5), nothing.interval(0.5), nothing.cumulative()) == (None, None, [])


def test_the_interval_holds_the_true_median_95_times_in_100() -> None:
    random = Random(3)
    held = 0
    for _ in range(300):
        low, high = times(*(random.expovariate(1 / 100) for _ in range(200))).interval(0.5) or (
            0,
            0,
        )
        held += low <= 0.1 * 0.693147 <= high
    assert 0.92 <= held / 300 <= 0.98


def test_of_few_values_the_interval_has_no_end() -> None:
    few = times(*range(10, 20))
    low, high = few.interval(0.99) or (0, 0)
    assert low == pytest.approx(few.quantile(0.928), rel=0.01)
    assert high == inf
    assert times(5, 7).interval(0.5) == (0.0, inf)
    low, high = times(*range(1000)).interval(0.99) or (0, 0)
    assert 0.98 < low < 0.99 < high < 1.0


def test_the_cumulative_distribution_ends_with_all() -> None:
    points = times(1, 2, 2, 8).cumulative()
    assert [part for _, part in points] == [0.25, 0.75, 1]
    assert [seconds for seconds, _ in points] == pytest.approx([0.001, 0.002, 0.008], rel=0.005)


def test_a_distribution_survives_json() -> None:
    found = times(1, 5, 9)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Distribution) == found


def call(begin: float, first: float, last: float, **fields: object) -> MeasuredCall:
    """A whole answer of 10 tokens; moments in seconds."""
    made = MeasuredCall(int(begin * SECOND), int(begin * SECOND))
    made.first, made.last = int(first * SECOND), int(last * SECOND)
    made.ended = made.last
    made.deltas, made.end, made.status, made.told_tokens = 5, "done", 200, 10
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def counted(plan: Plan, *calls: MeasuredCall) -> Figures:
    figures = Figures(plan, 0)
    for each in calls:
        figures.claim(each.due)
        figures.began(each)
        figures.ended(each, each.ended or 100 * SECOND)
    return figures


PLAN = Plan(seconds=10.0, warm_up=2.0)


def test_the_warm_up_and_what_came_behind_the_end_are_left_out() -> None:
    figures = counted(PLAN, call(1, 1.5, 1.8), call(3, 3.1, 3.6), call(12.5, 13, 14))
    assert figures.measured == 1
    assert (figures.ttft.distribution().count, figures.ttft.distribution().most) == (1, 0.1)
    assert figures.whole.distribution().most == 0.6


def test_rates_are_of_what_came_in_the_measured_time() -> None:
    """Of the first answer half came in it, of the last one a quarter."""
    figures = counted(PLAN, call(1, 1, 3), call(3, 4, 5), call(11, 11.5, 13.5))
    rates = figures.rates(20 * SECOND)
    assert rates.answers == 2 / 10
    assert rates.tokens == pytest.approx((5 + 10 + 2.5) / 10)


def test_the_time_of_a_number_of_requests_ends_with_the_last_answer() -> None:
    figures = counted(Plan(requests=2), call(0, 1, 2), call(2, 3, 4))
    assert figures.seconds(90 * SECOND) == 4
    assert figures.rates(90 * SECOND).tokens == 20 / 4
    assert not figures.claim(5 * SECOND)


def test_an_open_models_times_count_from_when_a_request_was_due() -> None:
    late = call(3, 3.7, 3.9, begun=int(3.5 * SECOND))
    figures = counted(Plan(rate=1.0, seconds=10.0, warm_up=2.0), late)
    assert figures.ttft.distribution().most == 0.7
    assert figures.whole.distribution().most == 0.9
    assert figures.late.distribution().most == 0.5


def test_failures_are_counted_by_kind_and_their_times_are_no_answers() -> None:
    refused = call(3, 4, 4, end="failed", status=429)
    refused.first = refused.last = None
    refused.error = RateLimitError("upstream", "slow down", status=429)
    cut = call(3, 4, 5, end="truncated", told_tokens=None)
    cut.error = StreamError("truncated", "it broke off")
    left = call(4, 5, 6, end="open", ended=None, status=None, told_tokens=None)
    figures = counted(PLAN, refused, cut, left)
    figures.missed()
    assert figures.ends == {"failed": 1, "truncated": 1, "unfinished": 2}
    assert figures.errors == {"rate_limit": 1, "truncated": 1}
    assert "slow down" in figures.examples["rate_limit"]
    assert figures.statuses == {"429": 1, "200": 1, "none": 2}
    assert figures.ttft.distribution().count == 2  # a first delta is one, whatever came later
    assert figures.whole.distribution().count == 0
    assert figures.tokens().source == "deltas"


def test_where_tokens_are_counted_from_is_told() -> None:
    told, untold = call(3, 4, 5), call(3, 4, 5, told_tokens=None)
    assert counted(PLAN, told).tokens().source == "usage"
    both = counted(PLAN, told, untold).tokens()
    assert (both.from_usage, both.from_deltas, both.source) == (10, 5, "usage and deltas")


def test_a_client_that_was_the_limit_says_why() -> None:
    slow, quick = times(*range(100)), times(1)
    assert limits_of(quick, Distribution(), 0.3) == ()
    assert [reason.split()[0] for reason in limits_of(slow, slow, 0.95)] == ["its", "it", "one"]


def test_a_loop_that_was_away_was_late_all_that_time() -> None:
    figures = Figures(Plan(warm_up=0.0), 0)
    for look in range(100):
        figures.lagged(look * 10 * MS, 0)
    figures.lagged(2 * SECOND, SECOND)
    lag = figures.client(0.1).lag
    assert lag.most == 1
    assert lag.count == 201
    assert lag.p99 == pytest.approx(0.98, abs=0.02)
    assert lag.quantile(0.6) == pytest.approx(0.2, abs=0.02)


def test_requests_that_found_no_place_are_told() -> None:
    figures = Figures(Plan(rate=1.0, most_open=3), 0)
    figures.waiting = 2
    assert figures.client(0.1).limited_by == ("2 requests waited, with 3 open",)


def test_slots_grow_wider_and_never_more() -> None:
    slots = Slots()
    for second in range(1000):
        slots.began(second)
        slots.sample(second, second, 0.001)
        slots.ended(second + 0.5, whole=second % 10 != 0)
    slots.tokens(0.0, 999.0, 999.0)
    series = slots.series()
    assert len(series.slots) <= 240
    assert series.width == 8
    assert sum(slot.begun for slot in series.slots) == 1000
    assert [sum(getattr(slot, name) for slot in series.slots) for name in ("whole", "failed")] == [
        900,
        100,
    ]
    assert sum(slot.tokens for slot in series.slots) == pytest.approx(999)
    assert series.slots[1].tokens == pytest.approx(8)
    assert series.slots[-1].open == 999
