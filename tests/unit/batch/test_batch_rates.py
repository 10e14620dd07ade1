"""How fast a batch asks: the rules, at moments that a test chooses."""

from __future__ import annotations

import asyncio
import random
from math import inf
from typing import Any

import pytest

from tailrace import errors
from tailrace.batch import Plan
from tailrace.batch._gate import ClosedError, Gate
from tailrace.batch._rates import Breaker, Meter, Tokens, Unanimity, Window, judge, outage
from tailrace.errors import InvalidRequestError, reply_error


def status_error(
    status: int,
    code: str | None = None,
    retry_after: float | None = None,
    message: str = "no",
) -> Any:
    error: Any = reply_error("upstream", message, status, code)
    error.retry_after = retry_after
    return error


# -- a rate ----------------------------------------------------------------------------------------


def test_a_rate_is_even_from_the_beginning() -> None:
    meter = Meter(60)
    begun = []
    now = 100.0
    for _ in range(4):
        now += meter.wait(now)
        begun.append(now)
        meter.take(now, 1)
    assert begun == pytest.approx([100, 100.9, 101.9, 102.9])  # 0.1 s may be made up for


def test_a_quiet_time_is_not_saved_up() -> None:
    meter = Meter(60)
    meter.take(0, 1)
    assert meter.wait(3600) == 0
    meter.take(3600, 1)
    assert meter.wait(3600) == pytest.approx(0.9)


def test_any_minute_has_no_more_than_its_rate() -> None:
    meter = Meter(600)
    begun: list[float] = []
    now = 0.0
    while now < 180:
        now += meter.wait(now) + 0.003  # a loop that is always late
        begun.append(now)
        meter.take(now, 1)
    most = max(sum(each < later <= each + 60 for later in begun) for each in begun)
    assert 590 <= most <= 602


def test_an_amount_is_corrected_when_it_is_known() -> None:
    meter = Meter(6000)
    meter.take(0, 1000)
    assert meter.wait(0) == pytest.approx(9.9)
    meter.correct(-400)
    assert meter.wait(0) == pytest.approx(5.9)
    meter.correct(500)
    assert meter.wait(0) == pytest.approx(10.9)


def test_no_rate_waits_for_nothing() -> None:
    meter = Meter(None)
    meter.take(0, 10**9)
    meter.correct(10**9)
    assert meter.wait(0) == 0


def test_an_estimate_learns_from_answers() -> None:
    tokens = Tokens()
    assert tokens.estimate(400, None) == 100 + Tokens.FIRST_ANSWER
    assert tokens.estimate(400, 50) == 150
    tokens.told(400, 200, 30)
    tokens.told(400, 200, 10)
    assert tokens.estimate(400, None) == 220
    assert tokens.estimate(800, 5) == 405


# -- requests at once ------------------------------------------------------------------------------


def test_a_window_is_halved_where_all_that_were_under_way_are_refused() -> None:
    window = Window(64, adapts=True)
    for refused in range(64):
        window.shrink(begun=1.0, now=2.0, under_way=64 - refused)
    assert window.limit == 32
    for _ in range(50):  # of those that had begun before, too
        window.shrink(begun=1.5, now=2.5, under_way=32)
    assert window.limit == 32
    for _ in range(32):
        window.shrink(begun=2.5, now=3.0, under_way=32)
    assert window.limit == 16


def test_a_lone_refusal_takes_little() -> None:
    window = Window(64, adapts=True)
    window.shrink(begun=1.0, now=2.0, under_way=64)
    assert window.limit == 63.5


def test_what_is_refused_at_random_leaves_more_than_a_few() -> None:
    """One of ten, whatever is asked at once: halved for each, it would be four."""
    window, chance = Window(64, adapts=True), random.Random(7)
    limits = []
    began = [0.0] * 64
    for moment in range(1, 20_000):
        begun = began.pop(0)  # as many are under way as may be
        if chance.random() < 0.1:
            window.shrink(begun, moment, int(window.limit))
        else:
            window.grow()
        began += [moment] * (int(window.limit) - len(began))
        limits.append(window.limit)
    assert 12 < sum(limits[5000:]) / len(limits[5000:]) < 24


