"""The table of clients: each version is that of a lock, each "yes" has a test."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "clients"
FEATURES = ("whole", "streamed", "tools", "structured")

# Of each row of the table: the lock that holds its version, and what its tests are called: what
# follows `test_` in Python, the title of a `describe` in JavaScript.
ROWS = {
    ("`openai`", "chat"): ("clients", "openai_chat"),
    ("`openai`", "Responses"): ("clients", "openai_responses"),
    ("`anthropic`", "messages"): ("clients", "anthropic"),
    ("`litellm`", "chat"): ("clients", "litellm"),
    ("litellm's proxy", "chat and messages"): ("gateways", "litellm_proxy"),
    ("`langchain-openai`", "chat"): ("clients", "langchain"),
    ("`langchain-anthropic`", "messages"): ("frameworks", "langchain_anthropic"),
    ("`pydantic-ai-slim`", "chat and Responses"): ("frameworks", "pydantic_ai"),
    ("`instructor`", "chat, tools as by default"): ("frameworks", "instructor"),
    ("`openai-agents`", "Responses as by default, and chat"): ("frameworks", "openai_agents"),
    ("`llama-index-llms-openai-like`", "legacy completions as by default, and chat"): (
        *("frameworks", "llama_index"),
    ),
    ("`haystack-ai`", "chat and Responses"): ("frameworks", "haystack"),
    ("`dspy`", "chat"): ("frameworks", "dspy"),
    ("`llm`", "chat"): ("clients", "llm"),
    ("`aider-chat`", "chat"): ("aider", "aider"),
    ("`openai` (npm)", "chat"): ("npm", "openai chat"),
    ("`openai` (npm)", "Responses"): ("npm", "openai responses"),
    ("`@anthropic-ai/sdk` (npm)", "messages"): ("npm", "anthropic"),
    ("`@ai-sdk/openai-compatible` (npm)", "chat, by `ai` 7.0.173"): ("npm", "ai with ${name}"),
    ("`@ai-sdk/openai` (npm)", "Responses as by default, by `ai` 7.0.173"): (
        *("npm", "ai with ${name}"),
    ),
    ("`@langchain/openai` (npm)", "chat"): ("npm", "langchain"),
}
TOGETHER = {
    "litellm": {"whole", "streamed"},
    "langchain": {"whole", "streamed"},
    "llm": {"whole", "streamed"},
    "aider": {"whole", "streamed"},
    "litellm_proxy": {"whole", "streamed", "tools"},
}
"""What the one test without a feature in its name looks at."""

PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")
CELLS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.endswith((" yes |", " none |"))
]


def npm_versions() -> dict[str, str]:
    lock = json.loads((CLIENTS / "node" / "package-lock.json").read_text("utf-8"))
    return {
        name.removeprefix("node_modules/"): package["version"]
        for name, package in lock["packages"].items()
        if name
    }


def locked(lock: str, package: str) -> str:
    if lock == "npm":
        return npm_versions()[package]
    found = re.search(
        rf"^{re.escape(package)}==(\S+)",
        (ROOT / f"requirements/{lock}.lock").read_text(),
        re.MULTILINE,
    )
    assert found is not None
    return found[1]


def features(lock: str, name: str) -> set[str]:
    """What the tests of a client look at."""
    if lock == "npm":
        for file in sorted((CLIENTS / "node").glob("*.test.js")):
            _, found, rest = file.read_text("utf-8").partition(f"describe(`{name},")
            if found:
                return set(
                    re.findall(r'^ +test\("(\w+)"', rest.partition("describe(")[0], re.MULTILINE)
                )
    tests = "\n".join(file.read_text("utf-8") for file in sorted(CLIENTS.rglob("test_*.py")))
    named = {each for each in FEATURES if f"def test_{name}_{each}(" in tests}
    return named | (TOGETHER.get(name, set()) if f"def test_{name}(" in tests else set())


def test_every_row_is_known() -> None:
    assert [(row[0], row[2]) for row in CELLS] == list(ROWS)


@pytest.mark.parametrize("row", CELLS, ids=lambda row: f"{row[0]}, {row[2]}")
def test_a_row_says_what_is_tried(row: list[str]) -> None:
    client, version, wire, *marks = row
    lock, name = ROWS[client, wire]
    package = "litellm" if "proxy" in client else client.split("`")[1]
    assert version == locked(lock, package)
    looked_at = features(lock, name)
    assert marks == ["yes" if each in looked_at else "none" for each in FEATURES]


def test_the_other_versions_are_the_locks() -> None:
    assert set(re.findall(r"`ai` ([\d.]+)", PAGE)) == {npm_versions()["ai"]}
    assert re.findall(r"llama-cpp-python ([\d.]+\d)", PAGE) == [locked("llama", "llama-cpp-python")]
