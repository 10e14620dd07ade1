"""The trial of a decoder by the rules: each rule kept, or broken with its smallest proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from tailrace._json import read_json
from tailrace.conformance._callables import calling
from tailrace.conformance._program import GivenUpError
from tailrace.conformance._rulebook import DEFAULT_CLAIMS, PARTS, rules
from tailrace.conformance._splits import splits, with_fewer_reads

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

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
    or text, those that had to come and those that came; where another part of a reply is wrong, a
    dict of the text and of that part. `failure`: the error that decoding ended with, and whether it
    had to, None for none; `lost`: why there is no answer, None where one came.
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
        return self.kept_but_for(())

    def kept_but_for(self, allowed: Container[str]) -> bool:
        """Tell whether every claimed rule was tried, and none is broken but those of these ids."""
        return all(
            result.state in {"kept", "not claimed"}
            or (result.state == "broken" and result.rule.id in allowed)
            for result in self.results
        )


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

    `ask`: a function from the reads, and the options of a case by keyword, to a `DecodeResult`;
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
        answer = self._ask(split, **self._options(case))
        expected, got = self._compared(case, answer)
        wrong = self._wrongly_ended(case, answer)
        if answer.lost is None and expected == got and wrong is None:
            return None
        return Counterexample(case, split, expected, got, wrong or answer.failure, answer.lost)

    def _options(self, case: Case) -> dict[str, Any]:
        """Return what the decoder is called with beside the reads."""
        limit, dialect = case.max_event_bytes, case.dialect
        options: dict[str, Any] = {} if limit is None else {"max_event_bytes": limit}
        if dialect in self._claims:
            options["dialect"] = dialect
        return {**options, **case.head} if "head" in self._claims else options

    def _compared(self, case: Case, answer: DecodeResult) -> tuple[Any, Any]:
        """Return what had to come and what came, as far as the decoder claims to know it."""
        if isinstance(case.expected, str):
            return self._compared_texts(case, case.expected, answer)
        return self._columns(case.expected), self._columns(answer.items)

    def _columns(self, events: Iterable[Any]) -> list[Any]:
        claimed = self._claims if "retry" in self._rule.needs else self._claims - {"retry"}
        columns = [
            column for column, claim in enumerate(COLUMNS) if claim is None or claim in claimed
        ]
        return [tuple(event[column] for column in columns) for event in events]

    def _compared_texts(self, case: Case, expected: str, answer: DecodeResult) -> tuple[Any, Any]:
        """Return the texts; with the parts that the rule is about, where they are wrong."""
        text = "".join(item for item in answer.items if isinstance(item, str))
        found = _parts(answer)
        asked = [part for part in PARTS if part in self._rule.needs]
        wrong = [part for part in asked if not _same(case.parts[part], found[part])]
        if not wrong:
            return expected, text
        return (
            {"text": expected} | {part: case.parts[part] for part in wrong},
            {"text": text} | {part: found[part] for part in wrong},
        )

    def _wrongly_ended(self, case: Case, answer: DecodeResult) -> str | None:
        """Return what is wrong with how decoding ended; None where nothing is."""
        failure = answer.failure
        if failure is None:
            return "none, and it should fail" if self._rule.failure == "must" else None
        if self._rule.failure == "never":
            return failure
        if "error_messages" in self._rule.needs and case.message not in failure:
            return f"{failure}, and it should tell {case.message!r}"
        return None


def _parts(answer: DecodeResult) -> dict[str, Any]:
    """Return what a decoder told beside the text, by the names of `PARTS`."""
    told: dict[str, Any] = {"reasoning": "", "tool_calls": (), "usage": None, "finish_reason": None}
    for item in answer.items:
        match item:
            case ("reasoning", text):
                told["reasoning"] += text
            case ("tool_call", *call):
                told["tool_calls"] += (tuple(call),)
            case ("usage", *counts):
                told["usage"] = tuple(counts)
            case ("finish_reason", reason):
                told["finish_reason"] = reason
    return told


def _same(expected: Any, found: Any) -> bool:
    """Tell whether a part is as it must be; of a tool call the arguments' value counts."""
    if not isinstance(expected, tuple) or len(expected) != len(found or ()):
        return bool(expected == found)
    return all(map(_same_value, expected, found))


def _same_value(expected: Any, found: Any) -> bool:
    if not (isinstance(expected, tuple) and isinstance(found, tuple)):
        return bool(expected == found)
    return expected[:2] == found[:2] and _value(expected[2]) == _value(found[2])


def _value(arguments: str) -> Any:
    """Read a tool call's arguments; what is no JSON is its text."""
    try:
        return read_json(arguments.encode())
    except ValueError:
        return arguments
