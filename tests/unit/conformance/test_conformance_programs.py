"""Decoders of any kind are asked: callables sync and async, programs good and bad, and the command
line over them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from plain_decoders import LinesOfEachRead, Plain

from tailrace.conformance import CLAIMS, DecodeResult, Program, calling, check, judge
from tailrace.conformance.__main__ import main
from tailrace.conformance._program import RESTARTS, GivenUpError, ProgramError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from tailrace.conformance import Event, Rule

HERE = Path(__file__).parent
pytestmark = pytest.mark.heavy  # most start programs
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals")
STREAM = [b"data: a\r", b"\n\r\ndata", b": b\n\n"]
EVENTS: tuple[Event, ...] = (("message", "a", "", None), ("message", "b", "", None))
GREETING = 'said = {"tailrace-conformance": 1, "name": "mine"}'
GOOD = 'said = {"case": case["case"], "events": [["message", "a", ""]]}'


def one_rule(rule: Rule) -> bool:
    return rule.id == "sse/nul"


def program(greet: str = GREETING, answer: str = GOOD) -> tuple[str, ...]:
    """A program that says what these statements make `said`."""
    lines = [
        "import json, os, sys, time",
        "hello = json.loads(sys.stdin.readline())",
        greet,
        "print(said if isinstance(said, str) else json.dumps(said), flush=True)",
        "for line in sys.stdin:",
        "    case = json.loads(line)",
        *("    " + each for each in answer.split("\n")),
        "    print(said if isinstance(said, str) else json.dumps(said), flush=True)",
    ]
    return (sys.executable, "-S", "-E", "-c", "\n".join(lines))


# -- callables -------------------------------------------------------------------------------------


def plain(chunks: Any) -> Iterator[Event]:
    return Plain()(chunks)


async def async_generator(chunks: Any) -> AsyncIterator[Event]:
    reads = [chunk async for chunk in chunks]
    for event in Plain()(reads):
        yield event


async def coroutine(chunks: Any) -> list[Event]:
    return list(Plain()([chunk async for chunk in chunks]))


async def coroutine_of_a_generator(chunks: Any) -> AsyncIterator[Event]:
    return async_generator(chunks)


@pytest.mark.parametrize("decode", [plain, async_generator, coroutine, coroutine_of_a_generator])
def test_callables_sync_and_async(decode: Callable[..., Any]) -> None:
    with calling(decode, "sse") as ask:
        assert ask(STREAM) == DecodeResult(EVENTS)


def fails_after_one(_: Any) -> Iterator[Event]:
    yield "message", "a", ""
    raise RuntimeError("no more")


def test_what_came_before_a_failure_counts() -> None:
    with calling(fails_after_one, "sse") as ask:
        assert ask(STREAM) == DecodeResult(EVENTS[:1], "RuntimeError: no more")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([b"a"], "is no (event, data, id)"),
        ([("message", "a")], "is no (event, data, id)"),
        ([("message", b"a", "")], "event, data and id are str"),
        ([("message", "a", "", "5")], "retry is int or None"),
        ([("message", "a", "", True)], "retry is int or None"),
        (iter(lambda: ("message", "a", ""), None), "more than 36 items of 20 bytes"),
    ],
)
def test_wrong_items_are_no_answer(found: Any, told: str) -> None:
    with calling(lambda _: found, "sse") as ask:
        answer = ask(STREAM)
    assert told in (answer.lost or "")


PARTS = ["a", ("reasoning", "b"), ("tool_call", None, "f", "{}"), ("usage", 1, 2)]


def test_parts_of_a_reply_stand_among_its_text() -> None:
    with calling(lambda _: [*PARTS, ["finish_reason", "stop"]], "deltas") as ask:
        assert ask(STREAM) == DecodeResult((*PARTS, ("finish_reason", "stop")))


@pytest.mark.parametrize(
    "item",
    [
        b"a",
        None,
        (),
        ("text", "a"),
        ("reasoning", None),
        ("reasoning", "a", "b"),
        ("tool_call", 0, "f", "{}"),
        ("tool_call", "i", "f", None),
        ("usage", "1", "2"),
        ("finish_reason", None),
        ({}, "a"),
    ],
)
def test_what_is_neither_text_nor_a_part_is_no_answer(item: Any) -> None:
    with calling(lambda _: [item], "deltas") as ask:
        told = f"{item!r} is no text, nor another part of a reply"
        assert ask(STREAM) == DecodeResult(lost=told)


def test_a_program_gives_parts_and_takes_what_a_case_says() -> None:
    serving = (
        "from tailrace.conformance import serve\n"
        "def decode(chunks, **options):\n"
        "    yield from (repr(sorted(options.items())), ('usage', 1, 2))\n"
        "serve(decode, claims=['head', 'usage'])"
    )
    options = {"status": 429, "content_type": "text/html", "dialect": "ollama"}
    with Program((sys.executable, "-c", serving), "deltas") as running:
        assert running.ask([b"a"], **options).items == (
            repr(sorted(options.items())),
            ("usage", 1, 2),
        )


# -- programs --------------------------------------------------------------------------------------


def test_a_program_answers_for_as_long_as_it_is_asked() -> None:
    counting = (
        'said = {"case": case["case"], '
        '"events": [["message", str(case["case"]), None, 5]], "failure": "f"}'
    )
    with Program(program(answer=counting), "sse") as running:
        assert running.name == "mine"
        assert running.claims == {"types", "ids"}
        for number in range(1, 4):
            assert running.ask([b"x", b"y"]) == DecodeResult(
                (("message", str(number), None, 5),), "f"
            )


def test_a_program_gets_the_reads_and_the_limit() -> None:
    repeating = 'said = {"case": case["case"], "text": [json.dumps(case)]}'
    greeting = (
        'said = {"tailrace-conformance": 1, "claims": ["limits", hello["kind"][:0] or "ends"]}'
    )
    with Program(program(greeting, repeating), "deltas") as running:
        assert running.claims == {"limits", "ends"}
        [told] = running.ask([b"\x00\xff", b"a"], max_event_bytes=100).items
    assert json.loads(told) == {"case": 1, "chunks": ["AP8=", "YQ=="], "max_event_bytes": 100}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("os._exit(3)", "it ended with code 3"),
        (
            'sys.stdout.write("half"); sys.stdout.flush(); os._exit(0)',
            "it ended with code 0 after b'half'",
        ),
        pytest.param("os.kill(os.getpid(), 9)", "it ended with code -9", marks=POSIX),
        ("time.sleep(60)", "no answer in 2 s"),
        ('said = "Warning: all is well"', "said b'Warning: all is well\\n', which is no JSON"),
        ('said = "[1]"', "which is no JSON object"),
        ('said = "[" * 100000', "which is no JSON"),
        ('said = {"case": 7, "events": []}', "answered case 7 when asked case"),
        ('said = {"case": case["case"]}', "answered without a list `events`"),
        ('said = {"case": case["case"], "events": [], "failure": 1}', "a failure that is no text"),
        ('said = {"case": case["case"], "events": [["a"]]}', "is no (event, data, id)"),
        ('said = "x" * (17 * 2**20)', "an answer longer than"),
    ],
)
def test_no_answer_is_told_and_the_next_case_asked(answer: str, told: str) -> None:
    once = f'if case["chunks"] == ["YQ=="]:\n    {answer}\nelse:\n    {GOOD}'
    with Program(program(answer=once), "sse", timeout=2) as running:
        assert running.ask([b"b"]) == DecodeResult(EVENTS[:1])
        assert told in (running.ask([b"a"]).lost or "")
        assert running.ask([b"b"]) == DecodeResult(EVENTS[:1])


def test_a_program_that_will_not_live_is_given_up() -> None:
    with Program(program(answer="os._exit(1)"), "sse") as running:
        report = judge(running.ask, "sse", claims=frozenset())
    states = [result.state for result in report.results if result.state != "not claimed"]
    assert states[-1] == "not asked"
    assert sum(len(result.counterexamples) for result in report.results) == RESTARTS + 1
    assert not report.kept


@pytest.mark.parametrize(
    ("greet", "told"),
    [
        (
            'said = {"tailrace-conformance": 2}',
            "it speaks version 2 of tailrace-conformance, and this is 1",
        ),
        ('said = {"hello": 1}', "it speaks version None"),
        ('said = "hello"', "said b'hello\\n', which is no JSON"),
        (
            'said = {"tailrace-conformance": 1, "claims": ["magic"]}',
            "what can be claimed is ['ids', 'limits', 'retry'",
        ),
        ("os._exit(0)", "it ended with code 0"),
        ("time.sleep(60)", "no answer in 2 s"),
    ],
)
def test_a_wrong_greeting(greet: str, told: str) -> None:
    with pytest.raises(ProgramError) as raised, Program(program(greet), "sse", starting=2):
        pass
    assert told in str(raised.value)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ProgramError, match="not-there: "), Program(("./not-there",), "sse"):
        pass


def test_a_program_that_greets_once_is_not_asked_for_ever(tmp_path: Path) -> None:
    seen = str(tmp_path / "seen")
    once = f"if os.path.exists({seen!r}): os._exit(5)\nopen({seen!r}, 'w').close()\n{GREETING}"
    with Program(program(once, "os._exit(1)"), "sse") as running:
        assert running.ask([b"a"]).lost == "it ended with code 1"
        for _ in range(RESTARTS):
            assert "does not greet: it ended with code 5" in (running.ask([b"a"]).lost or "")
        with pytest.raises(GivenUpError):
            running.ask([b"a"])


def test_a_program_in_python_by_serve() -> None:
    serving = (
        "from tailrace.conformance import serve\n"
        "serve(lambda chunks: chunks, name='mine', claims=['ends'])"
    )
    with Program((sys.executable, "-c", serving), "deltas") as running:
        assert (running.name, running.claims) == ("mine", frozenset({"ends"}))
        assert (running.ask([b"a"]).lost or "").startswith("b'a' is no text")


async def test_a_running_event_loop_is_refused() -> None:
    with pytest.raises(RuntimeError, match="outside of a running event loop"):
        check(Plain(), "sse")


def test_a_program_that_reads_nothing_is_not_waited_for() -> None:
    greet = f"import json, time\n{GREETING}\nprint(json.dumps(said), flush=True)\ntime.sleep(60)"
    deaf = (sys.executable, "-S", "-E", "-c", greet)
    with Program(deaf, "sse", timeout=0.5) as running:
        assert running.ask([b"x" * 2**20]).lost == "no answer in 0.5 s"


# -- the command line ------------------------------------------------------------------------------


def run(capfd: pytest.CaptureFixture[str], arguments: Sequence[str]) -> tuple[int, str, str]:
    code = main(list(arguments))
    told = capfd.readouterr()
    return code, told.out, told.err


@pytest.fixture
def decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that the runner finds as it finds those in the working folder."""
    (tmp_path / "my_decoders.py").write_text(
        "import os\n"
        "from plain_decoders import LinesOfEachRead, Plain\n"
        "good, crlf = Plain(), LinesOfEachRead()\n"
        "def printing(chunks):\n    print('noise', flush=True)\n    return Plain()(chunks)\n"
        "def dying(chunks):\n    os.abort()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{HERE}")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("decoders")
