"""Other people's clients in front of the gateway, and the replica behind it: openai and curl."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
from typing import TYPE_CHECKING, Any, get_type_hints

import openai
import pytest
from gateway_app import RunningGateway, asked, asking, outcomes, replicas_sites, serving, until
from openai.types.chat import completion_create_params

from tailrace.gateway import Key
from tailrace.gateway._wires.chat import FIELDS
from tailrace.replica import Question, Replica, builtin_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEY = "sk-tailrace-0123456789abcdef"
MODELS = [
    *["shop/default", "kit/default", "engine/default", "gem/default", "open/mini"],
    "any/gpt-4o",
]
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of anybody but loopback, whatever the machine's environment says."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica() as running:
        yield running


@pytest.fixture
async def gateway(replica: Replica) -> AsyncIterator[RunningGateway]:
    async with serving(replicas_sites(replica), keys=(Key.of("test", KEY),)) as running:
        yield running


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    # A gateway on loopback has no certificate: without those of others a client is made at once.
    http = openai.DefaultAsyncHttpxClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    async with openai.AsyncOpenAI(
        base_url=gateway.base_url, api_key=KEY, max_retries=0, http_client=http
    ) as made:
        yield made


async def answer() -> str:
    return await builtin_answer(Question("any", "Hello"))


# -- openai ----------------------------------------------------------------------------------------


def test_every_parameter_of_the_client_stands_in_the_table() -> None:
    parameters: set[str] = set()
    for name in ("CompletionCreateParamsNonStreaming", "CompletionCreateParamsStreaming"):
        parameters |= set(get_type_hints(getattr(completion_create_params, name)))
    assert parameters <= {field.name for field in FIELDS}


@pytest.mark.parametrize("model", MODELS)
async def test_openai_streams(client: openai.AsyncOpenAI, model: str) -> None:
    stream = await client.chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == await answer()
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0
    assert {chunk.model for chunk in chunks} == {model}


@pytest.mark.parametrize("model", MODELS)
async def test_openai_asks_for_a_whole_answer(client: openai.AsyncOpenAI, model: str) -> None:
    completion = await client.chat.completions.create(model=model, messages=HELLO)
    assert completion.choices[0].message.content == await answer()
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 0
    assert completion.object == "chat.completion"


async def test_openais_own_gathering_of_a_stream(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="shop/default", messages=HELLO) as stream:
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.content == await answer()


async def test_openai_without_asyncio(gateway: RunningGateway) -> None:
    def ask() -> tuple[str, str | None]:
        with openai.OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as client:
            stream = client.chat.completions.create(
                model="shop/default", messages=HELLO, stream=True
            )
            streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            whole = client.chat.completions.create(model="shop/default", messages=HELLO)
            return streamed, whole.choices[0].message.content

    assert await asyncio.to_thread(ask) == (await answer(), await answer())


async def test_openai_stops_where_it_is_told(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model="gem/default", messages=HELLO, stop=["earlier", "zz"]
    )
    assert completion.choices[0].message.content == "You asked: “Hello” (0 "


async def test_openai_lists_models(client: openai.AsyncOpenAI, gateway: RunningGateway) -> None:
    ids = [model.id async for model in client.models.list()]
    assert ids == [model.id for model in gateway.context.registry.models]
    assert (await client.models.retrieve("open/gpt-4o")).owned_by == "open"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nowhere/x")


REFUSALS: list[tuple[Callable[..., Any], type[openai.APIStatusError], str | None]] = [
    (
        lambda client: client.chat.completions.create(model="nowhere", messages=HELLO),
        openai.NotFoundError,
        "model_not_found",
    ),
    (
        lambda client: client.chat.completions.create(model="open/mini", messages=HELLO, n=17),
        openai.BadRequestError,
        "unsupported_value",
    ),
    (
        lambda client: client.chat.completions.create(model="open/mini", messages=[]),
        openai.BadRequestError,
        "invalid_type",
    ),
    (
        lambda client: client.chat.completions.create(
            model="open/mini", messages=HELLO, extra_body={"url": "x"}
        ),
        openai.BadRequestError,
        "unsupported_parameter",
    ),
    (
        lambda client: client.with_options(api_key="sk-other").models.list(),
        openai.AuthenticationError,
        "invalid_api_key",
    ),
    (
        lambda client: client.embeddings.create(model="open/mini", input="x"),
        openai.NotFoundError,
        "model_not_found",
    ),
    (
        lambda client: client.moderations.create(model="open/mini", input="x"),
        openai.NotFoundError,
        "unknown_url",
    ),
]


@pytest.mark.parametrize(
    ("ask", "kind", "code"), REFUSALS, ids=[str(number) for number in range(len(REFUSALS))]
)
async def test_openai_is_told_what_is_wrong(
    client: openai.AsyncOpenAI,
    ask: Callable[..., Any],
    kind: type[openai.APIStatusError],
    code: str | None,
) -> None:
    with pytest.raises(kind) as caught:
        await ask(client)
    assert caught.value.code == code
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id  # which the gateway's log has, too


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("marker", "kind", "code", "tries"),
    [
        ("err401", openai.InternalServerError, "site_refused_gateway", 1),
        ("quota", openai.RateLimitError, "insufficient_quota", 1),
        ("too-long", openai.BadRequestError, "context_length_exceeded", 1),
        ("err500", openai.InternalServerError, "upstream", 3),
        ("html502", openai.InternalServerError, "upstream", 3),
    ],
)
async def test_openai_asks_again_where_it_is_of_use(
    client: openai.AsyncOpenAI,
    replica: Replica,
    *,
    marker: str,
    kind: type[openai.APIStatusError],
    code: str,
    tries: int,
    stream: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)  # of its own clock
    patient = client.with_options(max_retries=2)
    messages: list[Any] = [{"role": "user", "content": f"[[{marker}]]"}]
    with pytest.raises(kind) as caught:
        await patient.chat.completions.create(model="open/mini", messages=messages, stream=stream)
    assert (caught.value.code, asked(replica)) == (code, tries)


async def test_openai_waits_as_long_as_it_is_told(client: openai.AsyncOpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "[[err429]]"}]
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="open/mini", messages=messages)
    assert caught.value.response.headers["Retry-After"] == "7"
    assert caught.value.response.headers["x-should-retry"] == "true"


@pytest.mark.parametrize("marker", ["midfail", "cut"])
async def test_openai_is_told_of_a_failure_in_the_middle(
    client: openai.AsyncOpenAI, marker: str
) -> None:
    messages: list[Any] = [{"role": "user", "content": f"[[{marker}]]"}]
    stream = await client.chat.completions.create(model="open/mini", messages=messages, stream=True)
    chunks = aiter(stream)
    assert (await anext(chunks)).choices[0].delta.role == "assistant"
    assert (await anext(chunks)).choices[0].delta.content
    with pytest.raises(openai.APIError) as caught:
        _ = [chunk async for chunk in chunks]
    assert caught.value.type == "upstream_error"


@pytest.mark.parametrize("marker", ["silent", "stall"])
async def test_openai_that_runs_out_of_time_leaves(
    client: openai.AsyncOpenAI, gateway: RunningGateway, replica: Replica, marker: str
) -> None:
    messages: list[Any] = [{"role": "user", "content": f"[[{marker}]]"}]
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.3).chat.completions.create(
            model="open/mini", messages=messages
        )
    async with asyncio.timeout(1):
        await replica.exchanges.settled()
    await until(lambda: outcomes(gateway) == {"left": 1})


async def test_openai_that_leaves_a_stream(
    client: openai.AsyncOpenAI, gateway: RunningGateway, replica: Replica
) -> None:
    messages: list[Any] = [{"role": "user", "content": "[[stall]]"}]
    async with await client.chat.completions.create(
        model="shop/default", messages=messages, stream=True
    ) as stream:
        async for _ in stream:
            break
    async with asyncio.timeout(1):
        await replica.exchanges.settled()
    await until(lambda: outcomes(gateway) == {"left": 1})


# -- curl ------------------------------------------------------------------------------------------


async def ran(*command: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a program, which gets no environment but what it needs."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **variables},
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


@pytest.fixture
def curl(gateway: RunningGateway) -> tuple[str, ...]:
    """The beginning of every command line of curl's."""
    program = shutil.which("curl")
    assert program is not None, "curl is not on this machine"
    authorization = f"Authorization: Bearer {KEY}"
    return (
        program,
        "-sSN",
        "--noproxy",
        "*",
        "-H",
        authorization,
        "--max-time",
        "20",
        f"{gateway.base_url}/models",
    )


