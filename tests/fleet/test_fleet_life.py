"""A fleet's life: who takes, who cancels, who closes; forks, signals and the end of the process."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from held import descriptors, threads
from loopback import Exchange, hang, serve
from server_thread import serving

from tailrace.errors import InvalidRequestError
from tailrace.fleet import Fleet, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tailrace.fleet import Batch, Batches

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
TURNS = 100
SECONDS = 60.0  # the most a process of a test may take: a guard, as pytest's own


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def whole(exchange: Exchange) -> None:
    body = EVENT % b"hello" + EVENT % b" you" + DONE
    await exchange.send(HEAD + chunk(body) + b"0\r\n\r\n")


async def held(exchange: Exchange) -> None:
    """One delta, and then silence."""
    await exchange.send(HEAD + chunk(EVENT % b"hello"))
    await hang(exchange)


async def until_there(count: int, server: Any) -> None:
    while server.connections != count:
        server.left.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.left.wait(), 0.01)


# -- taking ----------------------------------------------------------------------------------------


def test_without_a_loop() -> None:
    with serving(whole) as server, Fleet(keep="text") as fleet:
        for tag in range(10):
            fleet.submit(server.url, data=b"{}", tag=tag)
        texts = Counter(
            ended.text for batch in fleet.batches(max_wait=0.001) for ended in batch.ended
        )
        assert texts == {"hello you": 10}
        assert list(fleet.batches()) == []


def test_what_is_submitted_meanwhile_is_taken_too() -> None:
    with serving(whole) as server, Fleet() as fleet:
        fleet.submit(server.url, data=b"{}", tag=20)
        seen = []
        for batch in fleet.batches():
            for ended in batch.ended:
                seen.append(ended.tag)
                if ended.tag:
                    fleet.submit(server.url, data=b"{}", tag=ended.tag - 1)
        assert seen == list(range(20, -1, -1))


def test_who_leaves_early_loses_nothing() -> None:
    with serving(whole) as server, Fleet(keep="text") as fleet:
        for tag in range(30):
            fleet.submit(server.url, data=b"{}", tag=tag)
        tags: list[int] = []
        rows = 0
        while len(tags) < 30:
            for batch in fleet.batches(max_wait=0):
                rows += len(batch)
                tags += [ended.tag for ended in batch.ended]
                break
        assert (sorted(tags), rows) == (list(range(30)), 60)


async def test_a_taker_that_is_cancelled_loses_nothing() -> None:
    async with serve(held) as server, Fleet(keep="text") as fleet:
        ticket = fleet.submit(server.url, data=b"{}", tag=1)
        batches: list[Batch] = []

        async def take() -> None:
            batches.extend([batch async for batch in fleet.batches(max_wait=0.001)])

        for _ in range(5):
            taking = asyncio.create_task(take())
            await asyncio.sleep(0)
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        await server.got_request.wait()
        ticket.cancel()
        await take()
    assert [each.end for batch in batches for each in batch.ended] == ["cancelled"]


async def test_one_taker_at_a_time() -> None:
    async with serve(held) as server, Fleet() as fleet:
        ticket = fleet.submit(server.url, data=b"{}")
        taking = fleet.batches()
        assert len(await anext(taking)) == 1
        waiting = asyncio.ensure_future(anext(taking))
        await asyncio.sleep(0)
        with pytest.raises(InvalidRequestError, match="one at a time"):
            await anext(fleet.batches())
        with pytest.raises(InvalidRequestError, match="one at a time"):
            next(fleet.batches())
        ticket.cancel()
        assert [each.end for each in (await waiting).ended] == ["cancelled"]


async def test_read_only_columns() -> None:
    async with serve(whole) as server, Fleet(keep="all") as fleet:
        fleet.submit(server.url, data=b"{}", tag=7)
        batches = [batch async for batch in fleet.batches(max_wait=0.2)]
    rows = 0
    for batch in batches:
        columns = [batch.tag, batch.at_ns, batch.kind, batch.tokens, batch.length]
        views = [memoryview(column) for column in columns]
        assert [each.format for each in views] == ["q", "q", "B", "i", "I"]
        assert {(each.ndim, each.readonly, len(each)) for each in views} == {(1, True, len(batch))}
        assert len(batch.texts()) == len(batch)
        assert [batch.text(index) for index in range(len(batch))] == batch.texts()
        for wrong in (len(batch), -len(batch) - 1):
            with pytest.raises(IndexError):
                batch.text(wrong)
        rows += len(batch)
    assert rows == 2
    kept = [memoryview(batch.at_ns) for batch in batches]
    tags = [memoryview(batch.tag).tolist() for batch in batches]
    del batches, batch, columns, views
    gc.collect()
    assert all(moment > 0 for view in kept for moment in view)
    assert {tag for each in tags for tag in each} == {7}
    if _numpy() is not None:
        assert _numpy().frombuffer(kept[0], dtype="int64").tolist() == kept[0].tolist()


def _numpy() -> Any:
    try:
        import numpy as np  # noqa: PLC0415 - where it is
    except ImportError:
        return None
    return np


@pytest.mark.heavy
async def test_a_taker_that_sleeps_stops_the_servers() -> None:
    """Reads and memory stand still, and nothing is lost."""
    streams, events = 8, 40_000
    piece = b"".join(chunk(EVENT % b"%06d" % number) for number in range(events))
    sent = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal sent
        # Or the system takes all of it off the server.
        link = exchange.writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        await exchange.send(HEAD)
        for at in range(0, len(piece), 65_536):
            data = piece[at : at + 65_536]
            await exchange.send(data)
            sent += len(data)
        await exchange.send(chunk(DONE) + b"0\r\n\r\n")

    async with serve(answer) as server, Fleet(keep="text", max_rows=1000) as fleet:
        for tag in range(streams):
            fleet.submit(server.url, data=b"{}", tag=tag)
        before, looks, memory = -1, 0, _resident()
        while looks < 20:  # looks in succession that see nothing move
            await asyncio.sleep(0.02)
            looks, before = (looks + 1, before) if sent == before else (0, sent)
        stood_at, grown = sent, _resident() - memory
        rows: Counter[int] = Counter()
        texts: dict[int, str | None] = {}
        async for batch in fleet.batches():
            rows.update(memoryview(batch.tag).tolist())
            texts.update({each.tag: each.text for each in batch.ended})
    whole_text = "".join(f"{number:06d}" for number in range(events))
    assert stood_at < streams * len(piece)  # what the system and the fleet hold, and no more
    assert grown < 96 * 2**20
    assert rows == dict.fromkeys(range(streams), events)
    assert texts == dict.fromkeys(range(streams), whole_text)


def _resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * 4096


async def test_what_is_unpacked_late_has_the_time_of_its_read() -> None:
    """A packed piece that waits for room is as old as it is, though the connection reads on."""
    first, second = (gzip.compress(EVENT % word * 2000) for word in (b"ebb", b"flow"))
    later = asyncio.Event()
    sent: list[int] = []

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        await exchange.send(chunk(first))
        await later.wait()
        sent.append(time.monotonic_ns())
        await exchange.send(chunk(second) + chunk(gzip.compress(DONE)) + b"0\r\n\r\n")

    times: list[int] = []
    async with serve(answer) as server, Fleet(max_rows=100) as fleet:
        fleet.submit(server.url, data=b"{}", headers={"Accept-Encoding": "gzip"})
        async for batch in fleet.batches(max_wait=0):
            times += memoryview(batch.at_ns).tolist()
            if not later.is_set():
                later.set()
                await asyncio.sleep(0.05)  # the connection may read on meanwhile, or not
    assert len(times) == 4000
    assert times == sorted(times)
    assert [each < sent[0] for each in times] == [True] * 2000 + [False] * 2000


# -- cancelling and closing ------------------------------------------------------------------------


@pytest.mark.parametrize("threads_", [1, 3])
async def test_five_hundred_streams_are_cancelled(threads_: int) -> None:
    async with serve(held) as server, Fleet(threads=threads_) as fleet:
        tickets = [fleet.submit(server.url, data=b"{}", tag=tag) for tag in range(500)]
        rows = 0
        ends: dict[int, str] = {}
        async for batch in fleet.batches(max_wait=0.001):
            rows += len(batch)
            ends.update({each.tag: each.end for each in batch.ended})
            if rows == 500 and tickets:
                for ticket in tickets:
                    ticket.cancel()
                tickets = []
        assert ends == dict.fromkeys(range(500), "cancelled")
        await until_there(0, server)


async def test_cancelled_in_any_moment_it_ends_once() -> None:
    async with serve(whole) as server, Fleet(threads=2) as fleet:
        ends: Counter[str] = Counter()
        for turns in range(40):
            tickets = [fleet.submit(server.url, data=b"{}") for _ in range(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for ticket in tickets:
                ticket.cancel()
            ends.update([each.end async for batch in fleet.batches() for each in batch.ended])
    assert sum(ends.values()) == 200
    assert set(ends) <= {"cancelled", "done"}


async def test_it_is_closed_with_five_hundred_streams_running() -> None:
    async with serve(held) as server:
        fleet = Fleet()
        for tag in range(500):
            fleet.submit(server.url, data=b"{}", tag=tag)
        while server.connections < 500:  # noqa: ASYNC110 - of the server, whose event is another
            await asyncio.sleep(0.001)
        await asyncio.to_thread(fleet.close)
        fleet.close()
        await until_there(0, server)
        with pytest.raises(InvalidRequestError, match="closed"):
            fleet.submit(server.url, data=b"{}")
        with pytest.raises(InvalidRequestError, match="closed"):
            _ = [batch async for batch in fleet.batches()]


def test_a_taker_in_another_thread_is_told_of_the_end() -> None:
    with serving(held) as server:
        fleet = Fleet()
        fleet.submit(server.url, data=b"{}")
        ended: list[str] = []
        taking = threading.Event()

        def take() -> None:
            try:
                for _ in fleet.batches():
                    taking.set()
                ended.append("over")
            except InvalidRequestError as error:
                ended.append(str(error))

        thread = threading.Thread(target=take)
        thread.start()
        taking.wait()
        fleet.close()
        thread.join()
        assert len(ended) == 1


async def test_a_taker_that_waits_is_told_that_the_fleet_is_closed() -> None:
    """In the same loop, and from another thread; the socket it waits at is closed behind it."""
    async with serve(held) as server:
        for close in (Fleet.close, lambda each: threading.Thread(target=each.close).start()):
            fleet = Fleet()
            fleet.submit(server.url, data=b"{}")
            batches = fleet.batches()
            assert len(await anext(batches)) == 1
            waiting = asyncio.ensure_future(anext(batches))
            for _ in range(3):
                await asyncio.sleep(0)
            close(fleet)
            with pytest.raises(StopAsyncIteration):
                await waiting


def test_batches_are_of_a_fleet_that_nobody_else_holds() -> None:
    def begun(url: str) -> Batches:
        fleet = Fleet()
        fleet.submit(url, data=b"{}", tag=7)
        return fleet.batches()

    with serving(whole) as server:
        kept = [begun(server.url)]
        gc.collect()
        assert [each.tag for batch in kept[0] for each in batch.ended] == [7]
        with pytest.warns(ResourceWarning, match="unclosed"):
            kept.clear()


class AlarmError(Exception):
    """What a signal raises in the middle of anything."""


@contextmanager
def alarms(is_set: list[bool]) -> Iterator[None]:
    """Raise one a millisecond, each after it `is_set`; none where an object is taken down."""

    def ring(*_: object) -> None:
        if is_set:
            is_set.clear()
            raise AlarmError

    before = signal.signal(signal.SIGALRM, ring)
    gc.disable()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def test_a_taker_that_is_interrupted_anywhere_loses_nothing() -> None:
    """As by Ctrl-C in a notebook, whose next cell goes on."""
    events = b"".join(chunk(EVENT % b"x") for _ in range(100))

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD + events + chunk(DONE) + b"0\r\n\r\n")

    taken: list[Batch] = []
    is_set: list[bool] = []
    interrupted, is_over = 0, False
    with serving(answer) as server, Fleet(max_rows=100) as fleet:
        fleet.submit_many(Request(server.url, data=b"{}", tag=tag) for tag in range(200))
        with alarms(is_set):
            while not is_over:
                try:
                    is_set.append(True)
                    for batch in fleet.batches(max_wait=0):
                        taken.append(batch)  # noqa: PERF402 - a call that would be interrupted
                    is_set.clear()
                    is_over = True
                except AlarmError:
                    interrupted += 1
    assert interrupted
    assert sum(len(batch) for batch in taken) == 20_000
    ends = Counter(each.tag for batch in taken for each in batch.ended)
    assert ends == dict.fromkeys(range(200), 1)


def test_a_taker_whose_loop_ended_is_none() -> None:
    with serving(held) as server, Fleet() as fleet:
        ticket = fleet.submit(server.url, data=b"{}")
        assert len(next(fleet.batches())) == 1
        loop = asyncio.new_event_loop()

        async def take() -> None:
            await anext(fleet.batches())

        taking = loop.create_task(take())
        loop.call_soon(loop.call_soon, loop.call_soon, loop.stop)
        loop.run_forever()
        loop.close()
        ticket.cancel()
        ends = [each.end for batch in fleet.batches() for each in batch.ended]
        assert (ends, taking.done()) == (["cancelled"], False)
        taking._log_destroy_pending = False  # type: ignore[attr-defined]


class Gone(threading.Thread):
    """A thread that is no more; whoever asks it lets others ask, too."""

    def is_alive(self) -> bool:
        time.sleep(0)
        return False


def test_one_of_many_gets_the_turn_of_a_taker_that_is_no_more() -> None:
    """Also where threads are switched anywhere, as they are without a lock of Python's."""
    dead, count = Gone(), 4
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Fleet() as fleet:
            taking = fleet._taking
            for _ in range(TURNS):
                taking.turn["of"] = dead
                got: list[threading.Thread] = []
                ready, over = threading.Barrier(count), threading.Barrier(count)

                def enter(ready: Any = ready, over: Any = over, got: Any = got) -> None:
                    own = threading.current_thread()
                    ready.wait()
                    with suppress(InvalidRequestError):
                        taking.enter(own)
                        got.append(own)
                    over.wait()  # while all are alive

                each = [threading.Thread(target=enter) for _ in range(count)]
                for thread in each:
                    thread.start()
                for thread in each:
                    thread.join()
                assert len(got) == 1
                taking.leave(dead)
                assert taking.turn == {"of": got[0]}  # one that is no more gives nothing back
                taking.leave(got[0])
                assert taking.turn == {}
    finally:
        sys.setswitchinterval(before)