def test_exit_codes_and_what_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, ["sse", "my_decoders:good", "--rule", "sse/crlf"])
    assert (code, "specification: 1 kept" in out) == (0, True)
    code, out, _ = run(capfd, ["sse", "my_decoders:good", "--rule", "sse/[ci]*", "--claim", "none"])
    assert (code, "specification: 5 kept, 4 not claimed" in out) == (0, True)
    code, out, _ = run(capfd, ["sse", "my_decoders:crlf", "--rule", "sse/crlf"])
    assert code == 1
    for told in (
        "sse/crlf: CRLF ends one line",
        "WHATWG HTML 9.2.5, https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream",
        r"reads     b'event: x\r' b'\ndata: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n'",
        r"expected  ('x', 'a\nb', '') ('message', 'c', '')",
        r"got       ('message', 'a\nb', '') ('message', 'c', '')",
        "1 of its 2 cases broken",
        "specification: 1 broken",
    ):
        assert told in out


@pytest.mark.usefixtures("decoders")
def test_what_may_be_broken_is_told_and_no_failure(capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["sse", "my_decoders:crlf", "--rule", "sse/cr*", "--rule", "sse/lf"]
    code, out, _ = run(capfd, [*asked, "--allow", "sse/crlf"])
    assert (code, "broken, allowed" in out, "1 of its 2 cases broken" in out) == (0, True, True)
    code, out, _ = run(capfd, [*asked, "--allow", "sse/c*", "--json"])
    assert (code, json.loads(out)["allowed"]) == (0, ["sse/crlf"])
    code, out, _ = run(capfd, [*asked, "--allow", "sse/lf", "--json"])
    assert (code, json.loads(out)["allowed"]) == (1, [])
    code, _, err = run(capfd, [*asked, "--allow", "sse/no-such"])
    assert (code, "--allow sse/no-such: no such rule" in err) == (2, True)


@pytest.mark.usefixtures("decoders")
def test_what_cannot_be_asked_is_a_failure_whatever_is_allowed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capfd, ["sse", "my_decoders:dying", "--allow", "*"])
    assert (code, "not asked" in out) == (1, True)


