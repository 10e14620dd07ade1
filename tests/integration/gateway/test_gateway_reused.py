"""A failure in the middle of a stream does not reach the client's next request, on the same
connection or another: aiohttp's client, and node's, which is undici.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING

import aiohttp
import pytest
from gateway_app import RunningGateway, asking, events, replicas_sites, serving

from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMES = 30


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    async with Replica() as replica, serving(replicas_sites(replica)) as running:
        yield running


@pytest.mark.parametrize("marker", ["midfail", "cut"])
async def test_aiohttps_client_goes_on(gateway: RunningGateway, marker: str) -> None:
    url = f"{gateway.base_url}/chat/completions"
    failing = asking(f"[[{marker}]]", "open/mini", stream=True)
    async with aiohttp.ClientSession() as session:
        for _ in range(TIMES):
            async with session.post(url, json=failing) as reply:
                *_, failure = await events(reply)
            assert failure["error"]["type"] == "upstream_error"
            async with session.post(url, json=asking("[[empty]]", "open/mini")) as reply:
                assert reply.status == 200
    assert gateway.context.request_figures.connections <= 1  # one connection took them all


_NODE = """
const [url, failing, next, times] = process.argv.slice(1);
const post = (body) => fetch(url, {
  method: "POST", headers: {"Content-Type": "application/json"}, body,
});
const counts = {failures: 0, answers: 0};
const both = async () => {
  const text = await (await post(failing)).text();
  counts.failures += text.includes("upstream_error");
  const reply = await post(next);
  await reply.text();
  counts.answers += reply.status === 200;
};
for (let at = 0; at < Number(times); at += 10) {
  await Promise.all(Array.from({length: 10}, both));
}
console.log(JSON.stringify(counts));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
async def test_nodes_fetch_goes_on(gateway: RunningGateway) -> None:
    arguments = (
        f"{gateway.base_url}/chat/completions",
        json.dumps(asking("[[midfail]]", "open/mini", stream=True)),
        json.dumps(asking("[[empty]]", "open/mini")),
        str(TIMES),
    )
    process = await asyncio.create_subprocess_exec(
        *("node", "--input-type=module", "-e", _NODE, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert json.loads(output) == {"failures": TIMES, "answers": TIMES}
