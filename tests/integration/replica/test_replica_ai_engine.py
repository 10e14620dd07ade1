"""The replica's sites with AI Engine against the captured replies, event by event.

What differs is what a model says, and ids, nonces and counts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CAPTURES = Path(__file__).parents[2] / "vectors" / "captures" / "ai-engine"
SUBMIT = "/wp-json/mwai-ui/v1/chats/submit"
SESSION = "/wp-json/mwai/v1/start_session"


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1) as running:
        yield running


def captured(name: str) -> tuple[int, str, bytes]:
    """A captured reply: its status, its Content-Type, its body."""
    head = (CAPTURES / f"{name}.headers.txt").read_text()
    kind = re.search(r"(?im)^content-type: ([^\r\n]*)", head)
    assert kind is not None
    return int(head.split()[1]), kind[1], (CAPTURES / f"{name}.body").read_bytes()


def shape(value: Any) -> Any:
    """The keys of objects in their order, and the kinds of their values; an end's JSON is read."""
    if isinstance(value, dict):
        return [(key, shape(each)) for key, each in value.items()]
    if isinstance(value, list):
        return [shape(each) for each in value]
    if isinstance(value, str) and value.startswith("{"):
        return ("JSON", shape(json.loads(value)))
    return type(value).__name__


def frames(body: bytes) -> list[Any]:
    """The shapes of a stream's frames, each form once where it repeats."""
    lines = body.decode("utf-8-sig").lstrip("\n").split("\n\n")
    assert lines.pop() == ""
    shapes = [shape(json.loads(line.removeprefix("data: "))) for line in lines]
    return [each for number, each in enumerate(shapes) if shapes[:number][-1:] != [each]]


class Visitor:
    """A visitor of one site, who sends what a test says."""

    def __init__(self, replica: Replica, site: str, session: aiohttp.ClientSession) -> None:
        self.url = replica.url(site)
        self._session = session

    async def post(
        self, path: str, body: Any = None, *, nonce: str | None = None, **headers: str
    ) -> tuple[int, str, bytes]:
        headers = {"Content-Type": "application/json", **headers}
        if nonce is not None:
            headers["X-WP-Nonce"] = nonce
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        async with self._session.post(self.url + path, data=data, headers=headers) as reply:
            return reply.status, reply.headers["Content-Type"], await reply.read()

    async def nonce(self) -> str | None:
        status, _, body = await self.post(SESSION)
        if status == 200:
            return str(json.loads(body)["restNonce"])
        async with self._session.get(f"{self.url}/help/") as page:
            found = re.search(r"restNonce&quot;:&quot;(\w+)", await page.text())
        return found and found[1]

    async def ask(self, message: Any, **more: Any) -> tuple[int, str, bytes]:
        fields = {"botId": "default", "newMessage": message, "stream": True, **more}
        return await self.post(SUBMIT, fields, nonce=await self.nonce())


VERSIONS = {"3.6.2": "ai-engine", "2.8.0": "ai-engine-2.8.0", "2.0.9": "ai-engine-2.0.9"}

STREAMS = [
    ("3.6.2/least-stream", "hello"),
    ("2.8.0/ok-stream", "hello"),
    ("2.0.9/ok-stream", "hello"),
    ("3.6.2/spaces-stream", "[[blanks]]"),
    ("3.6.2/banned-ip-stream", "[[banned]]"),
    ("3.6.2/limit-reached-stream", "[[quota]]"),
    ("3.6.2/not-allowed-stream", "[[not-allowed]]"),
    ("3.6.2/up-mid-error-stream", "[[midcut]]"),
    ("3.6.2/orou-mid-error-stream", "[[midlost]]"),
    ("2.0.9/php-fatal-stream", "[[fatal]]"),
    ("2.8.0/up-clean-stop-stream", "[[midlost]]"),
]


@pytest.mark.parametrize(("name", "message"), STREAMS)
async def test_a_stream_is_the_captured_one(name: str, message: str, replica: Replica) -> None:
    status, kind, body = captured(name)
    async with aiohttp.ClientSession() as session:
        visitor = Visitor(replica, VERSIONS[name.partition("/")[0]], session)
        found = await visitor.ask(message)
    assert found[:2] == (status, kind)
    if name == "3.6.2/orou-mid-error-stream":  # another service, whose counts are fewer
        assert [each[0] for each in frames(found[2])] == [each[0] for each in frames(body)]
        return
    assert frames(found[2]) == frames(body)
    assert found[2].isascii()


