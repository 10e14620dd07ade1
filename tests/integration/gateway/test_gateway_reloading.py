"""Keys and profiles read again while the gateway runs, and keys with limits of their own."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from gateway_sockets import (
    KEYS,
    OTHER_SECRET,
    SECRET,
    Served,
    ask,
    gateway_of,
    get,
    held_site,
    post,
    read_chunk,
    read_head,
    until,
)

from tailrace.gateway import (
    Gateway,
    Key,
    ModelRegistry,
    Settings,
    _reloading,
    base_urls,
    open_sockets,
    read_keys,
    serve_until_signal,
)
from tailrace.gateway._reloading import Reading, Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway_sockets import HeldSite

AUTHORIZED = f"Authorization: Bearer {SECRET}"
OTHERWISE = f"Authorization: Bearer {OTHER_SECRET}"


@pytest.fixture
async def site() -> AsyncIterator[HeldSite]:
    async with held_site() as held:
        yield held


class Files:
    """A file of keys and one of profiles, and a gateway's source that reads them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.keys = folder / "keys"
        self.profiles = folder / "tailrace.toml"
        self.url = url
        self.failure: Exception | None = None
        self.describe("held")
        self.keys.write_text(f"first:{SECRET}\n")

    def describe(self, *names: str) -> None:
        table = f'url = "{self.url}"\nsoftware = "openai"\nmodels = ["gpt-4o"]\n'
        self.profiles.write_text("".join(f"[sites.{name}]\n{table}" for name in names))

    def write(self, which: str, text: str) -> None:
        getattr(self, which).write_text(text)

    def source(self) -> Source:
        return Source(self._read, lambda: [self.keys, self.profiles])

    def _read(self) -> Reading:
        if self.failure is not None:
            raise self.failure
        environ = {"TAILRACE_CONFIG": str(self.profiles)}
        registry = ModelRegistry.load(created=1, environ=environ)
        return Reading(tuple(read_keys(self.keys)), registry)


@pytest.fixture
def files(tmp_path: Path, site: HeldSite) -> Files:
    return Files(tmp_path, site.url)


@asynccontextmanager
async def reloading(files: Files) -> AsyncIterator[Served]:
    source = files.source()
    keys, registry = source.read()
    gateway = Gateway(Settings(keys=keys, grace=0.0), registry, source=source)
    sockets = open_sockets("127.0.0.1", 0)
    await gateway.start(sockets)
    try:
        yield Served(gateway, int(base_urls(sockets)[0].rpartition(":")[2]))
    finally:
        await gateway.stop()


async def own_models(served: Served, authorized: str = AUTHORIZED) -> list[str]:
    answer = await ask(served.port, get("/v1/models", authorized))
    ids = [card["id"] for card in json.loads(answer.body)["data"]]
    return [each for each in ids if each.endswith("/gpt-4o") and not each.startswith("Chat")]


async def test_what_changes_is_read_again_and_no_stream_is_dropped(
    files: Files, site: HeldSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reloading, "WATCH_SECONDS", 0.01)
    async with reloading(files) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(None, AUTHORIZED))
        assert (await read_head(reader))[0] == 200
        assert b"first" in await read_chunk(reader)
        files.describe("other")
        files.keys.write_text(f"second:{OTHER_SECRET}\n")
        await until(lambda: served.gateway.context.settings.keys[0].name == "second")
        assert await own_models(served, OTHERWISE) == ["other/gpt-4o"]
        answer = await ask(served.port, get("/v1/models", AUTHORIZED))
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        site.let_go.set()
        rest = b""
        while chunk := await read_chunk(reader):
            rest += chunk
        assert rest.endswith(b"data: [DONE]\n\n")
        writer.close()


