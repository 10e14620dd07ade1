"""The gateway against a bare relay of the same bytes, and against other people's gateways.

    python benchmarks/gateway.py [--date DATE] [--quick]

Upstream, relay and gateways are processes of their own; CPU time is the kernel's, summed over a
process, its threads and its children. The relay is an aiohttp.web handler that hands on what an
aiohttp client reads. Where events are counted, upstream and client go step by step: an event is
sent when its client has read the one before, so that each is a read, a decode, an encode and a
write for the one in the middle, on an idle machine and on a busy one. The peers are in an
environment of their own (`.venv-gateways`); without it they are left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from aiohttp import web

from gateway_wire import STEPS, Load, StreamClient, listen, serve_upstream
from report import Figure, Section, Table, arguments, publish
from tailrace.gateway import Gateway, ModelRegistry, Settings, open_sockets
from tailrace.gateway._server import collect_rarely
from tailrace.providers import OpenAIProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

RELAY, OURS = "bare relay", "tailrace serve"

# -- who stands in the middle ----------------------------------------------------------------------


async def relay(port: int, upstream: str) -> None:
    """An aiohttp.web handler that hands on what it reads."""

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with client.post(f"{upstream}/v1/chat/completions", data=body) as reply:
            response = web.StreamResponse(headers={"Content-Type": reply.headers["Content-Type"]})
            await response.prepare(request)
            async for data in reply.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    ) as client:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handle)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        await asyncio.Event().wait()


async def ours(port: int, upstream: str) -> None:
    """The gateway, as ``tailrace serve`` runs it, with one OpenAI-compatible site."""
    site = type(
        "bench",
        (OpenAIProvider,),
        {"url": f"{upstream}/v1", "models": ["gpt-4o-mini"], "__module__": "x"},
    )
    gateway = Gateway(Settings(port=port), ModelRegistry([site], created=0))
    collect_rarely()
    await gateway.start(open_sockets("127.0.0.1", port))
    await asyncio.Event().wait()


# -- processes -------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def process(
    *command: str, port: int, env: dict[str, str] | None = None, log: Path | None = None
) -> Iterator[int]:
    """A process that listens on `port`, and is ended with everything that it started."""
    with (Path(os.devnull) if log is None else log).open("wb") as out:
        started = subprocess.Popen(  # noqa: S603 - our own command lines
            command,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 120
        while True:
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if started.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[:4]} does not listen: see {log}")
            time.sleep(0.1)
        yield started.pid
    finally:
        for number in (15, 9):
            if started.poll() is None:
                os.killpg(started.pid, number)
                try:
                    started.wait(5)
                except subprocess.TimeoutExpired:
                    continue
                break


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of a process and its descendants, of all their threads."""
    files = [
        each for member in family(pid) for each in Path(f"/proc/{member}/task").glob("*/schedstat")
    ]
    return sum(int(each.read_text().split()[0]) for each in files)


def resident_bytes(pid: int) -> int:
    """Memory of a process and its descendants."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(
        int(Path(f"/proc/{member}/statm").read_text().split()[1]) * page for member in family(pid)
    )


def role(name: str, port: int, upstream: str = "", loop: str = "asyncio") -> list[str]:
    """The command line of one of our own processes."""
    return [sys.executable, __file__, "role", name, loop, str(port), upstream]


# -- streams ---------------------------------------------------------------------------------------


def request(load: Load, model: str, **more: Any) -> bytes:
    """A streamed completion asked for; the question says what the upstream is to send."""
    messages = [{"role": "user", "content": json.dumps(asdict(load))}]
    body = json.dumps({"model": model, "stream": True, "messages": messages, **more}).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\n"
        b"Authorization: Bearer sk-none\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )


async def stream(port: int, load: Load, model: str, **more: Any) -> StreamClient:
    """One stream, read to its end."""
    loop = asyncio.get_running_loop()
    sent = request(load, model, **more)
    _, client = await loop.create_connection(
        lambda: StreamClient(sent, load.stamped, load.step), "127.0.0.1", port
    )
    await client.done
    return client


SETTLED = 0.02
"""Seconds after which a process that has nothing to do sleeps.