@pytest.mark.usefixtures("decoders")
def test_json_for_machines(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capfd, ["sse", "my_decoders:crlf", "--json", "--rule", "sse/cr*", "--seed", "3"]
    )
    told = json.loads(out)
    assert (code, told["decoder"], told["claims"], told["seed"]) == (
        1,
        "my_decoders:crlf",
        ["ids", "types"],
        3,
    )
    assert told["counts"] == {"specification": {"broken": 1, "kept": 2}}
    [broken] = [rule for rule in told["rules"] if rule["state"] == "broken"]
    assert broken["breaks"][0]["case"] == "sse/lines/crlf_between_fields"
    assert bytes.fromhex("".join(broken["breaks"][0]["split"])).startswith(b"event: x\r\n")


@pytest.mark.usefixtures("decoders")
def test_a_callable_may_print_and_may_bring_its_interpreter_down(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(capfd, ["sse", "my_decoders:printing", "--rule", "sse/nul"])
    assert (code, "noise" in err) == (0, True)
    code, out, _ = run(capfd, ["sse", "my_decoders:dying", "--rule", "sse/nul"])
    assert (code, "got       it ended with code" in out) == (1, True)


def test_a_program_by_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, ["sse", "--rule", "sse/lf", "--program", "--", *program()])
    assert (code, out.startswith("mine (sse)")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "which KIND of decoder"),
        (["sse"], "which KIND of decoder"),
        (["html", "x:y"], "'html' is not one of 'sse', 'deltas'"),
        (["sse", "nothing"], "'nothing' is not module:attribute"),
        (["sse", "no_such_module:x"], "no_such_module:x: No module named 'no_such_module'"),
        (["sse", "json:nothing"], "json:nothing: module 'json' has no attribute 'nothing'"),
        (["sse", "json:__name__"], "json:__name__ is not callable"),
        (["sse", "json:loads", "more"], "one module:attribute"),
        (["sse", "json:loads", "--rule", "none"], "no such rule"),
        (["sse", "json:loads", "--level", "chunk"], "no such rule"),
        (
            ["deltas", "json:loads", "--claim", "ids"],
            (f"--claim ids: what can be claimed is {', '.join(CLAIMS['deltas'])}, or none"),
        ),
        (["sse", "--program", "./not-there"], "./not-there: "),
        (["sse", "--program", sys.executable, "-c", "pass"], "No such option"),
        (["sse", "json:loads", "--timeout", "0"], "0.0 is not in the range"),
    ],
)
def test_wrong_usage(arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_the_list(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, ["--list"])
    assert code == 0
    assert "sse/crlf\n    CRLF ends one line, also where" in out
    assert "\n    specification: WHATWG HTML 9.2.5, https://" in out
    assert "robust/bad-json" in out
    code, out, _ = run(capfd, ["deltas", "--list", "--json", "--level", "chunk"])
    assert {(rule["kind"], rule["level"]) for rule in json.loads(out)} == {("deltas", "chunk")}


def test_check_in_a_test_of_ones_own() -> None:
    assert (
        "sse/crlf"
        in check(LinesOfEachRead(), "sse", only=lambda rule: rule.id.startswith("sse/cr")).broken
    )
    assert check(Plain(), "sse", only=one_rule).kept