def completing(curl: tuple[str, ...], body: dict[str, Any], *options: str) -> tuple[str, ...]:
    url = curl[-1].replace("/models", "/chat/completions")
    return (
        *curl[:-1],
        *options,
        "-H",
        "Content-Type: application/json",
        "-d",
        json.dumps(body),
        url,
    )


async def test_curl(curl: tuple[str, ...]) -> None:
    code, output, _ = await ran(*completing(curl, asking("Hello", stream=True)))
    *events, end, rest = output.split("\n\n")
    assert (code, end, rest) == (0, "data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert (
        "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        == await answer()
    )
    _, output, _ = await ran(*completing(curl, asking("Hello")))
    assert json.loads(output)["choices"][0]["message"]["content"] == await answer()
    _, output, _ = await ran(*curl)
    assert json.loads(output)["object"] == "list"


async def test_curl_over_http_1_0_and_with_a_form(curl: tuple[str, ...]) -> None:
    code, output, _ = await ran(*completing(curl, asking("Hello", stream=True), "--http1.0"))
    assert (code, output.endswith("data: [DONE]\n\n")) == (0, True)
    url = curl[-1].replace("/models", "/chat/completions")
    code, output, _ = await ran(
        *curl[:-1], "-w", "%{http_code}", "-d", json.dumps(asking("Hello")), url
    )
    assert (code, output[-3:]) == (0, "415")
    assert "Content-Type: application/json" in output