The system adds up the time of one that runs but a few hundred times a second.
"""


async def cost_of_steps(
    port: int, pid: int, model: str, events: int, streams: int = 20, *, together: int = 1
) -> int:
    """CPU time of the process, in nanoseconds, for `streams` streams at once, event by event.

    `together`: deltas in each of the `events`, which are written at once.
    """
    keys = [f"{time.monotonic_ns()} {number}" for number in range(streams)]
    STEPS.update({key: asyncio.Event() for key in keys})
    await asyncio.sleep(SETTLED)
    before = cpu_ns(pid)
    clients = await asyncio.gather(
        *(stream(port, Load(events=events, step=key, together=together), model) for key in keys)
    )
    await asyncio.sleep(SETTLED)
    after = cpu_ns(pid)
    STEPS.clear()
    if any(not events <= client.reads <= events + 3 for client in clients):
        raise RuntimeError(
            f"not event by event: {events} events in {[client.reads for client in clients]} reads"
        )
    return after - before


class Costs(NamedTuple):
    """CPU time of one round, in µs.

    For an event, for `TOGETHER` events in one write, for a stream beside its events, and for a
    whole stream of one delta.
    """

    event: float
    together: float
    beside: float
    one_delta: float


TOGETHER = 20


async def cost(port: int, pid: int) -> Costs:
    """The costs of the process that listens on `port`."""
    few, many, streams = 5, 105, 20
    model = "bench/gpt-4o-mini"
    some, more = [await cost_of_steps(port, pid, model, events, streams) for events in (few, many)]
    batched, more_batched = [
        await cost_of_steps(port, pid, model, events, streams, together=TOGETHER)
        for events in (few, many)
    ]
    one = [await cost_of_steps(port, pid, model, 1, streams) for _ in range(5)]
    event = (more - some) / (many - few) / streams / 1000
    together = (more_batched - batched) / (many - few) / streams / 1000
    beside = some / streams / 1000 - few * event
    return Costs(event, together, beside, statistics.median(one) / streams / 1000)


class Measured(NamedTuple):
    """What was found of one who stands in the middle.

    The costs of each round, and how long each of some requests, asked one by one, waited for its
    first delta, in ns.
    """

    costs: list[Costs]
    first: list[int]


FIRST_TOKENS = 40
"""Requests of a round whose first delta is waited for."""


async def costs(rounds: int, loop: str) -> dict[str, Measured]:
    """By who stands in the middle, what was found in interleaved rounds."""
    ports = [free_port() for _ in range(3)]
    upstream = f"http://127.0.0.1:{ports[0]}"
    found = {RELAY: Measured([], []), OURS: Measured([], [])}
    with ExitStack() as stack:
        listening = await listen(ports[0])
        stack.callback(listening.close)
        at = {
            RELAY: (
                ports[1],
                stack.enter_context(
                    process(*role("relay", ports[1], upstream, loop), port=ports[1])
                ),
            ),
            OURS: (
                ports[2],
                stack.enter_context(
                    process(*role("ours", ports[2], upstream, loop), port=ports[2])
                ),
            ),
        }
        for turn in range(rounds + 1):
            for name in (RELAY, OURS) if turn % 2 else (OURS, RELAY):
                taken = await cost(*at[name])
                if turn:  # the first round warms up
                    found[name].costs.append(taken)
            for each in range(FIRST_TOKENS if turn else 0):
                for name in (RELAY, OURS) if each % 2 else (OURS, RELAY):
                    client = await stream(at[name][0], Load(events=1), MODELS[OURS])
                    found[name].first.append(client.first_after)
    return found


def ratio(found: dict[str, Measured], what: str) -> float:
    """Ours to the relay's, of one of the `Costs`: the median of the rounds' ratios."""
    return statistics.median(
        float(getattr(mine, what) / getattr(bare, what))
        for mine, bare in zip(found[OURS].costs, found[RELAY].costs, strict=True)
    )


def first_token(measured: Measured) -> tuple[float, float]:
    """The wait for a first delta in ms: the median, and that of the slowest hundredth."""
    waits = sorted(measured.first)
    return statistics.median(waits) / 1e6, waits[int(len(waits) * 0.99)] / 1e6


def first_token_figures(by_loop: dict[str, dict[str, Measured]]) -> Iterator[Figure]:
    """How much later than a bare relay's our first delta comes."""
    for loop, found in by_loop.items():
        mine, bare = first_token(found[OURS]), first_token(found[RELAY])
        for which, ours_ms, bare_ms in zip(("median", "99 %"), mine, bare, strict=True):
            what = f"gateway, first token behind a bare relay's, {which}, {loop}"
            yield Figure(what, ours_ms - bare_ms, 1, unit="ms")


