"""A row on its way: what is sent, what is kept of the answer, what is refused by name."""

from __future__ import annotations

import json
import math
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from rows import CHAT, answers, chat, completion, failures, repeat, served, write_rows

from tailrace import RetryPolicy, Site, Throttle, batch
from tailrace.batch import Plan
from tailrace.errors import BatchFolderError, BatchTableError, InvalidRequestError, ProfileError
from tailrace.replica import Replica
from tailrace.sites import Secret
from tailrace.transport import AiohttpTransport, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from rows import Server

    from tailrace.sites._software import SoftwareName

ONCE = Plan(retry=RetryPolicy(attempts=1))
TWICE = Plan(retry=RetryPolicy(attempts=2, first_wait=0))


async def one(
    tmp_path: Path, server: Server, body: dict[str, Any], url: str = CHAT, **options: Any
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Ask for one row; its answer's line, its failure's line."""
    rows = write_rows(tmp_path / "in.jsonl", [(url, body)])
    out = tmp_path / f"out-{len(server.bodies)}"
    await batch.run(rows, out, server.site(**options), ONCE)
    return answers(out).get("row 0"), failures(out).get("row 0")


# -- what is sent ----------------------------------------------------------------------------------


async def test_a_body_is_sent_as_it_is_and_its_answer_kept_as_it_came(tmp_path: Path) -> None:
    raw = b'{"choices": [{"x":1.50}],"of_its_own":[1e400,"\\u00e9"],"usage":{"total_tokens":9}}'

    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        assert path == CHAT
        assert body == sent
        return web.Response(
            body=raw, content_type="application/json", headers={"x-request-id": "req_9"}
        )

    sent = chat("hé", model="their-own", temperature=0.5, n=3, unheard_of={"a": [None]})
    async with served(answer) as server:
        line, _ = await one(tmp_path, server, sent, api_key="sk-1", headers={"X-Team": "7"})
        headers = server.requests[0].headers
    assert line is not None
    assert line["response"]["status_code"] == 200
    assert line["response"]["request_id"] == "req_9"
    assert raw in (tmp_path / "out-0" / "part-00000-of-00001.jsonl").read_bytes()
    assert (headers["Authorization"], headers["X-Team"]) == ("Bearer sk-1", "7")
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "options", "model"),
    [
        ({}, {}, "m"),
        ({"model": None}, {}, "m"),
        ({"model": ""}, {}, "m"),
        ({"model": "other"}, {}, "other"),
        ({"model": "fast"}, {"aliases": {"fast": "m-mini"}}, "m-mini"),
        ({}, {"model": "fast", "aliases": {"fast": "m-mini"}}, "m-mini"),
    ],
)
async def test_a_model_is_filled_in_where_a_row_names_none(
    tmp_path: Path, body: dict[str, Any], options: dict[str, Any], model: str
) -> None:
    async with served() as server:
        line, _ = await one(tmp_path, server, {**body, **chat("hi", stream=False)}, **options)
        assert line is not None
        assert server.bodies == [{**chat("hi", stream=False), "model": model}]


async def test_the_sites_own_options_hold_where_a_row_does_not_say_otherwise(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"temperature": 0.1, "max_tokens": 7, "extra": {"guided": True}}
    async with served() as server:
        await one(tmp_path, server, chat("hi", temperature=0.9, model="a"), **options)
        (body,) = server.bodies
        await one(tmp_path, server, chat("hi", model="a", max_completion_tokens=9), **options)
    assert body == chat("hi", temperature=0.9, model="a", max_tokens=7, guided=True)
    most = {"max_completion_tokens": 9}
    assert server.bodies[1] == chat("hi", temperature=0.1, model="a", guided=True, **most)


async def test_each_endpoint_is_asked_at_its_path(tmp_path: Path) -> None:
    async def answer(path: str, body: dict[str, Any]) -> web.Response:
        del body
        member = {"responses": "output", "embeddings": "data"}.get(path.split("/")[2], "choices")
        usage = {"input_tokens": 2, "output_tokens": 1}
        return web.json_response({member: [path], "usage": usage})

    bodies = [
        ("/v1/chat/completions", chat("hi")),
        ("/v1/responses", {"input": "hi"}),
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/embeddings", {"input": ["hi"]}),
    ]
    rows = write_rows(tmp_path / "in.jsonl", bodies)
    async with served(answer) as server:
        site = server.site().replace(url=f"{server.url}/chat/completions")
        report = await batch.run(rows, tmp_path / "out", site)
    told = [str(each["response"]["body"]) for each in answers(tmp_path / "out").values()]
    assert all(any(url in each for each in told) for url, _ in bodies)
    assert (report.done, report.usage.prompt, report.usage.total) == (4, 8, 12)


@pytest.mark.parametrize(
    ("body", "options", "code", "words"),
    [
        (chat("hi", stream=True), {}, "invalid_request", "stream: a batch takes whole answers"),
        (chat("hi", model="b"), {"models": ["m"]}, "model_not_found", "does not know the model"),
    ],
)
async def test_what_cannot_be_sent_fails_by_name_and_is_not_sent(
    tmp_path: Path, body: dict[str, Any], options: dict[str, Any], code: str, words: str
) -> None:
    async with served() as server:
        line, failure = await one(tmp_path, server, body, **options)
        assert (line, server.bodies) == (None, [])
    assert failure is not None
    assert failure["error"]["code"] == code
    assert words in failure["error"]["message"]
    assert failure["body"] == body


async def test_a_row_without_a_model_fails_by_name_beside_one_that_has_it(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", [chat("one"), chat("two", model="m")])
    async with served() as server:
        report = await batch.run(rows, tmp_path / "out", server.site(model=""))
        assert server.prompts == ["two"]
        assert (report.done, report.failed) == (1, 1)
        assert "names no model" in failures(tmp_path / "out")["row 0"]["error"]["message"]
        left = tmp_path / "out" / "errors-00000-of-00001.jsonl"
        await batch.run(left, tmp_path / "mended", server.site(model=""), model="m")
        assert server.prompts == ["two", "one"]
    assert list(answers(tmp_path / "mended")) == ["row 0"]


async def test_rows_without_a_model_are_asked_in_place_once_there_is_one(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", [chat("one"), chat("two", model="m")])
    out = tmp_path / "out"
    async with served() as server:
        nameless = server.site(model="")
        await batch.run(rows, out, nameless)
        assert list(failures(out)) == ["row 0"]
        report = await batch.run(rows, out, nameless, model="n", retry_failed=True)
        assert (report.skipped, report.done, report.failed) == (1, 1, 0)
        assert [body["model"] for body in server.bodies] == ["m", "n"]
        for model in ("", "o"):
            with pytest.raises(BatchFolderError, match=f'model was "n" and is "{model}"'):
                await batch.run(rows, out, nameless, model=model)


@pytest.mark.parametrize("software", ["openai", "anthropic", "gemini", "ollama"])
async def test_a_run_without_any_model_is_refused_and_costs_no_folder(
    tmp_path: Path, software: SoftwareName
) -> None:
    bodies = [chat("one"), chat("two", model=""), chat("three", model=None)]
    rows, out = write_rows(tmp_path / "in.jsonl", bodies), tmp_path / "out"
    async with served() as server:
        site = Site(server.url, software=software)
        with pytest.raises(InvalidRequestError, match=r"no row of .* names a model.*--model"):
            await batch.run(rows, out, site)
        assert server.bodies == []
        assert not out.exists()
        report = await batch.run(rows, out, server.site(model=""), model="m")
    assert (report.done, report.failed) == (3, 0)


async def test_a_table_that_fails_after_the_run_has_its_report(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", [chat("one"), chat("two")])
    out, table = tmp_path / "out", tmp_path / "table.csv"
    async with served() as server:
        with pytest.raises(BatchTableError, match="there is no column nope") as raised:
            await batch.run(rows, out, server.site(), text=table, columns=["id", "nope"])
        assert isinstance(raised.value.error, InvalidRequestError)
        assert raised.value.report.done == 2
        assert pickle.loads(pickle.dumps(raised.value)).report == raised.value.report  # noqa: S301
        again = await batch.run(rows, out, server.site(), text=table, columns=["id"])
        assert (again.skipped, len(server.bodies)) == (2, 2)
    assert table.read_text() == "id\nrow 0\nrow 1\n"


async def test_a_throttle_of_the_site_holds(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", (chat(f"{number}") for number in range(20)))
    async with served() as server:
        site = server.site(throttle=Throttle(concurrency=2))
        assert (await batch.run(rows, tmp_path / "out", site)).done == 20
        assert server.most <= 2


async def test_over_a_given_transport_which_stays_open(tmp_path: Path) -> None:
    async with served() as server, AiohttpTransport() as transport:
        for _ in range(2):
            line, _ = await one(tmp_path, server, chat("hi"), transport=transport)
            assert line is not None


async def test_over_curl(tmp_path: Path) -> None:
    async with served() as server:
        line, _ = await one(
            tmp_path, server, chat("hi"), transport="impersonate", cookies={"a": "b"}
        )
        assert line is not None
        assert server.requests[0].cookies == {"a": "b"}


# -- what is kept of an answer ---------------------------------------------------------------------


def replying(body: bytes, status: int = 200, kind: str = "application/json") -> Any:
    async def answer(path: str, asked: dict[str, Any]) -> web.Response:
        del path, asked
        return web.Response(body=body, status=status, content_type=kind)

    return answer


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(completion("two\nlines"), indent=2).encode(),
        json.dumps(completion("two\nlines"), indent=2).replace("\n", "\r\n").encode(),
        json.dumps(completion("two\nlines")).replace("\\n", "\n").encode(),
        b"\xef\xbb\xbf" + json.dumps(completion("two\nlines")).encode(),
        b"\n\n" + json.dumps(completion("two\nlines")).encode() + b"\n",
    ],
    ids=["pretty", "crlf", "raw newline", "bom", "blank lines"],
)
async def test_an_answer_is_one_line_however_it_was_written(tmp_path: Path, body: bytes) -> None:
    async with served(replying(body)) as server:
        line, _ = await one(tmp_path, server, chat("hi"))
    assert line is not None
    assert line["response"]["body"] == completion("two\nlines")


async def test_half_a_character_of_an_answer_costs_no_answer(tmp_path: Path) -> None:
    """A server that cuts its texts between the halves of an emoji, and counts to infinity."""
    body = json.dumps({**completion("cut \ud83d"), "logprob": -math.inf}).encode()
    async with served(replying(body)) as server:
        line, _ = await one(tmp_path, server, chat("hi"))
    assert line is not None
    assert line["response"]["body"] == {**completion("cut \ufffd"), "logprob": None}


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b'{"error": {"message": "Too long", "code": "too_long"}}', 400, "too_long", "Too long"),
        (b'{"error": {"message": "Overloaded"}}', 200, "upstream", "Overloaded"),
        (b"<html><title>Hello</title></html>", 200, "not_a_stream", "not an answer"),
        (b'{"choices": []}', 200, "empty", "no answer: 'choices' is an empty list"),
        (b'{"choices": null}', 200, "not_a_stream", ""),
        (b'["choices"]', 200, "not_a_stream", ""),
        (b'{"choices": [1', 200, "truncated", "the reply broke off: its JSON has no end"),
        (b'["choices", ', 200, "not_a_stream", ""),
        (b"", 200, "empty", "the reply holds no answer: the body is empty"),
        (b" \r\n", 200, "empty", "the reply holds no answer: the body is empty"),
        (b"no JSON", 422, "upstream", "no JSON"),
    ],
)
async def test_what_is_no_answer_fails_with_what_came(
    tmp_path: Path, body: bytes, status: int, code: str, words: str
) -> None:
    async with served(replying(body, status)) as server:
        line, failure = await one(tmp_path, server, chat("hi"))
        assert line is None
    assert failure is not None
    error, response = failure["error"], failure["response"]
    assert error["code"] == code
    assert words in error["message"]
    assert response["status_code"] == status
    if response["body"] is None:
        assert error.get("partial_text", "") == (body.decode() if status < 400 else "")
    else:
        assert response["body"] == json.loads(body)


@pytest.mark.parametrize("body", [b"", b'{"choices": []}', b'{"choices": [{"mess'])
async def test_an_empty_answer_is_asked_again(tmp_path: Path, body: bytes) -> None:
    async def answer(path: str, asked: dict[str, Any]) -> web.Response:
        if len(server.bodies) == 1:
            return web.Response(body=body, content_type="application/json")
        return await repeat(path, asked)

    rows = write_rows(tmp_path / "in.jsonl", [chat("hi")])
    async with served(answer) as server:
        report = await batch.run(rows, tmp_path / "out", server.site(), TWICE)
    assert (report.done, report.requests, report.retries) == (1, 2, 1)


async def test_an_answer_that_broke_off_is_in_the_failure(tmp_path: Path) -> None:
    async with Replica() as replica:
        replica.fault("openai", "cut:200")
        site = Site(f"{replica.url('openai')}/v1", software="openai", model="gpt-4o-mini")
        rows = write_rows(tmp_path / "in.jsonl", [chat("hi")])
        await batch.run(rows, tmp_path / "out", site, TWICE)
    error = failures(tmp_path / "out")["row 0"]["error"]
    assert (error["code"], error["attempts"]) == ("network", 2)
    assert len(error["partial_text"]) == 200


async def test_an_answer_beyond_the_limit(tmp_path: Path) -> None:
    limits = Limits(max_reply_bytes=100)
    body = json.dumps(completion("x" * 1000)).encode()
    async with served(replying(body)) as server:
        _, failure = await one(tmp_path, server, chat("hi"), limits=limits)
    assert failure is not None
    assert (failure["error"]["code"], failure["error"]["attempts"]) == ("limit", 1)
    assert len(failure["error"]["partial_text"]) == 100


# -- other software --------------------------------------------------------------------------------

OTHERS: dict[str, SoftwareName] = {
    "anthropic": "anthropic",
    "gemini": "gemini",
    "ollama": "ollama",
    "ai-power": "wordpress",
    "aipkit": "wordpress",
    "geminiprochat": "geminiprochat",
    "chatgpt-demo": "chatgpt-demo",
}


async def other_site(replica: Replica, name: str) -> Site:
    info = next(each for each in replica.sites if each.name == name)
    software = OTHERS[name]
    if software == "wordpress":
        return Site(info.pages[0].url)
    site = Site(info.url, software=software)
    return site.replace(model=(await site.models())[0]) if software in APIS else site


APIS = ("anthropic", "gemini", "ollama")


@pytest.mark.parametrize("name", OTHERS)
async def test_other_sites_answer_in_the_form_of_openais_api(tmp_path: Path, name: str) -> None:
    bodies = [
        ("/v1/chat/completions", chat("one")),
        ("/v1/responses", {"input": "two"}),
        ("/v1/completions", {"prompt": "three"}),
        ("/v1/embeddings", {"input": "four"}),
        ("/v1/chat/completions", chat("five", functions=[{"name": "f"}])),
        ("/v1/chat/completions", chat("six", n=2)),
        ("/v1/completions", {"prompt": ["seven", "eight", "nine"]}),
    ]
    rows = write_rows(tmp_path / "in.jsonl", bodies)
    async with Replica() as replica:
        site = await other_site(replica, name)
        report = await batch.run(rows, tmp_path / "out", site)
    done, failed = answers(tmp_path / "out"), failures(tmp_path / "out")
    assert (report.done, report.failed, report.retries) == (3, 4, 0)
    chatted, responded, completed = (done[f"row {each}"]["response"]["body"] for each in range(3))
    assert "one" in chatted["choices"][0]["message"]["content"]
    assert "two" in responded["output"][0]["content"][0]["text"]
    assert "three" in completed["choices"][0]["text"]
    assert chatted["usage"]["total_tokens"] > 0
    assert report.usage.total >= chatted["usage"]["total_tokens"]
    assert (report.usage.estimated == 0) != chatted["usage_estimated"]
    assert "openai alone" in failed["row 3"]["error"]["message"]
    assert failed["row 4"]["error"]["code"] == "unsupported_parameter"
    for row, count in (("row 5", 2), ("row 6", 3)):
        assert failed[row]["error"]["code"] == "unsupported_value"
        words = f"a batch gives one answer to a row of this site, and not {count}"
        assert words in failed[row]["error"]["message"]
    assert [each["error"]["attempts"] for each in failed.values()] == [0, 0, 0, 0]


async def test_a_server_that_is_asked_by_responses_answers_chats_too(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", [chat("one"), ("/v1/responses", {"input": "two"})])
    async with Replica() as replica:
        url = f"{replica.url('openai')}/v1"
        site = Site(url, software="openai", model="gpt-4o-mini", api="responses")
        report = await batch.run(rows, tmp_path / "out", site)
        paths = {each.path for each in replica.exchanges}
    assert (report.done, paths) == (2, {"/v1/responses"})
    done = answers(tmp_path / "out")
    assert done["row 0"]["response"]["body"]["object"] == "chat.completion"
    assert done["row 1"]["response"]["body"]["object"] == "response"


async def test_what_has_no_effect_at_a_page_is_told(tmp_path: Path) -> None:
    bodies = [chat("hi", model="gpt-4o", temperature=0.1), chat("hi", temperature=1)]
    rows = write_rows(tmp_path / "in.jsonl", bodies)
    async with Replica() as replica:
        site = Site(replica.page("ai-power", "stream"))
        report = await batch.run(rows, tmp_path / "out", site)
        assert (report.done, report.dropped) == (2, {"model": 1, "temperature": 2})


async def test_a_stop_sequence_ends_the_answer_of_any_site(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", [chat("alpha beta gamma", stop="beta")])
    async with Replica() as replica:
        report = await batch.run(rows, tmp_path / "out", Site(replica.page("ai-power", "stream")))
    assert report.done == 1
    text = answers(tmp_path / "out")["row 0"]["response"]["body"]["choices"][0]["message"][
        "content"
    ]
    assert "alpha" in text
    assert "beta" not in text


async def test_the_text_before_a_streamed_answer_broke_off_is_kept(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", [chat("hi")])
    async with Replica() as replica:
        replica.fault("ai-power", "cut:line")
        site = Site(replica.page("ai-power", "stream"))
        await batch.run(rows, tmp_path / "out", site, TWICE)
    error = failures(tmp_path / "out")["row 0"]["error"]
    assert (error["code"], error["attempts"]) == ("truncated", 2)
    assert error["partial_text"]


# -- what no run begins with -----------------------------------------------------------------------


async def test_a_site_that_is_not_set_up_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", [chat("hi")])
    async with served() as server:
        site = server.site(api_key=Secret(variable="NO_SUCH_VARIABLE_OF_OURS"))
        with pytest.raises((ProfileError, InvalidRequestError), match="NO_SUCH_VARIABLE"):
            await batch.run(rows, tmp_path / "out", site)
        assert server.bodies == []
    assert answers(tmp_path / "out") == failures(tmp_path / "out") == {}
