"""The conformance kit over ours and the peers.

The tables of docs/conformance.md, and docs/conformance.json.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report import version
from tailrace.conformance import Program, judge, rules
from tailrace.conformance._printing import as_json
from tailrace.conformance._rulebook import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.conformance import Kind, Rule

__all__ = ["PEERS", "Peer", "document", "page"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
RAW = ROOT / "docs" / "conformance.json"
BEGIN, END = "<!-- written by make conformance -->", "<!-- end of what make conformance writes -->"
SIGNS = {"kept": "✓", "broken": "✗", "not claimed": "n/a", "not asked": "?"}
LONGEST = 160  # bytes of a split that the page still shows
OTHERWISE = "≠"  # where the rule is our own choice
PATIENCE = 120.0  # seconds for one answer: some reads are 100,000, and nobody is judged by speed
EXAMPLES = 3  # breaks of a rule that are kept, the shortest first
NODE = ("node", "decoders/eventsource.mjs")
CHILD = (sys.executable, "-m", "tailrace.conformance._child")
# Load generators, whose dependencies are not ours: an environment of their own, with our wheel.
GENERATORS = ROOT / ".venv-conformance" / "bin" / "python"
OF_GENERATORS = (str(GENERATORS), "-m", "tailrace.conformance._child")
CHOSEN = ("robustness", "field")  # levels on which another choice than ours is no mistake


@dataclass(frozen=True, slots=True)
class Peer:
    """A decoder, and what a reader of its column should know."""

    name: str
    kind: Kind
    command: tuple[str, ...]
    packages: tuple[str, ...]
    made_for: str
    # a few lines of our own around a library: nobody's choices, so those levels are not asked about
    loop: bool = False


PEERS = (
    Peer("tailrace", "sse", (*CHILD, "decoders.ours:events"), ("tailrace",), "`SSEDecoder`"),
    Peer(
        "eventsource-parser",
        "sse",
        NODE,
        ("node", "eventsource-parser"),
        "the parser under Node's EventSource clients; ids through `onId`, as its documentation "
        "says",
    ),
    Peer(
        "httpx-sse",
        "sse",
        (*CHILD, "decoders.httpx_events:events"),
        ("httpx-sse", "httpx"),
        "`EventSource.iter_sse` over an httpx response",
    ),
    Peer(
        "openai",
        "sse",
        (*CHILD, "decoders.openai_client:events"),
        ("openai",),
        "the `SSEDecoder` inside the client, which has no public name: made for OpenAI's own "
        "servers",
    ),
    Peer(
        "anthropic",
        "sse",
        (*CHILD, "decoders.anthropic_events:events"),
        ("anthropic", "httpx2"),
        "`Stream.raw_events`: made for Anthropic's own servers",
    ),
    Peer(
        "sseclient-py",
        "sse",
        (*CHILD, "decoders.sseclient_events:events"),
        ("sseclient-py",),
        "`SSEClient.events` over an iterator of reads, after the draft of 2009; "
        "it tells an event's own id",
    ),
    Peer(
        "tailrace",
        "deltas",
        (*CHILD, "decoders.ours:text"),
        ("tailrace",),
        "`DeltaDecoder`, its error raised at the end",
    ),
    Peer(
        "openai",
        "deltas",
        (*CHILD, "decoders.openai_client:text"),
        ("openai", "httpx2"),
        "a streamed completion of the client, which makes whole objects of its own servers' chunks",
    ),
    Peer(
        "litellm",
        "deltas",
        (*CHILD, "decoders.litellm_client:text"),
        ("litellm", "openai"),
        "`completion` over the openai client: one form for many vendors' chunks",
    ),
    Peer(
        "langchain-openai",
        "deltas",
        (*CHILD, "decoders.langchain_client:text"),
        ("langchain-openai", "langchain-core", "openai"),
        "`ChatOpenAI.stream` over the openai client",
    ),
    Peer(
        "gpt4free",
        "deltas",
        (*CHILD, "decoders.lines:gpt4free"),
        ("g4f", "aiohttp"),
        "the function its OpenAI-compatible providers read replies with",
    ),
    Peer(
        "vLLM's benchmark",
        "deltas",
        (*OF_GENERATORS, "decoders.vllm_client:text"),
        ("vllm", "aiohttp"),
        "the request function of `vllm bench serve`: made for vLLM's own server",
    ),
    Peer(
        "guidellm",
        "deltas",
        (*OF_GENERATORS, "decoders.guidellm_client:text"),
        ("guidellm", "httpx"),
        "`OpenAIHTTPBackend.resolve`, which load is put on servers with",
    ),
    Peer(
        "inference-perf",
        "deltas",
        (*OF_GENERATORS, "decoders.inference_perf_client:text"),
        ("inference-perf", "aiohttp"),
        "`ChatCompletionAPIData.process_response`, which load is put on servers with",
    ),
    Peer(
        "aiperf",
        "deltas",
        (*OF_GENERATORS, "decoders.aiperf_client:text"),
        ("aiperf", "aiohttp"),
        "`AioHttpClient` and `ChatEndpoint`, which load is put on servers with",
    ),
    Peer(
        "httpx-sse + json",
        "deltas",
        (*CHILD, "decoders.httpx_events:text"),
        ("httpx-sse", "httpx", "python"),
        "its events, `json.loads`, the first choice",
        loop=True,
    ),
    Peer(
        "eventsource-parser + JSON.parse",
        "deltas",
        NODE,
        ("node", "eventsource-parser"),
        "its events, `JSON.parse`, the first choice",
        loop=True,
    ),
    Peer(
        "hand loop + msgspec",
        "deltas",
        (*CHILD, "decoders.hand_loop:with_msgspec"),
        ("msgspec",),
        "the benchmarks' fastest: lines cut at LF, typed",
        loop=True,
    ),
    *(
        Peer(
            f"hand loop + {library}",
            "deltas",
            (*CHILD, f"decoders.hand_loop:with_{library}"),
            (package,),
            "the same with dictionaries",
            loop=True,
        )
        for library, package in (("jiter", "jiter"), ("orjson", "orjson"), ("json", "python"))
    ),
    Peer(
        "aiohttp lines + json",
        "deltas",
        (*CHILD, "decoders.lines:aiohttp_lines"),
        ("aiohttp", "python"),
        "`async for line in response.content`, `json.loads`",
        loop=True,
    ),
)


def main() -> None:
    """Ask them all, and write the page and the raw results."""
    parser = argparse.ArgumentParser(description=__doc__)
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    parser.add_argument(
        "--date", default=today, help="the day the results are of; today unless given"
    )
    raw = json.dumps(document(parser.parse_args().date), indent=1) + "\n"
    RAW.write_text(raw, "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8"), json.loads(raw)), "utf-8")


def document(date: str) -> dict[str, Any]:
    """Everything that was found, and what was asked."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {"date": date, "rules": asked_about(), "peers": list(pool.map(asked, PEERS))}