BODIES = [
    ("3.6.2/ok-json", "hello", {}),
    ("3.6.2/shortcuts-json", "[[parts]]", {}),
    ("3.6.2/limit-reached-json", "[[quota]]", {}),
    ("3.6.2/not-allowed-json", "[[not-allowed]]", {}),
    ("3.6.2/up-empty-json", "[[empty]]", {}),
    ("3.6.2/php-fatal-early-json", "[[fatal-early]]", {}),
    ("3.6.2/messages-not-a-list-stream", "hello", {"messages": "x", "stream": True}),
    ("3.6.2/no-bot-stream", "hello", {"botId": None, "stream": True}),
    ("2.0.9/unknown-bot-json", "hello", {"botId": "nobody"}),
]


@pytest.mark.parametrize(("name", "message", "more"), BODIES)
async def test_a_body_is_the_captured_one(
    name: str, message: str, more: dict[str, Any], replica: Replica
) -> None:
    status, kind, body = captured(name)
    async with aiohttp.ClientSession() as session:
        visitor = Visitor(replica, VERSIONS[name.partition("/")[0]], session)
        found = await visitor.ask(message, **{"stream": False, **more})
    assert found[:2] == (status, kind)
    ours, theirs = json.loads(found[2]), json.loads(body)
    if message == "[[parts]]":  # whose shortcuts have an id that is not made here
        theirs["shortcuts"][0]["data"].pop("shortcutId")
        theirs["actions"][0]["data"]["args"] = []
    assert shape(ours) == shape(theirs)
    assert ours.get("code") == theirs.get("code")


async def test_sessions_and_nonces_are_the_captured_ones(replica: Replica) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # which takes those of an address, too
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        visitor = Visitor(replica, "ai-engine", session)
        found = await visitor.post(SESSION)
        status, kind, body = captured("3.6.2/session-empty-body")
        assert (found[:2], shape(json.loads(found[2]))) == (
            (status, kind),
            shape(json.loads(body)),
        )
        assert {cookie.key for cookie in session.cookie_jar} == {"PHPSESSID", "mwai_session_id"}
        for path, name in ((SUBMIT, "nonce-wrong-stream"), (SESSION, "nonce-wrong-stream")):
            found = await visitor.post(path, {"botId": "default"}, nonce="0123456789")
            status, kind, body = captured(f"3.6.2/{name}")
            assert found[:2] == (status, kind)
            assert shape(json.loads(found[2])) == shape(json.loads(body))
        found = await visitor.post(SUBMIT, b"{", nonce=await visitor.nonce())
        assert found[:2] == captured("3.6.2/bad-json")[:2]
        assert json.loads(found[2])["code"] == json.loads(captured("3.6.2/bad-json")[2])["code"]
        found = await visitor.post(SUBMIT, {"botId": "default", "newMessage": "x"})
        assert (found[0], json.loads(found[2])["code"]) == (401, "rest_forbidden")
        async with session.get(visitor.url + SUBMIT) as reply:
            assert reply.status == captured("3.6.2/submit-get-method")[0]


@pytest.mark.parametrize(
    ("fault", "path", "name"),
    [
        ("rest-closed", SESSION, "3.6.2/rest-off-dra-session"),
        ("rest-closed:forbidden", SUBMIT, "3.6.2/rest-off-forbidden-stream"),
        ("chat-off", SUBMIT, "3.6.2/module-off-stream"),
        ("chat-off", SESSION, "3.6.2/module-off-session"),
        ("plugin-off", SESSION, "3.6.2/plugin-off-session"),
        ("maintenance", SESSION, "3.6.2/maintenance-session"),
        ("printed", SESSION, "3.6.2/bom-before-session"),
    ],
)
async def test_a_fault_is_the_captured_one(
    fault: str, path: str, name: str, replica: Replica
) -> None:
    replica.fault("ai-engine", fault)
    async with aiohttp.ClientSession() as session:
        found = await Visitor(replica, "ai-engine", session).post(path)
    status, kind, body = captured(name)
    assert (found[0], found[1].lower()) == (status, kind.lower())
    ours, theirs = (json.loads(each.decode("utf-8-sig")) for each in (found[2], body))
    assert (shape(ours), ours.get("code")) == (shape(theirs), theirs.get("code"))


async def test_what_is_printed_before_the_head(replica: Replica) -> None:
    for version, site in (("3.6.2", "ai-engine"), ("2.8.0", "ai-engine-2.8.0")):
        async with aiohttp.ClientSession() as session:
            visitor = Visitor(replica, site, session)
            nonce = await visitor.nonce()
            replica.fault(site, "printed")
            fields = {"botId": "default", "newMessage": "hi", "stream": True}
            found = await visitor.post(SUBMIT, fields, nonce=nonce)
        status, kind, body = captured(f"{version}/bom-before-stream")
        assert found[:2] == (status, kind)
        assert found[2].startswith(b"\xef\xbb\xbf\n")
        assert frames(found[2]) == frames(body)
