"""What a decoder of event streams or of chat replies must do, and whether it does: ``python -m
tailrace.conformance``.

Nothing here decodes: the cases say what comes of which bytes, and any decoder can be asked, ours
like any other.
"""

from __future__ import annotations

from tailrace.conformance._callables import Answer, Event, EventDecode, TextDecode, calling
from tailrace.conformance._judging import Break, Report, Verdict, check, judge
from tailrace.conformance._program import Program
from tailrace.conformance._rulebook import CLAIMS, Case, Kind, Level, Rule, rules
from tailrace.conformance._serving import serve

__all__ = [
    "CLAIMS",
    "Answer",
    "Break",
    "Case",
    "Event",
    "EventDecode",
    "Kind",
    "Level",
    "Program",
    "Report",
    "Rule",
    "TextDecode",
    "Verdict",
    "calling",
    "check",
    "judge",
    "rules",
    "serve",
]
