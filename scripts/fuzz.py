#!/usr/bin/env python3
"""Run the fuzz targets of `rust/fuzz`, each for so many seconds or runs; print the runs of each.

They begin with the kept inputs (`corpora`, `regressions`) and with the project's vectors. An input
that fails is shown in hexadecimal: a line for the target's file in `regressions`, which the
ordinary tests replay. `--keep` writes what the runs have found to `corpora`, as few inputs as cover
the same code.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FUZZ = ROOT / "rust" / "fuzz"
VECTORS = ROOT / "tests" / "vectors"
WORK = ROOT / "target" / "fuzz"
TARGETS = {
    "json": 300,
    "chunk": 300,
    "sse": 200,
    "delta": 300,
    "repeats": 120,
    "text": 100,
    "tokens": 160,
    "page": 250,
    "sign": 300,
}
"""The targets, and of how many bytes an input is: enough for several events or tags, and few enough
to be fast.
"""

LONGEST = max(TARGETS.values())

DIALECTS = (
    "openai",
    "ai-power",
    "aipkit",
    "text",
    "anthropic",
    "gemini",
    "ollama",
    "openai-responses",
    "ai-engine",
)
CUTS = bytes([3, 1, 7, 30])
"""How many sizes of reads follow, and these; see `rust/core/tests/checks/cutting.rs`."""

Case = dict[str, Any]
Command = list[str | Path]


def main() -> int:
    """Build and run the targets; 1 when an input failed."""
    parser = argparse.ArgumentParser(description="Run the fuzz targets of rust/fuzz.")
    parser.add_argument(
        "targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS)
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--runs", type=int, help="for each target, instead of seconds")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random choices; 0 is another one each time"
    )
    parser.add_argument(
        "--keep", action="store_true", help="write the smallest set of inputs to rust/fuzz/corpora"
    )
    options = parser.parse_args()
    binaries = build()
    limit = f"-runs={options.runs}" if options.runs else f"-max_total_time={options.seconds}"
    print(f"{'target':<8} {'runs':>12} {'a CPU second':>13} {'edges':>6}  result", flush=True)
    passed = True
    for target in options.targets or TARGETS:
        corpus = begin(target)
        passed &= run(binaries / target, corpus, [limit, f"-seed={options.seed}"])
        if options.keep:
            keep(binaries / target, corpus)
    return 0 if passed else 1


def build() -> Path:
    """The folder of the built targets. Without sanitizers: the core has no unsafe code."""
    tool = ROOT / "target" / "tools" / "bin" / "cargo-fuzz"
    command: Command = [
        tool,
        "build",
        "--fuzz-dir",
        FUZZ,
        "--sanitizer",
        "none",
        "--target-dir",
        WORK,
    ]
    if subprocess.run(command, check=False, cwd=ROOT).returncode:
        sys.exit("The targets do not build.")
    return next(WORK.glob("*/release/json")).parent


def begin(target: str) -> Path:
    """The target's folder of inputs, with the kept ones and those made of vectors in it."""
    corpus = WORK / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*kept(target), *seeds(target)]):
        (corpus / f"seed-{number}").write_bytes(data)
    return corpus


def run(binary: Path, corpus: Path, limits: list[str]) -> bool:
    """Run one target and print its row; false when an input failed."""
    failures = WORK / "failures"
    failures.mkdir(exist_ok=True)
    prefix = f"{failures}/{binary.name}-"
    options = [
        *limits,
        f"-max_len={TARGETS[binary.name]}",
        "-timeout=20",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={prefix}",
    ]
    command: Command = [binary, corpus, *options, f"-dict={FUZZ / 'words.dict'}"]
    start = cpu_seconds()
    environment = {**os.environ, "RUST_BACKTRACE": "0"}
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=ROOT,
        env=environment,
    )
    seconds = cpu_seconds() - start
    runs = int((re.findall(r"^#(\d+)", done.stderr, re.MULTILINE) or [0])[-1])
    edges = int((re.findall(r"cov: (\d+)", done.stderr) or [0])[-1])
    result = "passed" if done.returncode == 0 and runs else "FAILED"
    print(f"{binary.name:<8} {runs:>12,} {runs / seconds:>13,.0f} {edges:>6}  {result}", flush=True)
    if result == "passed":
        return True
    print(done.stderr[-3000:], file=sys.stderr)
    for artifact in re.findall(rf"{re.escape(prefix)}\S+", done.stderr)[-1:]:
        print(
            f"for rust/fuzz/regressions/{binary.name}.hex:\n{Path(artifact).read_bytes().hex()}",
            flush=True,
        )
    return False