def test_a_window_closes_to_a_site_that_takes_a_few() -> None:
    """It refuses what is more than eight at once: most of what it is asked is answered."""
    window, limits, refused = Window(64, adapts=True), [], 0
    for moment in range(1, 200):
        asked = int(window.limit)
        for place in range(asked):
            if place < 8:
                window.grow()
            else:
                window.shrink(moment - 0.5, moment, asked)
                refused += moment > 50
        limits.append(asked)
    assert 8 <= min(limits[50:]) <= max(limits[50:]) <= 12
    assert refused < 0.25 * sum(limits[50:])


def test_a_window_follows_what_is_asked_where_that_is_fewer() -> None:
    window = Window(64, adapts=True)
    for under_way in (4, 3, 2, 1):
        window.shrink(begun=1.0, now=2.0, under_way=under_way)
    assert window.limit == 2


def test_a_window_grows_by_one_for_a_round_of_answers() -> None:
    window = Window(64, adapts=True)
    for _ in range(64):
        window.shrink(begun=1.0, now=2.0, under_way=64)
    for _ in range(32):
        window.grow()
    assert 32.9 < window.limit <= 33
    for _ in range(10_000):
        window.grow()
    assert window.limit == 64


def test_a_window_is_never_shut_and_may_be_fixed() -> None:
    window, fixed = Window(2, adapts=True), Window(2, adapts=False)
    for moment in range(1, 5):
        window.shrink(moment, moment + 0.5, 1)
        fixed.shrink(moment, moment + 0.5, 1)
    assert (window.limit, fixed.limit) == (1, 2)


# -- what a failure says ---------------------------------------------------------------------------

VERDICTS: list[tuple[errors.TailraceError, str, bool]] = [
    (errors.ConnectError("no"), "down", False),
    (errors.NetworkError("no"), "down", False),
    (errors.TLSError("no"), "down", True),
    (errors.ProxyError("no"), "down", True),
    (errors.ReplyBrokenError("no"), "row", False),
    (errors.TimeoutError("connect", 1), "down", False),
    (errors.TimeoutError("first byte", 1), "down", False),
    (errors.TimeoutError("idle", 1), "row", False),
    (errors.TimeoutError("total", 1), "down", False),
    (status_error(400), "row", False),
    (status_error(401), "down", True),
    (status_error(402), "down", True),
    (status_error(403), "down", True),
    (status_error(404), "row", False),
    (status_error(422), "row", False),
    (status_error(429), "refused", False),
    (status_error(429, "insufficient_quota"), "down", True),
    (status_error(429, retry_after=7), "refused", False),
    (status_error(429, retry_after=3600), "down", True),
    (status_error(500), "down", False),
    (status_error(503), "refused", False),
    (status_error(529), "refused", False),
    (errors.ChallengeError(status=403), "down", True),
    (errors.RedirectError("no", "x"), "down", True),
    (errors.ConversationLimitError("upstream", "no"), "down", True),
    (errors.LimitExceeded("no", status=200), "row", False),
    (errors.StreamError("not_a_stream", "no", status=200), "row", False),
]


@pytest.mark.parametrize(("error", "kind", "lasts"), VERDICTS, ids=lambda each: str(each)[:40])
def test_what_a_failure_says_of_the_site(
    error: errors.TailraceError, kind: str, lasts: bool
) -> None:
    verdict = judge(error, 60.0)
    assert (verdict.kind, verdict.lasts) == (kind, lasts)


# -- the breaker -----------------------------------------------------------------------------------