def asked_about() -> dict[str, dict[str, Any]]:
    """The rules of today with their cases."""
    return {
        rule.id: {"level": rule.level, "cases": [case.name for case in rule.cases]}
        for rule in rules()
    }


def asked(peer: Peer) -> dict[str, Any]:
    """One decoder's report."""

    def about_it(rule: Rule) -> bool:
        return not (peer.loop and rule.level in CHOSEN)

    with Program(peer.command, peer.kind, timeout=PATIENCE) as program:
        report = as_json(
            judge(program.ask, peer.kind, claims=program.claims, only=about_it), peer.name
        )
    for rule in report["rules"]:
        for key in (
            "kind",
            "level",
            "says",
            "source",
            "url",
            "needs",
            "cases",
        ):  # they are in the kit
            del rule[key]
        rule["cases_broken"] = len(rule["breaks"])
        rule["breaks"] = sorted(rule["breaks"], key=size)[:EXAMPLES]
    del report["tailrace"], report["allowed"]
    return {
        "name": peer.name,
        "made_for": peer.made_for,
        "versions": versions(peer),
        **report,
    }


def versions(peer: Peer) -> dict[str, str]:
    """Of its packages, as they are installed where it runs."""
    if peer.command[0] != str(GENERATORS):
        return {package: version(package) for package in peer.packages}
    told = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    words = [str(GENERATORS), "-c", told, *peer.packages]
    asked = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603
    return dict(zip(peer.packages, asked.stdout.split(), strict=True))