@pytest.mark.parametrize("broken", ["keys", "profiles"])
async def test_what_cannot_be_used_is_not_taken_over(
    files: Files, broken: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reloading, "WATCH_SECONDS", 0.01)
    async with reloading(files) as served:
        file = getattr(files, broken)
        good = file.read_text()
        files.write(broken, "[[[")
        await until(lambda: bool(errors(caplog)))
        assert await own_models(served) == ["held/gpt-4o"]
        (said,) = errors(caplog)
        assert said.startswith(f"the keys and sites stay as they were: {file}: ")
        file.unlink()
        await until(lambda: len(errors(caplog)) == 2)
        assert await own_models(served) == ["held/gpt-4o"]
        files.write(broken, good)
        await until(lambda: any(each.startswith("read again: 1 keys") for each in caplog.messages))
    assert len(errors(caplog)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes with a name")
async def test_a_pipe_is_read_once(
    files: Files, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reloading, "WATCH_SECONDS", 0.01)
    async with reloading(files) as served:
        files.keys.unlink()
        os.mkfifo(files.keys)
        await until(lambda: bool(errors(caplog)))
        assert await own_models(served) == ["held/gpt-4o"]
    assert errors(caplog) == [
        f"the keys and sites stay as they were: {files.keys} is a pipe, which can be read once"
    ]


async def test_a_reading_that_fails_in_any_way_is_not_the_last(
    files: Files, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_reloading, "WATCH_SECONDS", 0.01)
    async with reloading(files) as served:
        files.failure = ValueError(SECRET)
        files.write("keys", f"first:{SECRET}\nsecond:{OTHER_SECRET}\n")
        await until(lambda: bool(errors(caplog)))
        assert errors(caplog) == [
            "the keys and sites stay as they were: ValueError while they were read"
        ]
        files.failure = None
        files.write("keys", f"first:{SECRET}\nthird:{OTHER_SECRET}\n# more\n")
        await until(lambda: any(each.startswith("read again: 2 keys") for each in caplog.messages))
        assert await own_models(served) == ["held/gpt-4o"]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
async def test_sighup_reads_them_at_once(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    source = files.source()
    keys, registry = source.read()
    gateway = Gateway(Settings(keys=keys, grace=0.0), registry, source=source)
    started = asyncio.Event()
    serving = asyncio.create_task(
        serve_until_signal(gateway, open_sockets("127.0.0.1", 0), started=started.set)
    )
    await started.wait()
    signal.raise_signal(signal.SIGHUP)
    await until(lambda: any(each.startswith("read again") for each in caplog.messages))
    signal.raise_signal(signal.SIGTERM)
    await serving


async def test_a_worker_begins_with_what_stands_in_the_files_now(files: Files) -> None:
    source = files.source()
    keys, registry = source.read()
    files.write("keys", f"second:{OTHER_SECRET}\n")
    gateway = Gateway(Settings(keys=keys, grace=0.0), registry, source=source)
    await gateway.start(open_sockets("127.0.0.1", 0))
    assert [key.name for key in gateway.context.settings.keys] == ["second"]
    await gateway.stop()


# -- limits of a key -------------------------------------------------------------------------------


async def test_an_expired_key_is_told_so(site: HeldSite) -> None:
    gone = Key.of("first", SECRET, expires=datetime(2026, 1, 1, tzinfo=UTC))
    later = Key.of("second", OTHER_SECRET, expires=datetime(9000, 1, 1, tzinfo=UTC))
    async with gateway_of([site.provider()], keys=(gone, later)) as served:
        answer = await ask(served.port, get("/v1/models", AUTHORIZED))
        assert (answer.status, answer.error["code"]) == (401, "expired_api_key")
        assert answer.error["message"] == "the key 'first' expired on 2026-01-01 00:00 UTC"
        assert (answer.headers["x-should-retry"], answer.headers["www-authenticate"]) == (
            *("false", "Bearer"),
        )
        assert (await ask(served.port, get("/v1/models", OTHERWISE))).status == 200


async def test_a_keys_own_limit_is_not_the_others(site: HeldSite) -> None:
    keys = (Key.of("first", SECRET, rate=2), KEYS[1])
    async with gateway_of([site.provider()], keys=keys, rate=4) as served:
        for authorized, most in ((AUTHORIZED, 2), (OTHERWISE, 4)):
            statuses = [
                (await ask(served.port, get("/v1/models", authorized))).status for _ in range(5)
            ]
            assert statuses == [200] * most + [429] * (5 - most)
