"""Speaks to the sites with the APIs of models: plain JSON and lines, by no decoder of ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.replica import Replica

PNG = "iVBORw0KGgpvZiBubyBwaWN0dXJl"
SCHEMA = {
    "type": "object",
    "properties": {"at": {"type": "string"}, "unit": {"enum": ["m", "ft"]}},
    "required": ["at", "unit"],
}
ARGUMENTS = {"at": "at 1", "unit": "m"}
MORE_ARGUMENTS = {"at": "at 2", "unit": "ft"}


@dataclass(frozen=True)
class Answered:
    """A response: its status, headers and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of the server-sent events that are JSON."""
        lines = self.body.decode().replace("\r\n", "\n").split("\n")
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]

    @property
    def names(self) -> list[str]:
        """The names of the server-sent events, each run of the same name once."""
        lines = self.body.decode().split("\n")
        names = [line[7:] for line in lines if line.startswith("event: ")]
        return [name for at, name in enumerate(names) if names[at - 1 : at] != [name]]


async def ask(
    replica: Replica, site: str, path: str, body: object = None, **headers: str
) -> Answered:
    """Send `body` to `path` of `site`, or ask for `path` where there is none."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.request(
            "GET" if body is None else "POST",
            replica.url(site) + path,
            data=None if body is None else data,
            headers={"Content-Type": "application/json", **named},
        ) as reply,
    ):
        return Answered(reply.status, reply.headers, await reply.read())
