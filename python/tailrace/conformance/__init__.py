"""Rules for decoders of event streams and of chat replies, and a test of any decoder by them.

On the command line: ``python -m tailrace.conformance``. No decoder is part of this package: the
cases hold bytes and the expected results, and any decoder can be tested, Tailrace's like others.
"""

from __future__ import annotations

from tailrace.conformance._callables import (
    DecodeResult,
    EventDecode,
    Part,
    TextDecode,
    calling,
)
from tailrace.conformance._judging import Counterexample, Report, RuleResult, check, judge
from tailrace.conformance._program import Program
from tailrace.conformance._rulebook import CLAIMS, Case, Event, Kind, Level, Rule, rules
from tailrace.conformance._serving import serve

__all__ = [
    "CLAIMS",
    "Case",
    "Counterexample",
    "DecodeResult",
    "Event",
    "EventDecode",
    "Kind",
    "Level",
    "Part",
    "Program",
    "Report",
    "Rule",
    "RuleResult",
    "TextDecode",
    "calling",
    "check",
    "judge",
    "rules",
    "serve",
]