def size(broken: dict[str, Any]) -> int:
    """How much there is to read of it."""
    return len("".join(broken["split"]))


def page(text: str, results: dict[str, Any]) -> str:
    """The page with what stands between its marks written anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n" + "\n".join(lines(results)) + f"\n{END}{after}"


def lines(results: dict[str, Any]) -> Iterator[str]:
    """The tables, and what was seen."""
    yield f"Asked on {results['date']}."
    for kind, title in (
        ("sse", "Decoders of event streams"),
        ("deltas", "Readers of chat streams"),
    ):
        peers = [peer for peer in results["peers"] if peer["kind"] == kind]
        yield from ("", f"### {title}", "")
        yield from table(
            ("", "what was asked", "versions"),
            [
                (f"{number}. {peer['name']}", peer["made_for"], told_versions(peer["versions"]))
                for number, peer in enumerate(peers, 1)
            ],
        )
        for level in LEVELS:
            yield from level_table(kind, level, peers)
        yield from ("", "What was seen at each ✗, in the fewest reads that show it:", "")
        yield from seen(peers)


def told_versions(versions: dict[str, str]) -> str:
    """As they stand in the table."""
    return ", ".join(f"{package} {number}" for package, number in versions.items())


def level_table(kind: str, level: str, peers: list[dict[str, Any]]) -> Iterator[str]:
    """A row a rule, a column a decoder; those that were not asked about the level are left out."""
    chosen = [rule for rule in rules() if (rule.kind, rule.level) == (kind, level)]
    states = [{rule["id"]: rule["state"] for rule in peer["rules"]} for peer in peers]
    columns = [number for number, found in enumerate(states) if chosen and chosen[0].id in found]
    if not columns:
        return
    yield from ("", f"**{level}**", "")
    signs = {**SIGNS, "broken": OTHERWISE} if level in CHOSEN else SIGNS
    rows = [
        (f"`{rule.id}`", rule.says, *(signs[states[column][rule.id]] for column in columns))
        for rule in chosen
    ]
    yield from table(("rule", "says", *(str(column + 1) for column in columns)), rows)


def seen(peers: list[dict[str, Any]]) -> Iterator[str]:
    """The shortest break of each rule, and with whom it is the same."""
    levels = {rule.id: rule.level for rule in rules()}
    names: dict[tuple[str, str], list[str]] = {}
    for peer in peers:
        for rule in peer["rules"]:
            if rule["breaks"] and levels[rule["id"]] not in CHOSEN:
                names.setdefault((rule["id"], told_break(rule["breaks"][0])), []).append(
                    peer["name"]
                )
    for (rule_id, what), who in sorted(
        names.items(), key=lambda item: list(levels).index(item[0][0])
    ):
        yield wrapped(f"- `{rule_id}`, {', '.join(who)}: {what}")


def wrapped(item: str) -> str:
    """A list's item in lines of at most 100 columns; a piece of code stays on one line."""
    whole = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), item)
    lines = textwrap.wrap(
        whole, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace("\0", " ")


def told_break(broken: dict[str, Any]) -> str:
    """What was fed, what came, what should have; of a failure its kind."""
    reads = " ".join(ascii(bytes.fromhex(read)) for read in broken["split"])
    where = f"`{reads}`" if len(reads) <= LONGEST else f"case `{broken['case']}`"
    failure = broken["lost"] or broken["failure"]
    came = (
        f"failed with `{failure.partition(':')[0]}`"
        if failure
        else f"gave `{shown(broken['got'])}`"
    )
    return f"{where} {came}, and should give `{shown(broken['expected'])}`"


def shown(found: Any) -> str:
    """A text, or events as a decoder in Python gives them."""
    return ascii(found if isinstance(found, str) else [tuple(event) for event in found])


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Markdown."""
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


if __name__ == "__main__":
    main()
