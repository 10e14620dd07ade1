"""The conformance kit's rules: whole, made of the vectors, kept by ours, and each broken by a
decoder that is wrong.
"""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections import Counter
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from plain_decoders import BROKEN_EVENTS, BROKEN_TEXT, Plain, PlainText

from decoders import ours
from tailrace.conformance import CLAIMS, Rule, check, rules
from tailrace.conformance._splits import DRAWN, SMALL, splits, with_fewer_reads
from tailrace.errors import StreamError

if TYPE_CHECKING:
    from types import ModuleType

    from tailrace.conformance import Kind

ROOT = Path(__file__).parents[3]
EVERYTHING: dict[Kind, frozenset[str]] = {
    kind: frozenset(claims) for kind, claims in CLAIMS.items()
}


def bundler() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "bundler", ROOT / "scripts" / "conformance_cases.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def carried(name: str) -> str:
    """A file of the installed kit."""
    return resources.files("tailrace.conformance").joinpath(name).read_text("utf-8")


@pytest.mark.skipif(
    not (ROOT / "python").exists(), reason="they are made anew in the checkout alone"
)
def test_the_cases_are_those_of_the_vectors() -> None:
    assert carried("cases.json") == bundler().bundle(carried("rules.toml")), (
        "`make conformance-cases` renews it"
    )


@pytest.mark.parametrize("folder", ["sse", "field"])
def test_every_case_of_a_folder_belongs_to_a_rule(folder: str) -> None:
    said: dict[str, Any] = tomllib.loads(carried("rules.toml"))
    asked = {case.name for rule in rules() for case in rule.cases}
    there = {name for name in bundler().vectors() if name.startswith(f"{folder}/")}
    left_out = {name for name in said["left_out"] if name.startswith(f"{folder}/")}
    assert there - asked == left_out


def test_rules_are_well_formed() -> None:
    assert max(Counter(rule.id for rule in rules()).values()) == 1
    for rule in rules():
        assert rule.cases
        assert rule.needs <= set(CLAIMS[rule.kind])
        assert rule.says.endswith(".")
        assert (rule.level == "robustness") == rule.id.startswith("robust/")
        assert (rule.level == "field") == rule.id.startswith("field/")
        assert rule.url.startswith("https://") or (rule.source, rule.level) in {
            ("our choice", "robustness"),
            ("public reports", "field"),
        }
        assert all((case.reports != ()) == (rule.level == "field") for case in rule.cases)
        assert all(isinstance(case.expected, str) == (rule.kind == "deltas") for case in rule.cases)


def test_a_rule_some_of_the_field_says_what_its_cases_need() -> None:
    """A decoder is given no reply of another API, and no head that matters, without its claim."""
    usual = {"status": 200, "content_type": "text/event-stream"}
    for rule in rules():
        for case in rule.cases:
            assert case.dialect == "openai" or case.dialect in rule.needs, rule.id
            if case.head and case.head["content_type"].endswith("/json"):
                assert "head" in rule.needs or case.dialect == "ollama", rule.id
            if "error_messages" in rule.needs:
                assert case.message, case.name
            if case.head.get("status", 200) != usual["status"]:
                assert "head" in rule.needs, rule.id


def test_no_product_is_named_by_a_rule_or_a_case_some_of_the_field() -> None:
    """What servers do is told as what is on the wire: who did it stands in the reports alone."""
    products = {
        *("copilot", "gemini", "litellm", "litespeed", "llamacpp", "mistral", "moonshot"),
        *("openrouter", "perplexity", "siteground", "vertex", "wordfence"),
    }
    for rule in rules():
        if rule.level == "field":
            told = " ".join((rule.says, *(case.name.rpartition("/")[2] for case in rule.cases)))
            words = set(re.split(r"\W|_", told.lower()))
            assert not words & products - {case.dialect for case in rule.cases}, rule.id


@pytest.mark.heavy
def test_ours_keeps_every_rule() -> None:
    reports = (
        check(ours.events, "sse", claims=EVERYTHING["sse"]),
        check(ours.text, "deltas", claims=EVERYTHING["deltas"]),
    )
    for report in reports:
        assert report.broken == []
        assert {result.state for result in report.results} == {"kept"}


def test_the_plain_readers_keep_what_they_should() -> None:
    assert check(Plain(), "sse", claims=EVERYTHING["sse"]).kept
    report = check(
        PlainText(), "deltas", only=lambda rule: rule.level in {"specification", "chunk"}
    )
    assert report.kept


@cache
def broken_by(decode: Any, kind: Kind) -> frozenset[str]:
    return frozenset(check(decode(), kind, claims=EVERYTHING[kind]).broken)


@pytest.mark.heavy
@pytest.mark.parametrize("decode", BROKEN_EVENTS)
def test_a_wrong_decoder_of_events_is_caught(decode: Any) -> None:
    assert broken_by(decode, "sse") >= BROKEN_EVENTS[decode]