def test_threads_submit_while_another_takes() -> None:
    """None is lost or comes twice, and each has its own rows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    tags = range(4 * 50)
    rows: Counter[int] = Counter()
    ends: Counter[int] = Counter()
    try:
        with serving(whole) as server, Fleet(threads=2) as fleet:
            # Lest the taker is done before they have begun.
            last = fleet.submit(server.url, data=b"{}", tag=-1, at=time.monotonic_ns() + 10**15)

            def submit(first: int) -> None:
                for tag in tags[first::4]:
                    fleet.submit(server.url, data=b"{}", tag=tag)

            each = [threading.Thread(target=submit, args=(first,)) for first in range(4)]
            for thread in each:
                thread.start()
            for batch in fleet.batches(max_wait=0.001):
                rows.update(memoryview(batch.tag).tolist())
                ends.update(ended.tag for ended in batch.ended)
                if len(ends) == len(tags):
                    last.cancel()
            for thread in each:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert ends == {-1: 1, **dict.fromkeys(tags, 1)}
    assert rows == dict.fromkeys(tags, 2)


async def test_a_thousand_fleets_leave_no_thread_and_no_descriptor() -> None:
    async with serve(whole) as server:
        await one(server.url)
        await until_there(0, server)
        gc.collect()
        before = (len(threads()), len(descriptors()))
        for number in range(1000):
            if number % 10:
                with Fleet():
                    pass
            else:
                await one(server.url)
        await until_there(0, server)
        gc.collect()
        for _ in range(
            100
        ):  # the system takes a thread that was joined off its list a little later
            if (len(threads()), len(descriptors())) <= before:
                break
            await asyncio.sleep(0.01)
        assert (len(threads()), len(descriptors())) <= before


async def one(url: str) -> None:
    async with Fleet() as fleet:
        fleet.submit(url, data=b"{}")
        assert [each.end async for batch in fleet.batches() for each in batch.ended] == ["done"]


def test_a_forgotten_fleet_is_closed_with_a_warning() -> None:
    with serving(held) as server:
        fleet = Fleet()
        fleet.submit(server.url, data=b"{}")
        kept = [fleet]
        del fleet
        with pytest.warns(ResourceWarning, match="unclosed"):
            kept.clear()


# -- processes -------------------------------------------------------------------------------------


def run(code: str, *arguments: str) -> Any:
    """Run code that prints JSON, and must end by itself."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - ours
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FORK = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from tailrace.errors import InvalidRequestError
from tailrace.fleet import Fleet, Request
fleet = Fleet()
ticket = fleet.submit(sys.argv[1], data=b"{}")
batches = fleet.batches()
next(batches)
read, write = os.pipe()
child = os.fork()
if not child:
    said = []
    for each in (
        lambda: fleet.submit(sys.argv[1], data=b"{}"),
        lambda: fleet.submit_many([Request(sys.argv[1], data=b"{}")]),
        lambda: next(fleet.batches()),
        lambda: next(batches),
        ticket.cancel,
    ):
        try:
            each()
            said.append("nothing")
        except InvalidRequestError as error:
            said.append(str(error))
    fleet.close()
    with Fleet() as own:
        own.submit(sys.argv[1].replace("/held", "/whole"), data=b"{}")
        said.append([each.end for batch in own.batches() for each in batch.ended])
    os.write(write, json.dumps(said).encode())
    os._exit(0)
