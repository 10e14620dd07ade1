"""The stage for Ray Data: every row has its columns, whatever became of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import ray.data
from aiohttp import web
from aiohttp.test_utils import TestServer

import tailrace.ray
from tailrace import RetryPolicy, Site
from tailrace.batch import Plan
from tailrace.errors import InvalidRequestError
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.timeout(60)

ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, first_wait=0.0)


async def taken(dataset: Any, **options: Any) -> dict[int, dict[str, Any]]:
    """The rows of a dataset through the stage, by their number."""
    arguments = {"batch_size": 8, "concurrency": 1, **options}
    stage = dataset.map_batches(tailrace.ray.Ask, **arguments)
    rows = await asyncio.to_thread(stage.take_all)
    assert len(rows) == len({row["n"] for row in rows})
    return {row["n"]: row for row in rows}


async def test_rows_that_fail_are_rows() -> None:
    prompts = ["Say hello", "[[cut]]", "Say hello", None] * 6
    dataset = ray.data.from_items([{"n": n, "prompt": each} for n, each in enumerate(prompts)])
    async with Replica(shutdown_timeout=0.1) as replica:
        site = Site(f"{replica.url('openai')}/v1", software="openai", model="gpt-4o", retry=TWICE)
        rows = await taken(dataset, fn_constructor_kwargs={"site": site})
    assert len(rows) == len(prompts)
    for n, row in rows.items():
        good = prompts[n] == "Say hello"
        assert (row["error"] is None) == good, row
        assert row["prompt"] == prompts[n]
        assert row["end"] in ({"done"} if good else {"truncated", "failed"}), row
    assert rows[0]["text"]
    assert rows[0]["finish_reason"] == "stop"
    assert rows[0]["attempts"] == 1
    assert rows[0]["usage"]["total_tokens"] > 0
    assert rows[0]["tool_calls"] is None
    assert rows[1]["attempts"] == 2
    assert rows[1]["text"]  # what came of it
    assert (rows[3]["error"]["code"], rows[3]["attempts"]) == ("invalid_request", 0)


class Gate:
    """A server whose first row is answered when all others have been."""

    def __init__(self, rows: int) -> None:
        self.left = rows - 1
        self.are_over = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        prompt = body["messages"][-1]["content"]
        if prompt == "0":
            await self.are_over.wait()
        self.left -= 1
        if not self.left:
            self.are_over.set()
        call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return web.json_response({"id": "c", "choices": [choice]})


@pytest.fixture
async def gate() -> AsyncIterator[tuple[Gate, Site]]:
    server = Gate(64)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    async with TestServer(app) as listening:
        yield server, Site(str(listening.make_url("/v1")), software="openai", model="m")


async def test_a_slow_row_holds_up_no_batch_but_its_own(gate: tuple[Gate, Site]) -> None:
    """With a barrier the slow row would wait for rows that wait for it."""
    messages = [{"role": "system", "content": "Add."}]
    dataset = ray.data.from_items(
        [{"n": n, "messages": [*messages, {"role": "user", "content": str(n)}]} for n in range(64)],
        override_num_blocks=1,
    )
    rows = await taken(dataset, fn_constructor_kwargs={"site": gate[1], "prefix": "answer_"})
    assert {row["answer_finish_reason"] for row in rows.values()} == {"tool_calls"}
    calls = [row["answer_tool_calls"] for row in rows.values()]
    function = {"name": "add", "arguments": "{}"}
    assert all(each[0] == {"id": "c1", "type": "function", "function": function} for each in calls)
    assert rows[0]["answer_usage"] is None


async def test_a_site_that_is_down_fails_rows_and_no_dataset() -> None:
    dataset = ray.data.from_items([{"n": n, "prompt": "Say hello"} for n in range(40)])
    site = Site("http://127.0.0.1:9/v1", software="openai", model="m", retry=ONCE)
    plan = Plan(stop_after=4, patience=0)
    rows = await taken(dataset, fn_constructor_kwargs={"site": site, "plan": plan})
    codes = [row["error"]["code"] for row in rows.values()]
    assert set(codes) == {"network", "site_down"}
    assert codes.count("site_down") >= 20


@pytest.mark.parametrize("form", ["numpy", "pandas", "pyarrow"])
async def test_batches_of_every_format_are_taken(form: str) -> None:
    site = Site("http://127.0.0.1:9/v1", software="openai", model="m")
    ask = tailrace.ray.Ask(site, Plan(stop_after=1, patience=0))
    dataset = ray.data.from_items([{"n": n, "prompt": "x"} for n in range(3)])
    [batch] = list(dataset.iter_batches(batch_size=3, batch_format=form))
    answered = await ask(batch)
    assert list(answered["n"]) == [0, 1, 2]
    assert len(answered["error"]) == 3


async def test_what_cannot_be_asked_is_refused_by_name() -> None:
    site = Site("http://127.0.0.1:9/v1", software="openai", model="m", models=["m"])
    with pytest.raises(InvalidRequestError, match="does not know the model"):
        tailrace.ray.Ask(site, model="x")
    with pytest.raises(TypeError, match="temprature"):
        tailrace.ray.Ask(site, options={"temprature": 1})
    with pytest.raises(InvalidRequestError, match="no column prompt or messages; it has n"):
        await tailrace.ray.Ask(site)({"n": [1]})
    with pytest.raises(InvalidRequestError, match="a column text of its own"):
        await tailrace.ray.Ask(site)({"prompt": ["x"], "text": ["y"]})