def test_a_breaker_opens_and_probes_and_closes_with_an_answer() -> None:
    breaker = Breaker(3, 100.0)
    assert not any(breaker.failed(10.0, lasts=False) for _ in range(2))
    assert not breaker.is_open
    assert not breaker.failed(10.0, lasts=False)
    assert breaker.is_open
    probes = []
    for _ in range(7):
        probes.append(breaker.next_probe)
        assert not breaker.failed(breaker.next_probe, lasts=False)
    assert probes == [11, 13, 17, 25, 41, 71, 101]
    breaker.answered(102)
    assert not breaker.is_open
    assert breaker.is_quiet


def test_requests_that_were_under_way_when_it_opened_are_no_probes() -> None:
    breaker = Breaker(1, 100.0)
    for _ in range(500):
        assert not breaker.failed(10.0, lasts=False)
    assert breaker.next_probe == 11


def test_it_trips_when_patience_is_over_or_waiting_cannot_help() -> None:
    patient = Breaker(2, 5.0)
    assert [patient.failed(now, lasts=False) for now in (0.0, 1.0, 4.9, 5.0)] == [
        *[False] * 3,
        True,
    ]
    lasting = Breaker(3, 50.0)
    assert [lasting.failed(0.0, lasts=each) for each in (True, False, True, True, True)] == [
        *[False] * 4,
        True,
    ]
    lasting.answered(1.0)
    assert not any(lasting.failed(2.0, lasts=True) for _ in range(500))  # answers may be slower
    assert not lasting.failed(6.0, lasts=True)
    assert lasting.failed(11.0, lasts=True)
    assert not any(Breaker(None, 0.0).failed(now, lasts=True) for now in range(1000))


# -- rows that all fail alike ----------------------------------------------------------------------


def test_rows_that_all_fail_for_one_reason_tell_of_the_site() -> None:
    missing = [
        status_error(404, "model_not_found", message=f"no model m (request {number:032x})")
        for number in range(3)
    ]
    unanimity = Unanimity(3)
    assert [unanimity.failed(each) for each in missing] == [False, False, True]


def test_the_name_of_the_model_makes_no_other_reason() -> None:
    unanimity = Unanimity(3)
    said = {"a.b": "no model `a.b`", "a": "no model `a`", "c": "no model `c`"}
    failed = [unanimity.failed(status_error(404, message=m), model) for model, m in said.items()]
    assert failed == [False, False, True]
    assert not Unanimity(1).is_broken
    part = Unanimity(2)
    assert not part.failed(status_error(404, message="no model"), "mod")
    assert not part.failed(status_error(404, message="no el"), "mod")
    assert part.is_broken


@pytest.mark.parametrize(
    "other",
    [
        status_error(400, message="no model m"),
        status_error(404, message="no model n"),
        status_error(413, message="no model m"),
        errors.TimeoutError("idle", 1),
    ],
)
def test_another_reason_makes_them_the_rows_own(other: errors.TailraceError) -> None:
    unanimity = Unanimity(3)
    failed = [
        status_error(404, message="no model m"),
        other,
        *[status_error(404, message="no model m")] * 9,
    ]
    assert not any(map(unanimity.failed, failed))
    assert unanimity.is_broken


def test_what_is_a_rows_own_is_no_reason() -> None:
    too_long = status_error(400, "context_length_exceeded")
    assert not any(Unanimity(1).failed(each) for each in (too_long, status_error(413)))
    assert not Unanimity(None).failed(status_error(404))
    assert not Unanimity(10**6).failed(status_error(404))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (status_error(429), "the site wants fewer requests: "),
        (status_error(429, retry_after=4000.0), "the site wants no request for 4,000 s: "),
        (
            status_error(404),
            "the site has answered no row, and failed each for the same reason: ",
        ),
        (status_error(500), "the site does not answer: "),
        (errors.TimeoutError("total", 30), "the site does not answer: "),
    ],
)
def test_why_a_run_stops_in_words(error: errors.TailraceError, words: str) -> None:
    assert outage(error, has_key=True).startswith(words)