@pytest.mark.heavy
@pytest.mark.parametrize("decode", BROKEN_TEXT)
def test_a_wrong_reader_of_chats_is_caught(decode: Any) -> None:
    assert broken_by(decode, "deltas") >= BROKEN_TEXT[decode]


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["sse", "deltas"])
def test_every_rule_can_be_broken(kind: Kind) -> None:
    """The decoders above break each of them: no rule is one that everybody keeps."""
    wrong: dict[str, Any] = {"sse": BROKEN_EVENTS, "deltas": BROKEN_TEXT}
    left = {rule.id for rule in rules() if rule.kind == kind}.difference(*wrong[kind].values())
    for decode in wrong[kind]:
        if left:  # what is broken beside what is named
            left -= broken_by(decode, kind)
    assert not left


def test_what_is_not_claimed_is_not_asked() -> None:
    report = check(Plain(), "sse", claims=())
    states = {result.rule.id: result.state for result in report.results}
    assert {states[rule.id] for rule in rules() if rule.kind == "sse" and rule.needs} == {
        "not claimed"
    }
    assert "broken" not in states.values()
    assert report.kept


def test_types_and_ids_are_compared_where_they_are_claimed_alone() -> None:
    def nameless(chunks: Any) -> Any:
        return ((None, data, None) for _, data, *_ in Plain()(chunks))

    assert check(nameless, "sse", claims=()).kept
    assert {"sse/type", "sse/id"} <= set(check(nameless, "sse").broken)


def some_of_the_field(rule: Rule) -> bool:
    """A few of them, one or more of each kind."""
    return rule.id in {
        *("field/reasoning", "field/parts-as-content", "field/message-in-event"),
        *("field/error-words", "field/error-in-choice", "field/calls-of-one-index", "field/usage"),
    }


def test_parts_beside_the_text_are_compared_where_a_rule_is_about_them() -> None:
    def wrong_part(chunks: Any, **options: Any) -> Any:
        for item in ours.text(chunks, **options):
            yield ("reasoning", "else") if item[:1] == ("reasoning",) else item

    report = check(wrong_part, "deltas", claims=EVERYTHING["deltas"], only=some_of_the_field)
    assert report.broken == ["field/reasoning"]
    broken = next(each for result in report.results for each in result.counterexamples)
    assert broken.expected == {"text": "four", "reasoning": "two and two"}
    assert broken.got == {"text": "four", "reasoning": "else"}


def test_arguments_of_a_call_are_compared_by_their_value() -> None:
    def spaced(chunks: Any, **options: Any) -> Any:
        for item in ours.text(chunks, **options):
            match item:
                case ("tool_call", identity, name, str(arguments)):
                    yield "tool_call", identity, name, json.dumps(json.loads(arguments), indent=1)
                case _:
                    yield item

    def only(rule: Rule) -> bool:
        return "tool_calls" in rule.needs

    assert check(spaced, "deltas", claims=EVERYTHING["deltas"], only=only).kept


def test_a_failure_without_the_servers_words_breaks_the_rule_about_them_alone() -> None:
    def silent(chunks: Any, **options: Any) -> Any:
        try:
            yield from ours.text(chunks, **options)
        except StreamError:
            raise RuntimeError("it failed") from None

    report = check(silent, "deltas", claims=EVERYTHING["deltas"], only=some_of_the_field)
    assert report.broken == ["field/error-words"]


def test_the_smallest_split_is_told() -> None:
    def only(rule: Rule) -> bool:
        return rule.id == "sse/utf-8"

    def wrong_at_three_reads(chunks: Any) -> Any:
        reads = list(chunks)
        return Plain()(reads if len(reads) < 3 else [b""])

    [result] = check(wrong_at_three_reads, "sse", only=only).results
    assert [len(broken.split) for broken in result.counterexamples] == [3, 3]
    [result] = check(lambda _: [], "sse", only=only).results
    assert [len(broken.split) for broken in result.counterexamples] == [1, 1]
    assert result.counterexamples[0].expected == [("message", "é你🎉", "")]
    assert result.counterexamples[0].got == []


@pytest.mark.parametrize("size", [0, 1, 2, 3, 40, SMALL, SMALL + 1, 4000])
def test_splits(size: int) -> None:
    data = bytes(at % 251 for at in range(size))
    found = list(splits(data))
    assert all(b"".join(split) == data for split in found)
    assert all(read for split in found for read in split)
    assert found[0] == ((data,) if data else ())
    assert found == list(splits(data))
    assert len(list(splits(data, brief=True))) == 1 + (size > 1)
    if size > 1:
        assert len(found[-1]) == size
        in_two = [split for split in found if len(split) == 2]
        assert len(set(in_two)) >= (size - 1 if size <= SMALL else DRAWN)
        assert found != list(splits(data, seed=1)) or size < 40


def test_reads_are_joined_while_it_fails() -> None:
    asked: list[tuple[bytes, ...]] = []

    def fails(split: tuple[bytes, ...]) -> bool:
        asked.append(split)
        return b"c" in split

    assert with_fewer_reads(tuple(b"%c" % letter for letter in b"abcdef"), fails) == (
        b"ab",
        b"c",
        b"def",
    )
    assert len(asked) <= 6


def test_the_rules_say_where_they_are_from() -> None:
    assert {rule.source for rule in rules() if rule.level == "specification"} == {
        "WHATWG HTML 9.2.5",
        "WHATWG HTML 9.2.6",
        "WHATWG Encoding, UTF-8 decoder",
    }
    assert json.loads(carried("cases.json"))["about"]
    assert "Nicolas Seriot" in carried("LICENSES.txt")