# -- against other gateways ------------------------------------------------------------------------

DIRECT, LITELLM, GPT4FREE = "no gateway", "litellm proxy", "gpt4free API"
CONCURRENT, OPEN = 16, 1000
MORE: dict[str, dict[str, Any]] = {GPT4FREE: {"provider": "Custom"}}
MODELS = {OURS: "bench/gpt-4o-mini"}


async def streams_for(name: str, port: int, seconds: float) -> tuple[int, float]:
    """Whole streams of 50 events, asked for by 16 clients that ask again at once.

    How many, in how many seconds.
    """
    until = time.monotonic() + seconds
    load, model = Load(events=50, gap=0), MODELS.get(name, "gpt-4o-mini")

    async def ask() -> int:
        count = 0
        while time.monotonic() < until:
            await stream(port, load, model, **MORE.get(name, {}))
            count += 1
        return count

    begun = time.monotonic()
    done = sum(await asyncio.gather(*(ask() for _ in range(CONCURRENT))))
    return done, time.monotonic() - begun


async def delays(name: str, port: int) -> list[int]:
    """Of 8 streams of 60 deltas, one every 50 ms.

    How long each took from the upstream to the client, in ns.
    """
    load, model = Load(events=61, gap=0.05, stamped=True), MODELS.get(name, "gpt-4o-mini")
    clients = await asyncio.gather(
        *(stream(port, load, model, **MORE.get(name, {})) for _ in range(8))
    )
    found = [delay for client in clients for delay in client.delays]
    if len(found) < 8 * 60 * 0.95:
        raise RuntimeError(f"{name}: of 480 deltas {len(found)} came one by one")
    return found


async def memory(name: str, port: int, pid: int, count: int) -> dict[str, Any]:
    """Memory before, and with `count` streams open that have said one word.

    How many of them were answered at all.

    They come in fifties, each of which gets 3 seconds before the next ones come, and all get 15
    more in the end.
    """
    before = resident_bytes(pid)
    sent = request(Load(events=1, held=True), MODELS.get(name, "gpt-4o-mini"), **MORE.get(name, {}))
    loop = asyncio.get_running_loop()
    clients: list[StreamClient] = []
    waiting: list[asyncio.Task[bool]] = []
    for _ in range(0, count, 50):
        made = [
            loop.create_connection(lambda: StreamClient(sent), "127.0.0.1", port) for _ in range(50)
        ]
        clients += [client for _, client in await asyncio.gather(*made)]
        waiting += [asyncio.create_task(client.begun.wait()) for client in clients[-50:]]
        await asyncio.wait(waiting[-50:], timeout=3)
    begun, late = await asyncio.wait(waiting, timeout=15)
    for each in late:
        each.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    with_all = resident_bytes(pid)
    for client in clients:
        if not client.done.done():
            client.leave()
        elif not client.done.cancelled():
            client.done.exception()
    return {"before": before, "open": len(begun), "with_all": with_all}