# -- the gate --------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_gate_lets_in_as_many_as_may_be_under_way_in_their_order() -> None:
    gate = Gate(Plan(concurrency=2), Clock(), 60.0)
    entered: list[int] = []

    async def one(number: int) -> None:
        await gate.enter(0)
        entered.append(number)

    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await settle()
    assert (entered, gate.under_way) == ([0, 1], 2)
    tasks[2].cancel()
    gate.answered(0)
    await settle()
    assert (entered, gate.under_way) == ([0, 1, 3], 2)
    gate.leave()
    await settle()
    assert entered == [0, 1, 3, 4]
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_request_cancelled_as_it_is_let_in_gives_its_place_back() -> None:
    gate = Gate(Plan(concurrency=1), Clock(), 60.0)
    await gate.enter(0)
    first, second = (asyncio.create_task(gate.enter(0)) for _ in range(2))
    await settle()
    gate.answered(0)
    first.cancel()
    await settle()
    assert (first.cancelled(), second.done(), gate.under_way) == (True, True, 1)


async def test_a_closed_gate_tells_all() -> None:
    gate = Gate(Plan(concurrency=1), Clock(), 60.0)
    await gate.enter(0)
    waiting = asyncio.create_task(gate.enter(0))
    await settle()
    gate.close()
    with pytest.raises(ClosedError):
        await waiting
    with pytest.raises(ClosedError):
        await gate.enter(0)


async def test_a_refusal_holds_for_all_until_its_time_is_over() -> None:
    clock = Clock()
    gate = Gate(Plan(concurrency=4), clock, 60.0)
    begun = await gate.enter(0)
    await gate.enter(0)
    verdict = gate.failed(status_error(429, retry_after=20), begun)
    assert (verdict.kind, gate.limit) == ("refused", 1)
    waiting = asyncio.create_task(gate.enter(0))
    gate.answered(0)
    await settle()
    assert not waiting.done()
    clock.now += 20
    gate._let_in()  # as its timer does
    await waiting
    assert gate.under_way == 1


async def test_while_the_site_is_down_one_at_a_time_probes_it() -> None:
    clock = Clock()
    gate = Gate(Plan(concurrency=8, stop_after=2, patience=50), clock, 60.0)
    for _ in range(2):
        gate.failed(errors.ConnectError("no"), await gate.enter(0))
    assert gate.limit == 1
    waiting = [asyncio.create_task(gate.enter(0)) for _ in range(3)]
    await settle()
    assert gate.under_way == 0
    clock.now += 1
    gate._let_in()
    await settle()
    assert [each.done() for each in waiting] == [True, False, False]
    gate.answered(0)
    await settle()
    assert all(each.done() for each in waiting)
    assert (gate.limit, gate.site_answers) == (8, True)


async def test_the_gate_trips_and_closes() -> None:
    gate = Gate(Plan(stop_after=2), Clock(), 60.0)
    for _ in range(2):
        gate.failed(status_error(401), await gate.enter(0))
    assert gate.is_tripped
    with pytest.raises(ClosedError):
        await gate.enter(0)


async def test_tokens_are_waited_for_and_corrected() -> None:
    clock = Clock()
    gate = Gate(Plan(tpm=6000), clock, 60.0)
    await gate.enter(1000)
    waiting = asyncio.create_task(gate.enter(10))
    await settle()
    gate.answered(-500)
    clock.now += 4.8
    gate._let_in()
    await settle()
    assert not waiting.done()
    clock.now += 0.2
    gate._let_in()
    await waiting


# -- plans -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": 1.5},
        {"concurrency": None},
        {"concurrency": True},
        {"rpm": 0},
        {"tpm": -1},
        {"rpm": inf},
        {"row_timeout": 0},
        {"retry_budget": -0.1},
        {"stop_after": 0},
        {"patience": "long"},
        {"retry": 3},
    ],
)
def test_a_plan_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
        Plan(**wrong)


def test_a_plan_in_words() -> None:
    assert str(Plan(concurrency=8, rpm=60, tpm=1e5)) == (
        "8 at once, 60 requests a minute, 100000 tokens a minute"
    )
