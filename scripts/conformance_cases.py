#!/usr/bin/env python3
"""The cases of the conformance kit, as the wheel carries them.

Those of `tests/vectors` that its rules name.

Written by `make conformance-cases`; with `--check` only compared, which an ordinary test does too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from fnmatch import filter as matching
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "tests" / "vectors"
KIT = ROOT / "python" / "tailrace" / "conformance"
FOLDERS = ("sse", "deltas", "json", "field")
ABOUT = (
    "Made from the project's vectors by `make conformance-cases`: "
    "what they hold is not to be changed here."
)
CARRIED = ("input", "max_event_bytes", "events", "text", "expect")


def main() -> int:
    """Write the bundle, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; 1 where the bundle is not of today"
    )
    wanted = bundle((KIT / "rules.toml").read_text("utf-8"))
    path = KIT / "cases.json"
    if parser.parse_args().check:
        return int(path.read_text("utf-8") != wanted)
    path.write_text(wanted, "utf-8")
    return 0


def bundle(rules: str) -> str:
    """The file's text, a case a line, for what `rules.toml` says."""
    said = tomllib.loads(rules)
    found = vectors()
    patterns = [pattern for rule in said["rule"] for pattern in rule["cases"]]
    if nothing := [pattern for pattern in patterns if not matching(found, pattern)]:
        raise SystemExit(f"no such cases: {nothing}")
    names = sorted({name for pattern in patterns for name in matching(found, pattern)})
    lines = [f"{json.dumps(name)}: {json.dumps(carried(found[name]))}" for name in names]
    return f'{{"about": {json.dumps(ABOUT)},\n"cases": {{\n' + ",\n".join(lines) + "\n}}\n"


def vectors() -> dict[str, dict[str, Any]]:
    """The cases by their names, ``folder/file/case``."""
    return {
        f"{folder}/{path.stem}/{case['name']}": case
        for folder in FOLDERS
        for path in sorted((VECTORS / folder).glob("*.json"))
        for case in json.loads(path.read_text("utf-8"))["cases"]
    }


def carried(case: dict[str, Any]) -> dict[str, Any]:
    """What is judged; an event's `name` is the core's own."""
    if "source" in case:
        return sent(case)
    kept = {
        key: case[key]
        for key in CARRIED
        if key in case and (key != "events" or isinstance(case[key], list))
    }
    if "events" in kept:
        kept["events"] = [
            {key: value for key, value in event.items() if key != "name"}
            for event in kept["events"]
        ]
    return kept


def sent(case: dict[str, Any]) -> dict[str, Any]:
    """What a server really sent, and what must come of it, a kind at a time."""
    expect = case["expect"]
    reasoning = [each["text"] for each in expect["events"] if each["kind"] == "reasoning"]
    return {
        "input": case["input"],
        **{key: case[key] for key in ("dialect", "status", "content_type")},
        "text": expect["text"],
        "reasoning": "".join(reasoning),
        "tool_calls": calls(expect["events"]),
        "usage": expect["usage"] and expect["usage"][:2],
        "finish_reason": expect["finish_reason"],
        "message": (expect["error"] or {}).get("message", ""),
        "reports": case["source"],
    }


def calls(events: list[dict[str, Any]]) -> list[list[str | None]]:
    """The id, name and arguments of each tool call, whose pieces have its index in common."""
    found: dict[int, list[str | None]] = {}
    for event in events:
        if event["kind"] == "tool_call":
            call = found.setdefault(event["index"], [event["id"], event["name"], ""])
            call[2] = f"{call[2]}{event['text']}"
    return list(found.values())


if __name__ == "__main__":
    sys.exit(main())
