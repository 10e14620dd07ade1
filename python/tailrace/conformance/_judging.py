"""The trial of a decoder by the rules: each rule kept, or broken with its smallest proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from tailrace.conformance._callables import calling
from tailrace.conformance._program import GivenUpError
from tailrace.conformance._rulebook import DEFAULT_CLAIMS, rules
from tailrace.conformance._splits import splits, with_fewer_reads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tailrace.conformance._callables import Ask, DecodeResult, EventDecode, TextDecode
    from tailrace.conformance._rulebook import Case, Kind, Rule
    from tailrace.conformance._splits import Split

__all__ = ["Counterexample", "Report", "RuleResult", "State", "check", "judge"]

State = Literal["kept", "broken", "not claimed", "not asked"]

COLUMNS = ("types", None, "ids", "retry")
"""The claim that each part of an event needs to be compared; data needs none. The retry is compared
in the rules about retries alone: no event shows what a block without data does to it."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A case that a decoder got wrong.

    `case`: the case; `split`: its bytes as they were cut into reads; `expected` and `got`: events
    or text, those that had to come and those that came. `failure`: the error that decoding ended
    with, and whether it had to, None for none; `lost`: why there is no answer, None where one came.
    """

    case: Case
    split: Split
    expected: Any
    got: Any
    failure: str | None
    lost: str | None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule.

    `state`: ``kept``, ``broken``, ``not claimed`` (the rule needs an ability that the decoder does
    not claim) or ``not asked`` (the decoder was given up before). `splits_tried`: how many splits
    were tried; `counterexamples`: the cases that went wrong, each in its smallest failing split.
    """

    rule: Rule
    state: State
    splits_tried: int = 0
    counterexamples: tuple[Counterexample, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all rules that were chosen.

    `kind`: of the decoder, ``sse`` or ``deltas``; `claims`: the abilities it claims, of `CLAIMS`;
    `seed`: of the random splits; `results`: one for each rule, in the order of the rules.
    """

    kind: Kind
    claims: frozenset[str]
    seed: int
    results: tuple[RuleResult, ...]

    @property
    def broken(self) -> list[str]:
        """The ids of the rules that are broken."""
        return [result.rule.id for result in self.results if result.state == "broken"]

    @property
    def kept(self) -> bool:
        """Whether every claimed rule was tried, and none is broken."""
        return not any(result.state in {"broken", "not asked"} for result in self.results)


@overload
def check(
    decode: EventDecode,
    kind: Literal["sse"],
    *,
    claims: Iterable[str] | None = None,
    only: Callable[[Rule], bool] = ...,
    seed: int = 0,
) -> Report: ...
@overload
def check(
    decode: TextDecode,
    kind: Literal["deltas"],
    *,
    claims: Iterable[str] | None = None,
    only: Callable[[Rule], bool] = ...,
    seed: int = 0,
) -> Report: ...
def check(
    decode: EventDecode | TextDecode,
    kind: Kind,
    *,
    claims: Iterable[str] | None = None,
    only: Callable[[Rule], bool] = lambda _: True,
    seed: int = 0,
) -> Report:
    """Test the callable `decode` in this process, and report which rules it keeps.

    `kind`: ``sse`` for an `EventDecode`, ``deltas`` for a `TextDecode`. `claims`: the abilities, of
    `CLAIMS`, that the decoder has; by default types and ids for ``sse``, none for ``deltas``.
    `only`: tells of a rule whether it is tried; all are by default. `seed`: of the random splits.
    Raises RuntimeError within a running event loop.
    """
    claimed = DEFAULT_CLAIMS[kind] if claims is None else frozenset(claims)
    with calling(decode, kind) as ask:
        return judge(ask, kind, claims=claimed, only=only, seed=seed)


def judge(
    ask: Ask,
    kind: Kind,
    *,
    claims: frozenset[str],
    only: Callable[[Rule], bool] = lambda _: True,
    seed: int = 0,
) -> Report:
    """Test the decoder behind `ask`, such as `Program.ask`, and report which rules it keeps.

    `ask`: a function from the reads and `max_event_bytes` (None: no limit) to a `DecodeResult`;
    `kind`, `claims`, `only` and `seed` are those of `check`.
    """
    chosen = [rule for rule in rules() if rule.kind == kind and only(rule)]
    return Report(kind, claims, seed, tuple(_results(ask, chosen, claims, seed)))


def _results(
    ask: Ask, chosen: list[Rule], claims: frozenset[str], seed: int
) -> Iterator[RuleResult]:
    given_up = False
    for rule in chosen:
        if not rule.needs <= claims:
            yield RuleResult(rule, "not claimed")
            continue
        trial = _Trial(ask, rule, claims, seed)
        try:
            if not given_up:
                trial.run()
        except GivenUpError:
            given_up = True
        state: State = "broken" if trial.counterexamples else "not asked" if given_up else "kept"
        yield RuleResult(rule, state, trial.splits_tried, tuple(trial.counterexamples))


class _Trial:
    """One rule's cases, each cut in all ways until one goes wrong."""

    def __init__(self, ask: Ask, rule: Rule, claims: frozenset[str], seed: int) -> None:
        self.splits_tried = 0
        self.counterexamples: list[Counterexample] = []
        self._ask = ask
        self._rule = rule
        self._claims = claims
        self._seed = seed

    def run(self) -> None:
        for case in self._rule.cases:
            for split in splits(case.data, brief=case.brief, seed=self._seed):
                broken = self._try(case, split)
                if broken is not None:
                    self.counterexamples.append(self._smaller(broken))
                    break

    def _smaller(self, broken: Counterexample) -> Counterexample:
        """Find a failure of the same case with as few reads as possible.

        A split that gave no answer stays as it is: the decoder would hang or end once more.
        """
        if broken.lost is not None:
            return broken
        failures = [broken]

        def still_fails(split: Split) -> bool:
            again = self._try(broken.case, split)
            if again is not None:
                failures.append(again)
            return again is not None

        with_fewer_reads(broken.split, still_fails)
        return failures[-1]

    def _try(self, case: Case, split: Split) -> Counterexample | None:
        self.splits_tried += 1
        answer = self._ask(split, case.max_event_bytes)
        expected, got = self._compared(case.expected), self._compared(_whole(answer, case))
        if answer.lost is None and expected == got and self._ends_as_ruled(answer):
            return None
        return Counterexample(case, split, expected, got, self._failure(answer), answer.lost)

    def _compared(self, decoded: Any) -> Any:
        """Return the text, or of each event the parts that the decoder claims to know."""
        if isinstance(decoded, str):
            return decoded
        claimed = self._claims if "retry" in self._rule.needs else self._claims - {"retry"}
        columns = [
            column for column, claim in enumerate(COLUMNS) if claim is None or claim in claimed
        ]
        return [tuple(event[column] for column in columns) for event in decoded]

    def _ends_as_ruled(self, answer: DecodeResult) -> bool:
        failed = answer.failure is not None
        return self._rule.failure == "any" or failed == (self._rule.failure == "must")

    def _failure(self, answer: DecodeResult) -> str | None:
        if self._rule.failure == "must" and answer.failure is None:
            return "none, and it should fail"
        return answer.failure


def _whole(answer: DecodeResult, case: Case) -> Any:
    return "".join(answer.items) if isinstance(case.expected, str) else answer.items