def cpu_seconds() -> float:
    """The processor time of the targets so far: what a run costs however busy the machine is."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def keep(binary: Path, corpus: Path) -> None:
    """Write to `corpora` the inputs that, with those made of vectors, reach all edges.

    The shortest first.
    """
    smallest = WORK / "smallest" / binary.name
    shutil.rmtree(smallest, ignore_errors=True)
    smallest.mkdir(parents=True)
    command: Command = [
        binary,
        "-merge=1",
        "-use_counters=0",
        f"-max_len={TARGETS[binary.name]}",
        smallest,
        corpus,
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    made = {data[: TARGETS[binary.name]] for data in seeds(binary.name)}
    inputs = sorted(
        {path.read_bytes() for path in smallest.iterdir()} - made,
        key=lambda data: (len(data), data),
    )
    lines = "".join(f"{data.hex()}\n" for data in inputs)
    about = (
        "# Inputs that, with those made of vectors, reach all of the code that is known to be "
        "reached.\n"
    )
    (FUZZ / "corpora" / f"{binary.name}.hex").write_text(about + lines, "ascii")


def kept(target: str) -> Iterator[bytes]:
    """The inputs of `corpora` and `regressions`."""
    for folder in ("corpora", "regressions"):
        for line in (FUZZ / folder / f"{target}.hex").read_text("ascii").splitlines():
            if data := line.split("#")[0].strip():
                yield bytes.fromhex(data)


def seeds(target: str) -> Iterator[bytes]:
    """Inputs made of the project's vectors, with the bytes in front that the target expects."""
    if target in {"json", "chunk"}:
        yield from data_of_events()
    if target == "json":
        yield from (input_bytes(case["input"]) for case in cases("json"))
    if target == "sse":
        for case in cases("sse"):
            yield (
                bytes([min(case.get("max_event_bytes", 255), 255)])
                + CUTS
                + input_bytes(case["input"])
            )
    if target in {"delta", "text"}:
        for case in cases("deltas"):
            if target == "delta":
                yield delta_head(case) + CUTS + input_bytes(case["input"])
            elif case["dialect"] == "text":
                yield text_head(case) + CUTS + input_bytes(case["input"])
    if target in {"tokens", "page"}:
        head = b"" if target == "tokens" else bytes([4, 255])
        yield from (head + CUTS + page for page in pages())


def delta_head(case: Case) -> bytes:
    """The first bytes of the target `delta`; see `rust/core/tests/checks/delta.rs`."""
    dialect = DIALECTS.index(case["dialect"])
    kind = dialect & 3 | (dialect & 4) << 4 | (dialect & 8) << 1
    kind |= 4 * (case.get("content_type", "").startswith("text/html")) | 8 * ("status" in case)
    kind |= 16 * ("failure_tail" in case) | 32 * (not case.get("complete", True))
    return bytes(
        [kind, *(min(case.get(f"max_{limit}_bytes", 255), 255) for limit in ("event", "body"))]
    )


def text_head(case: Case) -> bytes:
    """The first bytes of the target `text`: the failure tail's length, and the tail."""
    tail = str(case.get("failure_tail", "")).encode()[:15]
    return bytes([len(tail)]) + tail


def cases(kind: str) -> Iterator[Case]:
    """The cases of every file in one folder of the vectors."""
    for path in sorted((VECTORS / kind).glob("*.json")):
        yield from json.loads(path.read_text("utf-8"))["cases"]


def data_of_events() -> list[bytes]:
    """The data lines of the deltas' vectors, and bodies."""
    lines = [line for case in cases("deltas") for line in input_bytes(case["input"]).splitlines()]
    return [line.removeprefix(b"data:").strip() for line in lines]


def pages() -> Iterator[bytes]:
    """The pages that stand in the vectors themselves."""
    for path in sorted((VECTORS / "pages").glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        for case in content["cases"] if isinstance(content, dict) else content:
            if "html" in case:
                yield str(case["html"]).encode()


def input_bytes(described: Any) -> bytes:
    """The bytes an `input` describes, as far as an input may be long.

    `tests/vectors/README.md` tells the forms.
    """
    if isinstance(described, str):
        return str(described).encode()
    if isinstance(described, list):
        return b"".join(map(input_bytes, described))[:LONGEST]
    if "hex" in described:
        return bytes.fromhex(str(described["hex"]))
    times = min(int(described.get("times", 1)), LONGEST)
    return str(described["text"]).encode() * times


if __name__ == "__main__":
    os.environ.setdefault("CARGO_TERM_QUIET", "true")
    sys.exit(main())