async def compare(rounds: int, seconds: float, count: int) -> dict[str, Any]:
    """Measure each gateway in interleaved rounds; all stand before the same upstream."""
    upstream_port = free_port()
    upstream = f"http://127.0.0.1:{upstream_port}"
    found: dict[str, dict[str, Any]] = {}
    logs = Path(tempfile.mkdtemp(prefix="gateways-"))
    with ExitStack() as stack:
        upstream_pid = stack.enter_context(
            process(*role("upstream", upstream_port), port=upstream_port)
        )
        at = {DIRECT: (upstream_port, upstream_pid)}
        for name in (RELAY, OURS, *PEERS_HERE):
            port = free_port()
            command = {
                RELAY: role("relay", port, upstream),
                OURS: role("ours", port, upstream),
                LITELLM: [PEERS_PYTHON, PEERS, "litellm", str(port), upstream],
                GPT4FREE: [PEERS_PYTHON, PEERS, "gpt4free", str(port), upstream],
            }[name]
            env = {"PATH": os.environ["PATH"], "HOME": str(logs), "NO_PROXY": "*"}
            pid = stack.enter_context(
                process(*command, port=port, env=env, log=logs / name.replace(" ", "-"))
            )
            at[name] = (port, pid)
        taken = ("rate", "median", "p99", "cpu")
        samples: dict[str, dict[str, list[float]]] = {
            name: {each: [] for each in taken} for name in at
        }
        for turn in range(rounds + 1):
            for name, (port, pid) in at.items():
                before = cpu_ns(pid)
                done, took = await streams_for(name, port, seconds)
                cpu = (cpu_ns(pid) - before) / done
                delay = sorted(await delays(name, port))
                if turn:  # the first round warms up
                    samples[name]["rate"].append(done / took)
                    samples[name]["cpu"].append(cpu)
                    samples[name]["median"].append(statistics.median(delay))
                    samples[name]["p99"].append(delay[int(len(delay) * 0.99)])
        for name, (port, pid) in at.items():
            found[name] = {
                each: statistics.median(values) for each, values in samples[name].items()
            }
            found[name] |= await memory(name, port, pid, count)
    return found


def compared(found: dict[str, dict[str, Any]], count: int) -> tuple[tuple[str, ...], ...]:
    """A row a gateway; delays are those beyond what the way without one takes."""
    direct = found[DIRECT]
    rows = []
    for name, each in found.items():
        if name == DIRECT:
            continue
        late = [f"{(each[key] - direct[key]) / 1e6:.2f} ms" for key in ("median", "p99")]
        held = [f"{each[key] / 2**20:.0f} MiB" for key in ("before", "with_all")]
        if each["open"] < count:
            held[1] += f" (only {each['open']} were answered)"
        cost = f"{each['cpu'] / 1e6:.2f} ms"
        rows.append((name, f"{each['rate']:.0f}", cost, *late, *held))
    return tuple(rows)


# -- clients that leave ----------------------------------------------------------------------------

LEAVING = 10_000


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def left_behind(count: int) -> tuple[tuple[str, ...], ...]:
    """Figures of gateway and upstream before `count` clients come, and after all have left."""
    ports = [free_port(), free_port()]
    load = Load(events=1, held=True)
    sent = request(load, MODELS[OURS])
    loop = asyncio.get_running_loop()

    async def come_and_leave(number: int) -> None:
        _, client = await loop.create_connection(lambda: StreamClient(sent), "127.0.0.1", ports[1])
        if number % 4:  # the others do not even wait for the first word
            await client.begun.wait()
        client.leave()

    with process(*role("upstream", ports[0]), port=ports[0]) as upstream:
        command = role("ours", ports[1], f"http://127.0.0.1:{ports[0]}")
        with process(*command, port=ports[1]) as gateway:
            await asyncio.gather(*(come_and_leave(number) for number in range(100)))  # warm
            await asyncio.sleep(1)
            rows = [_state("before", gateway, upstream)]
            for begun in range(0, count, 100):
                await asyncio.gather(
                    *(come_and_leave(number) for number in range(begun, begun + 100))
                )
            await asyncio.sleep(1)
            rows.append(_state("a second after", gateway, upstream))
    return tuple(rows)


def _state(when: str, gateway: int, upstream: int) -> tuple[str, ...]:
    return (
        when,
        str(descriptors(gateway)),
        str(descriptors(upstream)),
        f"{resident_bytes(gateway) / 2**20:.0f} MiB",
    )


