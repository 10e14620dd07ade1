"""What the gateway says of itself: a valid document, of every route, and true of the replies."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from gateway_app import asking, replicas_sites, serving
from gateway_sockets import KEYS, SECRET, ask, gateway_of, get, read_chunk, read_head

from tailrace import Site
from tailrace.gateway._openapi.document import make_document
from tailrace.gateway._wires.chat import FIELDS, ChatRequest
from tailrace.replica import Replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway_app import RunningGateway

DOCUMENT = make_document()
SCHEMAS = DOCUMENT["components"]["schemas"]
HELLO = [{"role": "user", "content": "[[think]] Hello"}]
TOOL = {"name": "f", "parameters": {"type": "object", "properties": {}}}


def test_the_document_is_valid() -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(DOCUMENT, cls=validator.OpenAPIV31SpecValidator)


async def test_every_route_is_in_it() -> None:
    async with gateway_of([Site("https://shop.example", name="shop")]) as served:
        routes = {
            (route.method.lower(), route.resource.canonical)
            for route in served.gateway.app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
    described = {
        (method, path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert {each for each in routes if not each[1].startswith("/static/")} == described


def test_every_field_of_a_chat_is_described_as_it_is_treated() -> None:
    fields = SCHEMAS["ChatRequest"]["properties"]
    assert set(fields) == set(ChatRequest.__struct_fields__)
    assert all(fields[each.name]["description"].startswith(each.treatment) for each in FIELDS)


@asynccontextmanager
async def asked_gateway() -> AsyncIterator[RunningGateway]:
    async with Replica() as replica:
        claude = Site(replica.url("anthropic"), software="anthropic", name="claude", api_key="k")
        async with serving([*replicas_sites(replica), claude]) as gateway:
            yield gateway


REQUESTS: list[tuple[str, str, dict[str, Any] | None, int]] = [
    ("post", "/v1/chat/completions", asking("[[think]] Hello", "open/mini"), 200),
    (
        *("post", "/v1/chat/completions"),
        asking("Hello", "open/mini", tools=[{"type": "function", "function": TOOL}], logprobs=True,
               tool_choice="required"),
        200,
    ),
    ("post", "/v1/chat/completions", asking("Hello", "nowhere/x"), 404),
    ("post", "/v1/chat/completions", asking("[[err500]]", "open/mini"), 502),
    ("post", "/v1/completions", {"model": "open/mini", "prompt": "Hello", "logprobs": 1}, 200),
    ("post", "/v1/responses", {"model": "open/mini", "input": "[[think]] Hello"}, 200),
    ("post", "/v1/messages", {"model": "open/mini", "max_tokens": 9, "messages": HELLO}, 200),
    ("post", "/v1/messages", {"model": "nowhere/x", "max_tokens": 9, "messages": HELLO}, 404),
    ("post", "/v1/messages/count_tokens", {"model": "shop/default", "messages": HELLO}, 404),
    ("post", "/v1/embeddings", {"model": "shop/default", "input": "Hello"}, 400),
    ("get", "/v1/models", None, 200),
    ("get", "/v1/models/{id}", None, 200),
    ("get", "/health", None, 200),
    ("get", "/ready", None, 200),
]  # fmt: skip


@pytest.fixture
async def replies() -> list[tuple[str, str, Any, int, Any]]:
    """Each request with its reply."""
    found = []
    async with asked_gateway() as gateway, aiohttp.ClientSession() as session:
        for method, path, body, status in REQUESTS:
            url = f"{gateway.url}{path.replace('{id}', 'open/gpt-4o')}"
            async with session.request(method, url, json=body) as reply:
                assert reply.status == status, await reply.text()
                found.append((method, path, body, status, await reply.json()))
    return found


def test_bodies_are_as_it_says(replies: list[tuple[str, str, Any, int, Any]]) -> None:
    library = pytest.importorskip("jsonschema")

    def check(content: dict[str, Any], body: Any) -> None:
        schema = {**content["application/json"]["schema"], "components": {"schemas": SCHEMAS}}
        library.Draft202012Validator(schema).validate(body)

    for method, path, sent, status, got in replies:
        operation = DOCUMENT["paths"][path][method]
        if sent is not None:
            check(operation["requestBody"]["content"], sent)
        if status == 200:
            check(operation["responses"]["200"]["content"], got)
        else:
            name = operation["responses"][f"{status // 100}XX"]["$ref"].rpartition("/")[2]
            check(DOCUMENT["components"]["responses"][name]["content"], got)


async def test_live_events_are_as_it_says() -> None:
    library = pytest.importorskip("jsonschema")
    async with gateway_of([Site("https://shop.example", name="shop")]) as served:
        reader, writer = await read_live(served.port)
        event = json.loads((await read_chunk(reader)).removeprefix(b"data: "))
        writer.close()
    schema = {"$ref": "#/components/schemas/LiveEvent", "components": {"schemas": SCHEMAS}}
    library.Draft202012Validator(schema).validate(event)


async def read_live(port: int) -> tuple[Any, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get("/live"))
    assert (await read_head(reader))[0] == 200
    return reader, writer


class Page(HTMLParser):
    """A page's tags, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        fields = dict(attrs)
        self.ids += [each for each in [fields.get("id")] if each]
        self.links += [each for each in (fields.get("href"), fields.get("src")) if each]
        assert not [name for name in fields if name.startswith("on") or name == "style"]


async def test_a_page_of_it_needs_no_script_and_nothing_of_others() -> None:
    async with gateway_of([Site("https://shop.example", name="shop")], keys=KEYS) as served:
        answers = {
            path: await ask(served.port, get(path))
            for path in ("/docs", "/docs.css", "/openapi.json")
        }
        document = await ask(served.port, get("/openapi.json", f"Authorization: Bearer {SECRET}"))
    assert {answer.status for answer in answers.values()} == {200}
    assert json.loads(answers["/openapi.json"].body) == json.loads(document.body) == DOCUMENT
    for answer in answers.values():
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "etag" in answer.headers
    assert b"url(" not in answers["/docs.css"].body
    page = Page(answers["/docs"].body.decode())
    assert page.tags.isdisjoint({"script", "img", "iframe", "style", "form", "object"})
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= {*page.ids}
    others = {link for link in page.links if not link.startswith("#")}
    assert others == {"/static/icon.svg", "/docs.css", "/openapi.json"}
    operations = [each for methods in DOCUMENT["paths"].values() for each in methods.values()]
    assert {each["operationId"] for each in operations} | {*SCHEMAS} == {*page.ids}