os.close(write)
said = json.loads(os.fdopen(read).read())
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
ticket.cancel()
ends = [each.end for batch in batches for each in batch.ended]
fleet.close()
print(json.dumps([code, said, ends]))
"""


async def by_path(exchange: Exchange) -> None:
    await (whole if exchange.target == "/whole" else held)(exchange)


def test_a_forked_child_is_refused_and_may_have_its_own() -> None:
    with serving(by_path) as server:
        code, said, ends = run(FORK, f"{server.url}/held")
    *refused, own = said
    assert (code, own, ends) == (0, ["done"], ["cancelled"])
    assert [each for each in refused if "belongs to the process" not in each] == []


SPAWN = """
import json, multiprocessing, sys
from tailrace.fleet import Fleet, Request

def ask(url):
    with Fleet(keep="text") as fleet:
        fleet.submit(url, data=b"{}")
        return [each.text for batch in fleet.batches() for each in batch.ended]

if __name__ == "__main__":
    with Fleet() as fleet, multiprocessing.get_context("spawn").Pool(2) as pool:
        print(json.dumps(pool.map(ask, [sys.argv[1]] * 4)))
"""


def test_spawned_children_have_fleets_of_their_own(tmp_path: Path) -> None:
    program = tmp_path / "spawning.py"
    program.write_text(SPAWN, "utf-8")
    with serving(whole) as server:
        done = subprocess.run(  # noqa: S603 - ours
            [sys.executable, str(program), server.url],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["hello you"]] * 4


EXIT = """
import json, sys, warnings
warnings.simplefilter("ignore", ResourceWarning)
from tailrace.fleet import Fleet, Request
fleet = Fleet(threads=2)
for tag in range(20):
    fleet.submit(sys.argv[1], data=b"{}", tag=tag)