PEERS = str(Path(__file__).with_name("gateway_peers.py"))
PEERS_PYTHON = str(Path(__file__).parents[1] / ".venv-gateways" / "bin" / "python")
PEERS_HERE = (LITELLM, GPT4FREE) if Path(PEERS_PYTHON).exists() else ()


NOTES = """\
First token: one request at a time, ours and the relay's in turn, from its sending to the read \
with the first delta
of an upstream that answers at once. Streams a second: 16 clients that ask again at once, 50 \
events a stream. Added
delay: of 8 streams with a delta every 50 ms, the median from the upstream's write to the client's \
read, less what the
way without a gateway takes. Memory: the gateway's processes before, and while 1,000 streams are \
open that have said one
word; those it had not begun to answer after a good minute were not waited for. All stand before \
one upstream and run one
worker with their defaults.
litellm's proxy keeps accounts of every request, and gpt4free's server turns what it gets into \
its own objects: they do
more than was asked of them here."""


FIGURES = (
    ("event", "an event in and out", (1.5, 1.15)),
    ("together", f"{TOGETHER} events in one write", (2.0, 1.5)),
    ("one_delta", "a stream of one delta", (3.0, 2.0)),
)
"""What is compared, of the `Costs`: its name, and the ratios that are enough and wanted."""


def measure(*, quick: bool) -> Section:
    """Both measurements."""
    by_loop = {loop: asyncio.run(costs(2 if quick else 25, loop)) for loop in ("asyncio", "uvloop")}
    rows = []
    for loop, found in by_loop.items():
        for name, taken in found.items():
            event, together, beside, one = map(statistics.median, zip(*taken.costs, strict=True))
            figures = (f"{event:.1f}", f"{together:.1f}", f"{beside:.0f}", f"{one:.0f}")
            waits = (f"{each:.2f} ms" for each in first_token(taken))
            rows.append((f"{name}, {loop}", *figures, *waits))
    others = asyncio.run(compare(1, 0.5, 100) if quick else compare(3, 2.0, OPEN))
    count = 500 if quick else LEAVING
    columns = (
        "gateway",
        "streams a second",
        "CPU a stream",
        "added delay, median",
        "99 %",
        "memory, idle",
        "1,000 open",
    )
    return Section(
        "gateway",
        "The gateway",
        (
            Table(
                "One event in, one event out, CPU µs",
                (
                    "in the middle",
                    "an event",
                    f"{TOGETHER} in one write",
                    "a stream beside its events",
                    "a stream of one delta",
                    "first token, median",
                    "99 %",
                ),
                tuple(rows),
            ),
            Table("Against other gateways", columns, compared(others, 100 if quick else OPEN)),
            Table(
                f"{count:,} clients that leave",
                ("when", "descriptors of the gateway", "of the upstream", "the gateway's memory"),
                asyncio.run(left_behind(count)),
            ),
        ),
        figures=(
            *(
                Figure(f"gateway, {shown}, to a bare relay, {loop}", ratio(found, what), *wanted)
                for what, shown, wanted in FIGURES
                for loop, found in by_loop.items()
            ),
            *first_token_figures(by_loop),
        ),
        notes=NOTES,
        versions=peers_versions(),
        medians={"others": others},
    )


def peers_versions() -> dict[str, str]:
    """Of the peers, which are not installed beside us."""
    if not PEERS_HERE:
        return {}
    told = "from importlib.metadata import version; print(version('litellm'), version('g4f'))"
    answer = subprocess.run([PEERS_PYTHON, "-c", told], capture_output=True, check=True, text=True)  # noqa: S603
    return dict(zip(("litellm (proxy)", "g4f (api)"), answer.stdout.split(), strict=True))


def main() -> None:
    """Measure and file; or be one of the processes that are measured."""
    if sys.argv[1:2] == ["role"]:
        _, _, name, loop, port, upstream = sys.argv
        roles: dict[str, Any] = {"upstream": serve_upstream, "relay": relay, "ours": ours}
        factory: Any = import_module("uvloop").new_event_loop if loop == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(roles[name](int(port), upstream))
        return
    options = arguments(__doc__)
    publish(measure(quick=options.quick), options)


if __name__ == "__main__":
    main()
