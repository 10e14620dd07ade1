"""What a decoder of event streams or of chat replies must do, and whether it does.

On the command line: ``python -m tailrace.conformance``. Nothing here decodes: the cases say what
comes of which bytes, and any decoder can be asked, ours like any other.
"""

from __future__ import annotations

from tailrace.conformance._callables import DecodeResult, EventDecode, TextDecode, calling
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