rows = 0
for batch in fleet.batches():
    rows += len(batch)
    if rows == 20:
        break
print(json.dumps(rows))
"""


LEAVE = "import os; sys.stdout.flush(); os._exit(0)"


@pytest.mark.parametrize("end", ["", LEAVE, "raise SystemExit(0)"])
def test_a_process_ends_with_streams_running(end: str) -> None:
    with serving(held) as server:
        assert run(f"{EXIT}\n{end}", server.url) == 20


IN_A_SUBINTERPRETER = """
import json, sys
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
if sys.argv[2] == "first":
    from tailrace.fleet import Fleet
code = '''
import warnings
warnings.simplefilter("ignore", ResourceWarning)
try:
    from tailrace.fleet import Fleet
except ImportError as error:
    print("refused:", error)
else:
    fleet = Fleet()
    fleet.submit(%r, data=b"{}")
    print(len(next(fleet.batches())))
''' % sys.argv[1]
own = interpreters.create()
interpreters.run_string(own, code)
if sys.argv[3] == "ended":
    interpreters.destroy(own)
"""


@pytest.mark.parametrize("imported", ["first", "there alone"])
@pytest.mark.parametrize("end", ["ended", "left"])
def test_a_subinterpreter_ends_with_streams_running(imported: str, end: str) -> None:
    """From Python 3.12 on what is written in Rust is refused there, by name."""
    with serving(held) as server:
        command = [sys.executable, "-c", IN_A_SUBINTERPRETER, server.url, imported, end]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - ours
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n" or done.stdout.startswith("refused:")


WAITING = """
import sys
from tailrace.fleet import Fleet, Request
with Fleet() as fleet:
    fleet.submit(sys.argv[1], data=b"{}")
    try:
        for batch in fleet.batches():
            print(len(batch), flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
WAITING_IN_A_LOOP = """
import asyncio, sys
from tailrace.fleet import Fleet, Request
async def main():
    async with Fleet() as fleet:
        fleet.submit(sys.argv[1], data=b"{}")
        async for batch in fleet.batches():
            print(len(batch), flush=True)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("code", [WAITING, WAITING_IN_A_LOOP], ids=["blocking", "asyncio"])
def test_ctrl_c_ends_the_waiting(code: str) -> None:
    with serving(held) as server:
        command = [sys.executable, "-c", code, server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            assert process.wait(SECONDS) == 0
