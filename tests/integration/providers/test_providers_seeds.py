"""The examples of the documents that the classes were written from run as they are written.

`tests/vectors/seeds` has their code. Four things are other than there: where names are imported
from, where the sites are, the proxies, which stand for a reader's own, and the printed signature,
which has 63 digits and so is none.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loopback import http_proxy

import tailrace
from tailrace import ChatGptEs, ChatgptFree, ChatGptt, GPROChat, format_prompt, sign_request
from tailrace._calls.token_cache import TokenCache
from tailrace._streams.loop_thread import LoopThread
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback import Proxy

SEEDS = Path(__file__).parents[2] / "vectors" / "seeds"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROXY = re.compile(r"http://[\w.]*proxy[\w.]*(?::\w+)?")
IMPORT = re.compile(r"from hypotez\.[\w.]+ import (\w+)")

HELLO = "Hello, how are you?"
TALK = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi there!"}]
CHATGPT_FREE = [HELLO, 'Translate this into French: "Hello, how are you?"']
FREE_AND_PROXY = [*CHATGPT_FREE, "What is the capital of France?"]

# Of each document, block by block: the questions that it asks, and how many of them by a proxy.
EXAMPLES: dict[str, list[tuple[list[str], int]]] = {
    "chatgptt-a": [([], 0), (["Hello, ChatGpt!"], 0), (["Hello, ChatGpt!"], 1)],
    "chatgptt-b": [
        ([HELLO], 0),
        (
            [
                "What is the meaning of life?",
                "Write a poem about a cat.",
                "Translate 'Hello, world!' to Spanish.",
            ],
            1,
        ),
    ],
    "chatgptfree": [(FREE_AND_PROXY, 1)] * 2,
    "chatgptes": [([HELLO, "What is the meaning of life?"], 1)],
    "gprochat": [([format_prompt(TALK)], 0), ([], 0), *[([format_prompt(TALK)], 0)] * 2],
}
CASES = [
    pytest.param((document, number), expected, id=f"{document}-{number}")
    for document, blocks in EXAMPLES.items()
    for number, expected in enumerate(blocks)
]


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    with LoopThread() as running:
        yield running


@pytest.fixture(scope="module")
def replica(loop: LoopThread) -> Iterator[Replica]:
    sites = Replica()
    loop.run(sites.__aenter__())
    yield sites
    loop.run(sites.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def proxy(loop: LoopThread) -> Iterator[Proxy]:
    serving = http_proxy()
    yield loop.run(serving.__aenter__())
    loop.run(serving.__aexit__(None, None, None))


@pytest.fixture
def names(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What stands before the examples: the classes, at sites of this machine."""
    for provider in (ChatGptt, ChatgptFree, ChatGptEs):
        monkeypatch.setattr(provider, "url", replica.url("ai-power"))
        monkeypatch.setattr(provider, "token_cache", TokenCache())
    monkeypatch.setattr(GPROChat, "url", replica.url("geminiprochat"))
    classes = (ChatGptt, ChatgptFree, ChatGptEs, GPROChat)
    known = {each.__name__: each for each in classes}
    return {**known, "Messages": tailrace.Messages, "AsyncResult": Any, "asyncio": asyncio}


def blocks_of(document: str) -> list[str]:
    return FENCE.findall((SEEDS / f"{document}.md").read_text("utf-8"))


def test_all_examples_are_here() -> None:
    assert {path.stem: len(blocks_of(path.stem)) for path in SEEDS.glob("*.md")} == {
        document: len(blocks) for document, blocks in EXAMPLES.items()
    }


@pytest.mark.parametrize(("example", "expected"), CASES)
def test_an_example_runs_as_it_is_written(
    example: tuple[str, int],
    expected: tuple[list[str], int],
    names: dict[str, Any],
    replica: Replica,
    proxy: Proxy,
) -> None:
    (document, number), (questions, by_proxy) = example, expected
    before = len(replica.exchanges)
    proxy.seen.clear()
    printed = run(blocks_of(document)[number], names, proxy.url())
    asked = [each for each in list(replica.exchanges)[before:] if each.method == "POST"]
    assert len(asked) == len(questions)
    assert len({*proxy.seen}) == by_proxy
    check_printed(document, number, questions, printed)


def check_printed(document: str, number: int, questions: list[str], printed: str) -> None:
    words = without_line_ends(printed)
    for question in questions:
        answer = answer_to(document, question)
        if (document, number) == ("chatgptt-b", 0):  # it returns the first chunk
            assert words
            assert answer.startswith(words)
        else:
            assert answer in words
    if document == "gprochat" and not questions:
        assert printed == sign_request(1693631200000, "Hello, world!", "") + "\n"


def answer_to(document: str, question: str) -> str:
    """What the replica answers, without the ends of its lines."""
    site = "geminiprochat" if document == "gprochat" else "ai-power"
    prompt = f"{ChatGptEs.SYSTEM_PROMPT}\n\n{question}" if document == "chatgptes" else question
    return without_line_ends(asyncio.run(builtin_answer(Question(site, prompt))))


def run(code: str, names: dict[str, Any], proxy: str) -> str:
    """Run code that may await at its top, and return what it printed."""
    here = PROXY.sub(proxy, IMPORT.sub(r"from tailrace import \1", code))
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compiled = compile(here, "example", "exec", flags, dont_inherit=True)
    printed = io.StringIO()
    with redirect_stdout(printed):
        if compiled.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(compiled, names))  # noqa: S307 - the documents' own code
        else:
            exec(compiled, names)  # noqa: S102
    return printed.getvalue()


def without_line_ends(text: str) -> str:
    """The examples print each chunk as a line."""
    return text.replace("\n", "")
