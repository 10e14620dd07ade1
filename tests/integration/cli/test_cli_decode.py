"""``tailrace decode``: replies from files and pipes, text out as it comes in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_process import finish, interrupt, read_until, run, run_without_reader, start

from tailrace import DIALECTS, DeltaDecoder

if TYPE_CHECKING:
    from asyncio.subprocess import Process

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures"
STREAM = CAPTURES / "ai-power" / "1.9.18" / "stream_ok.body"
FULL = Path("/dev/full")
UNREADABLE = Path("/proc/self/mem")
FIRST = 'data: {"choices":[{"delta":{"content":"first é "}}]}\n\n'.encode()
SECOND = b'data: {"choices":[{"delta":{"content":"second"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
ASSISTANT = (
    b'event: thread.message.delta\ndata: {"delta":{"content":[{"text":{"value":"v"}}]}}\n\n'
    b"event: done\ndata: x\n\n"
)
AIPKIT = (
    b'event: message_start\ndata: {"message_id":"m"}\n\n'
    b'data: {"delta":"events"}\n\nevent: done\ndata: {}\n\n'
)


async def give(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    await process.stdin.drain()


async def test_a_file() -> None:
    decoder = DeltaDecoder("openai")
    text = decoder.feed_text(STREAM.read_bytes())
    assert text
    end = await run("decode", str(STREAM))
    assert (end.code, end.stdout, end.stderr) == (0, text.rstrip("\n") + "\n", "")


async def test_a_pipe_is_decoded_as_it_comes_in_wherever_it_is_cut() -> None:
    process = await start("decode")
    await give(process, FIRST[: FIRST.index(b"\xa9")])
    await give(process, FIRST[FIRST.index(b"\xa9") :])
    assert await read_until(process, "é ") == "first é "
    for byte in SECOND[:-1]:
        await give(process, bytes([byte]))
    await give(process, SECOND[-1:])
    assert await read_until(process, "second") == "second"
    end = await finish(process, DONE)
    assert (end.code, end.stdout, end.stderr) == (0, "\n", "")


async def test_it_leaves_at_the_end_marker_and_does_not_wait_for_the_pipe() -> None:
    process = await start("decode", "-")
    await give(process, FIRST + DONE)
    assert process.stdout is not None
    assert (await process.stdout.read()).decode() == "first é \n"
    assert await process.wait() == 0
    assert (await finish(process)).stderr == ""


@pytest.mark.parametrize(
    ("dialect", "reply", "text"),
    [
        ("openai", b'{"choices":[{"message":{"content":"one body"}}]}', "one body\n"),
        (
            "ai-power",
            b'<b>Notice</b>: x\n{"status":"success","data":"after debris\\n"}',
            "after debris\n",
        ),
        ("ai-power", ASSISTANT, "v\n"),
        ("aipkit", b'{"success":true,"data":{"reply":"one body"}}', "one body\n"),
        ("aipkit", AIPKIT, "events\n"),
        ("auto", AIPKIT, "events\n"),
        ("text", "whatever {it} is: é".encode(), "whatever {it} is: é\n"),
    ],
)
async def test_dialects(dialect: str, reply: bytes, text: str) -> None:
    end = await run("decode", "--dialect", dialect, stdin=reply)
    assert (end.code, end.stdout, end.stderr) == (0, text, "")


async def test_what_is_no_text_is_named() -> None:
    call = (
        b'{"choices":[{"delta":{"tool_calls":[{"index":%d,"function":{"name":"ti\\u001bde"}}]}}]}'
    )
    calls = b"".join(b"data: %b\n\n" % (call % number) for number in range(6))
    end = await run("decode", stdin=calls + DONE)
    assert (end.code, end.stdout) == (0, "")
    shown = ", ".join([r"ti\u001bde"] * 5)
    assert end.stderr == (
        f"tailrace: besides its text the reply holds 6 tool calls ({shown}, …); --json shows it\n"
    )
    more = b'data: {"choices":[{"delta":{"reasoning_content":"Hm.","refusal":"No."}}]}\n\n'
    end = await run("decode", stdin=FIRST + more + DONE)
    assert end.stdout == "first é \n"
    assert "holds a refusal (No.), reasoning (3 characters); --json" in end.stderr


async def test_a_reply_that_failed_is_3_with_its_text_first() -> None:
    reply = CAPTURES / "ai-power" / "1.9.18" / "stream_upstream_midfail.body"
    decoder = DeltaDecoder("ai-power")
    text = decoder.feed_text(reply.read_bytes()) + "".join(decoder.close())
    assert text
    end = await run("decode", "--dialect", "ai-power", str(reply))
    assert (end.code, end.stdout) == (3, f"{text}\n")
    assert end.stderr == f"tailrace: {decoder.error}\n"


async def test_a_reply_that_broke_off_is_3_with_its_text_first() -> None:
    end = await run("decode", stdin=FIRST + SECOND[:20])
    assert (end.code, end.stdout) == (3, "first é \n")
    assert end.stderr.startswith("tailrace: the reply broke off: ")


async def test_a_failure_tail_is_no_text() -> None:
    reply = b"some words Internal server error"
    end = await run(
        "decode", "--dialect", "text", "--failure-tail", "Internal server error", stdin=reply
    )
    assert (end.code, end.stdout) == (3, "some words \n")
    assert end.stderr.startswith("tailrace: the site reported an error: ")
    end = await run("decode", "--dialect", "text", stdin=reply)
    assert (end.code, end.stdout) == (0, f"{reply.decode()}\n")


async def test_status_and_content_type_are_the_replys() -> None:
    end = await run("decode", "--status", "429", stdin=b'{"error":{"message":"too many"}}')
    assert (end.code, end.stdout) == (3, "")
    assert end.stderr == "tailrace: the site reported an error (HTTP 429): too many\n"
    end = await run(
        "decode", "--dialect", "text", "--content-type", "text/html", stdin=b"<h1>hello</h1>"
    )
    assert (end.code, end.stdout) == (3, "")
    assert end.stderr.startswith("tailrace: the reply is not an answer")


async def test_skipped_events_are_told() -> None:
    end = await run("decode", stdin=FIRST + b"data: {broken\n\n" + DONE)
    assert (end.code, end.stdout) == (0, "first é \n")
    assert end.stderr == "tailrace: 1 of 3 events skipped: bad data\n"


async def test_nothing_is_3() -> None:
    end = await run("decode")
    assert (end.code, end.stdout) == (3, "")
    assert end.stderr.startswith("tailrace: the reply holds no answer")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.body"], "No such file"),
        (["/"], "Is a directory"),
        (["--dialect", "morse"], f"'morse' is not one of {', '.join(map(repr, DIALECTS))}"),
        (["--status", "99"], "99 is not in the range"),
        (["--status", "teapot"], "is not a valid integer range"),
    ],
)
async def test_wrong_usage_is_2(arguments: list[str], says: str) -> None:
    end = await run("decode", *arguments)
    assert (end.code, end.stdout) == (2, "")
    assert says in end.stderr


async def test_ctrl_c_while_it_waits_for_more() -> None:
    process = await start("decode")
    await give(process, FIRST)
    assert await read_until(process, "é ") == "first é "
    end = await interrupt(process)
    assert (end.code, end.stderr.strip()) == (130, "interrupted")


async def test_a_reader_that_is_not_there_is_141() -> None:
    end = await run_without_reader("decode", str(STREAM))
    assert (end.code, end.stderr) == (141, "")


@pytest.mark.skipif(not FULL.exists(), reason="there is no disk that is always full")
async def test_what_cannot_be_written_is_2() -> None:
    disk = os.open(FULL, os.O_WRONLY)
    end = await finish(await start("decode", str(STREAM), stdout=disk))
    os.close(disk)
    assert (end.code, end.stderr) == (2, "tailrace: No space left on device\n")


@pytest.mark.skipif(not UNREADABLE.exists(), reason="there is no file that fails when it is read")
async def test_what_cannot_be_read_is_2() -> None:
    end = await run("decode", str(UNREADABLE))
    assert (end.code, end.stdout, end.stderr) == (2, "", "tailrace: Input/output error\n")
