"""The doctor on healthy sites and on sick ones: the step that fails is named, and nothing after it
is tried.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

import tailrace
from tailrace import errors, sites
from tailrace._environment import Environment
from tailrace.replica import Replica
from tailrace.sites import Diagnosis, Step, last_verdict, site
from tailrace.sites._diagnosis import STEPS
from tailrace.transport import make_transport, read_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path


NOW = 1_800_000_000_000
SECRETS = {"GEM_KEY": "pepper", "GEM_PASSWORD": "open sesame"}


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    async with Replica(shutdown_timeout=0.1, secret="pepper", password="open sesame") as running:
        yield running


@pytest.fixture
def refused() -> Iterator[int]:
    """A port that is taken and refuses every connection."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@asynccontextmanager
async def serving(handler: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, scheme="http" if tls is None else "https")
    await server.start_server(ssl=tls)
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


async def examined(name: str | sites.Site, **options: Any) -> Diagnosis:
    return await tailrace.doctor(name, keep=False, **options)


def verdicts(found: Diagnosis) -> dict[str, str]:
    assert [step.name for step in found.steps] == list(STEPS)
    return {step.name: step.verdict for step in found.steps}


def signed(
    replica: Replica, folder: Path, environ: Mapping[str, str], software: str = "geminiprochat"
) -> sites.Site:
    (folder / "tailrace.toml").write_text(
        f"""
        [sites.gem]
        url = "{replica.url(software)}"
        software = "{software}"
        secret_key_env = "GEM_KEY"
        password_env = "GEM_PASSWORD"
        """
    )
    return site("gem", environ=environ, folder=folder, user_folder=folder / "none", trust=True)


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("ai-power", "two"),
        ("ai-power", "json"),
        ("ai-power-1.8.79", "stream"),
        ("aipkit", "inline"),
    ],
)
async def test_a_healthy_wordpress_site(replica: Replica, name: str, page: str) -> None:
    found = await examined(replica.page(name, page))
    assert verdicts(found) == {step: "skipped" if step == "tls" else "ok" for step in STEPS}
    assert (found.failed, found.error, found.answered) == (None, None, True)
    assert found.steps[-1].detail.startswith("done, ")
    assert [step.advice for step in found.steps] == [None] * len(STEPS)


@pytest.mark.parametrize("software", ["geminiprochat", "chatgpt-demo"])
async def test_a_healthy_signed_site(replica: Replica, tmp_path: Path, software: str) -> None:
    found = await examined(signed(replica, tmp_path, SECRETS, software))
    assert found.software == software
    without = {"tls", "widget", "nonce"}
    assert verdicts(found) == {step: "skipped" if step in without else "ok" for step in STEPS}
    assert found.answered


async def test_a_healthy_server_of_openais_kind(replica: Replica) -> None:
    found = await examined(replica.url("openai") + "/v1", software="openai", model="gpt-4o")
    without = {"tls", "page", "challenge", "widget", "nonce"}
    assert verdicts(found) == {step: "skipped" if step in without else "ok" for step in STEPS}


async def test_without_a_message_nothing_is_posted(replica: Replica) -> None:
    found = await examined(replica.page("ai-power", "stream"), post=False)
    asked = {"tls", "post", "first delta", "end"}
    assert verdicts(found) == {step: "skipped" if step in asked else "ok" for step in STEPS}
    assert (found.error, found.answered) == (None, False)
    assert [each.method for each in replica.exchanges] == ["GET"]


async def test_one_short_message_is_sent(replica: Replica) -> None:
    await examined(replica.page("ai-power", "stream"))
    await examined(replica.page("ai-power", "stream"), message="hi")
    forms = [each.form for each in replica.exchanges if each.method == "POST"]
    assert [form and form["message"] for form in forms] == ["Say hello in one word.", "hi"]


# -- sick sites ------------------------------------------------------------------------------------


def failed(found: Diagnosis, name: str) -> Step:
    """The step that failed, this one: those before went well, none after it was tried."""
    seen = verdicts(found)
    place = STEPS.index(name)
    assert {seen[step] for step in STEPS[:place]} <= {"ok", "skipped"}
    assert seen[name] == "failed"
    assert [step.detail for step in found.steps[place + 1 :]] == ["not reached"] * (
        len(STEPS) - place - 1
    )
    assert not found.answered
    step = found.failed
    assert step is not None
    assert step.advice
    assert step.detail == str(found.error)
    return step


async def test_a_name_that_can_be_none() -> None:
    found = await examined(f"http://{'x' * 64}.invalid/")
    assert failed(found, "dns").detail.endswith("was not found: there is no such name")
    assert isinstance(found.error, errors.ConnectError)


async def test_a_closed_port(refused: int) -> None:
    found = await examined(f"http://127.0.0.1:{refused}/")
    assert "connection refused" in failed(found, "tcp").detail
    assert isinstance(found.error, errors.ConnectError)


async def test_a_proxy_that_is_not_there(replica: Replica, refused: int) -> None:
    found = await examined(
        replica.url("ai-power"), proxy=f"http://user:hunter2@127.0.0.1:{refused}"
    )
    assert "the proxy" in failed(found, "tcp").detail
    assert isinstance(found.error, errors.ProxyError)
    assert "hunter2" not in repr(found)
    assert len(replica.exchanges) == 0


async def test_a_certificate_nobody_knows() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)

    async def page(_request: web.Request) -> web.Response:
        return web.Response()

    async with serving(page, tls) as url:
        found = await examined(url)
    assert "certificate" in failed(found, "tls").detail
    assert isinstance(found.error, errors.TLSError)


async def test_tls_to_what_speaks_none(replica: Replica) -> None:
    found = await examined(replica.url("ai-power").replace("http:", "https:"))
    failed(found, "tls")
    assert isinstance(found.error, errors.TLSError)


async def test_a_page_that_is_not_there(replica: Replica) -> None:
    found = await examined(replica.url("ai-power") + "/nothing/")
    assert "HTTP 404" in failed(found, "page").detail


async def test_a_page_that_never_comes() -> None:
    leave = asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        await leave.wait()
        return web.Response()

    async with serving(silent) as url:
        found = await examined(url, timeout=0.3)
        leave.set()
    assert "first byte timeout after 0.3 s" in failed(found, "page").detail
    assert isinstance(found.error, errors.TimeoutError)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("<title>Just a moment...</title><form id='challenge-form'></form>", {}),
        ("x", {"cf-mitigated": "challenge"}),
    ],
)
async def test_a_challenge(body: str, headers: dict[str, str]) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="text/html", status=403, headers=headers)

    async with serving(page) as url:
        found = await examined(url)
    failed(found, "challenge")
    assert isinstance(found.error, errors.ChallengeError)


async def test_a_page_without_a_chat(replica: Replica) -> None:
    found = await examined(replica.page("ai-power", "no-chat"))
    assert "this page shows no chat" in failed(found, "widget").detail
    assert [each.method for each in replica.exchanges] == ["GET"]


async def test_a_bot_that_is_not_there(replica: Replica) -> None:
    other = site(replica.page("ai-power", "two")).replace(bot="17")
    assert "17" in failed(await examined(other), "widget").detail


async def test_a_bot_by_its_name(replica: Replica) -> None:
    page = site(replica.page("aipkit", "two"))
    found = await examined(page.replace(bot_name="Popup pilot"))
    assert found.answered
    assert "bot 6, popup" in next(step.detail for step in found.steps if step.name == "widget")
    assert "Nobody" in failed(await examined(page.replace(bot_name="Nobody")), "widget").detail


async def test_an_endpoint_that_nobody_names_is_called_a_guess() -> None:
    async def page(_request: web.Request) -> web.Response:
        text = "<div class=wpaicg-chat-shortcode data-nonce=abcdef0123 data-post-id=7></div>"
        return web.Response(text=text, content_type="text/html")

    async with serving(page) as url:
        found = await examined(url)
    (widget,) = (step for step in found.steps if step.name == "widget")
    guess = f"{url}wp-admin/admin-ajax.php is a guess, since the page names no endpoint"
    assert guess in widget.detail
    assert guess in failed(found, "first delta").detail


@pytest.mark.parametrize(
    "attributes", ["data-post-id=7", "data-nonce='' data-post-id=7", "data-nonce=abcdef0123"]
)
async def test_a_chat_without_its_tokens(attributes: str) -> None:
    async def page(_request: web.Request) -> web.Response:
        text = f"<div class='wpaicg-chat-shortcode' data-bot-id=3 {attributes}></div>"
        return web.Response(text=text, content_type="text/html")

    async with serving(page) as url:
        found = await examined(url)
    failed(found, "nonce")
    assert isinstance(found.error, errors.TokenNotFoundError)
    assert "abcdef0123" not in repr(found)


async def test_a_page_cache_that_serves_an_expired_nonce(replica: Replica) -> None:
    async with make_transport() as transport, transport.session() as session:
        stale = await read_all(
            await session.get(replica.page("ai-power", "stream")), max_bytes=2**20
        )
    (nonce,) = {widget.nonce for widget in tailrace.scan_page(stale).widgets}
    replica.expire_nonces("ai-power")

    origin = replica.url("ai-power").removeprefix("http://").encode()

    async def cached(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":  # the cache keeps pages alone
            async with (
                ClientSession() as site,
                site.post(
                    replica.url("ai-power") + request.path, data=await request.post()
                ) as reply,
            ):
                return web.Response(
                    body=await reply.read(), status=reply.status, content_type="text/html"
                )
        page = stale.replace(origin, request.host.encode())
        return web.Response(body=page, content_type="text/html")

    async with serving(cached) as url:
        found = await examined(url)
    step = failed(found, "nonce")
    assert isinstance(found.error, errors.NonceRefusedError)
    assert "caching" in (step.advice or "")
    assert nonce not in repr(found)


@pytest.mark.parametrize(
    ("place", "word", "step", "says"),
    [
        ("ai-power stream", "maintenance", "post", "HTTP 503"),
        ("ai-power stream", "fatal", "post", "HTTP 500"),
        ("ai-power stream", "upstream-401", "first delta", "was not accepted"),
        ("ai-power stream", "token-limit", "first delta", "Your share is used up"),
        ("ai-power json", "empty", "first delta", "no answer"),
        ("ai-power stream", "cut", "end", "broke off"),
        ("aipkit inline", "upstream-401", "first delta", ""),
        ("aipkit inline", "quota", "first delta", ""),
        ("aipkit inline", "cut", "end", ""),
    ],
)
async def test_an_answer_that_does_not_come_whole(
    replica: Replica, place: str, word: str, step: str, says: str
) -> None:
    found = await examined(replica.page(*place.split()), message=f"[[{word}]]")
    assert says in failed(found, step).detail


@pytest.mark.parametrize(
    ("fault", "step", "kind"),
    [
        ("cached-page", "nonce", errors.NonceRefusedError),
        ("challenge:header", "post", errors.ChallengeError),
        ("429", "post", errors.RateLimitError),
        ("503", "post", errors.ResponseStatusError),
        ("redirect:host", "post", errors.RedirectError),
        ("endless-line", "end", errors.LimitExceeded),
        ("cut", "end", errors.StreamError),
        ("reset", "end", errors.StreamError),
    ],
)
async def test_every_fault_has_its_step(
    replica: Replica, fault: str, step: str, kind: type[Exception]
) -> None:
    replica.fault("ai-power", fault)
    found = await examined(replica.page("ai-power", "stream"))
    failed(found, step)
    assert isinstance(found.error, kind)


@pytest.mark.parametrize(
    ("fault", "step", "advises"),
    [
        ("guard:post", "post", "admin-ajax.php to this client"),
        ("guard:get@answer", "post", "admin-ajax.php to this client"),
        ("guard@page", "page", "the page to this client"),
        ("redirect:login", "post", "hides wp-admin"),
        ("redirect:login@page", "page", "visitors must be logged in"),
        ("503@page", "page", "wait and try again"),
        ("basic-auth", "page", "https://user:password@"),
        ("basic-auth@answer", "post", "https://user:password@"),
        ("json-page:always", "widget", "is answered with data"),
        ("plugin-off", "widget", "the chat plugin is off"),
        ("empty:post", "post", "did not take the message"),
        ("empty:get@answer", "first delta", "look at the model"),
    ],
)
async def test_what_guards_and_neighbours_do_to_a_message_in_two_steps(
    replica: Replica, fault: str, step: str, advises: str
) -> None:
    replica.fault("aipkit", fault)
    found = await examined(replica.page("aipkit", "inline"))
    assert advises in (failed(found, step).advice or "")


@pytest.mark.parametrize(
    ("word", "advises"),
    [
        ("no-key", "the site's own key or settings"),
        ("quota-0", "this visitor (banned, over a limit)"),
        ("ip-banned", "this visitor (banned, over a limit)"),
        ("banned", "the message, or the bot's settings"),
        ("upstream-401", "look at the model behind it"),
    ],
)
async def test_who_refuses_before_the_first_delta(
    replica: Replica, word: str, advises: str
) -> None:
    found = await examined(replica.page("aipkit", "inline"), message=f"[[{word}]]")
    assert advises in (failed(found, "first delta").advice or "")


@pytest.mark.parametrize("fault", ["cookie-guard", "subfolder"])
async def test_a_site_that_wants_its_visitors_way_is_healthy(replica: Replica, fault: str) -> None:
    for name, page in (("ai-power", "stream"), ("aipkit", "inline")):
        assert (await examined(replica.page(name, page, fault))).answered


@pytest.mark.parametrize(
    "fault", ["stale-nonce", "notices", "bom", "crlf", "content-type", "gzip", "br", "http-1.0"]
)
async def test_what_a_provider_recovers_from_is_no_failure(replica: Replica, fault: str) -> None:
    replica.fault("ai-power", fault)
    assert (await examined(replica.page("ai-power", "stream"))).answered


async def test_a_first_step_that_only_drips_is_silence(replica: Replica) -> None:
    replica.fault("aipkit", "endless-comments")
    found = await examined(replica.page("aipkit", "inline"), timeout=0.3)
    assert isinstance(found.error, errors.TimeoutError)
    assert found.error.phase == "idle"


async def test_a_page_that_drips_ends_with_the_total_clock() -> None:
    leave = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        with suppress(TimeoutError, ConnectionError):
            while not leave.is_set():
                await response.write(b" ")
                with suppress(TimeoutError):
                    await asyncio.wait_for(leave.wait(), 0.02)
        return response

    async with serving(drip) as url:
        found = await examined(url, timeout=0.3)
        leave.set()
    assert "total timeout after 3 s" in failed(found, "page").detail


async def test_an_answer_that_never_comes(replica: Replica) -> None:
    found = await examined(replica.page("ai-power", "stream"), message="[[silent]]", timeout=0.3)
    assert "first byte timeout" in failed(found, "post").detail
    found = await examined(replica.page("ai-power", "stream"), message="[[stall]]", timeout=0.3)
    assert "idle timeout" in failed(found, "end").detail


async def test_a_missing_password_is_told_with_the_setting_for_it(
    replica: Replica, tmp_path: Path
) -> None:
    found = await examined(replica.url("geminiprochat"), software="geminiprochat")
    assert "password_env" in (failed(found, "post").advice or "")
    assert isinstance(found.error, errors.MissingAuthError)
    with pytest.raises(errors.ProfileError, match="GEM_PASSWORD is not set"):
        await examined(signed(replica, tmp_path, {"GEM_KEY": "pepper"}))


async def test_a_server_that_wants_a_models_name(replica: Replica) -> None:
    found = await examined(replica.url("geminiprochat"), software="openai")
    assert "wants a model's name" in failed(found, "post").detail
    assert isinstance(found.error, errors.InvalidRequestError)
    found = await examined(replica.url("geminiprochat"), software="openai", model="m")
    assert "HTTP 404" in failed(found, "post").detail


# -- what it tells, and what it keeps --------------------------------------------------------------


async def test_each_step_is_told_as_it_ends_with_its_time(replica: Replica) -> None:
    told: list[Step] = []
    ticks = count()
    found = await examined(
        replica.page("ai-power", "stream"),
        on_step=told.append,
        clock=lambda: float(next(ticks)),
        environment=Environment(now_ms=lambda: NOW),
    )
    assert tuple(told) == found.steps
    assert found.at == NOW / 1000
    timed = {step.name: step.seconds for step in found.steps}
    assert timed.pop("tls") is None
    assert [timed[name] for name in ("dns", "tcp", "page", "challenge", "widget", "nonce")] == [
        1.0
    ] * 6
    assert timed["post"] == timed["first delta"] == 1.0


async def test_the_verdict_is_kept_with_its_time(
    replica: Replica, refused: int, tmp_path: Path
) -> None:
    page, environment = replica.page("ai-power", "stream"), Environment(now_ms=lambda: NOW)

    async def kept(url: str, **options: Any) -> tuple[str | None, float] | None:
        found = await tailrace.doctor(
            url, state_folder=tmp_path, environment=environment, **options
        )
        verdict = last_verdict(found.site, url, tmp_path)
        return None if verdict is None else (verdict.failed, verdict.at)

    assert await kept(page, post=False) is None  # it has not shown that it answers
    assert (
        await kept(page, proxy=f"http://127.0.0.1:{refused}") is None
    )  # which says nothing of the site
    assert await kept(page, keep=False) is None
    assert await kept(page) == (None, NOW / 1000)
    assert await kept(page, message="[[cut]]") == ("end", NOW / 1000)
    assert await kept(f"http://127.0.0.1:{refused}/") == ("tcp", NOW / 1000)


async def test_a_site_without_its_extra_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "curl_cffi", None)
    with pytest.raises(errors.MissingRequirementsError, match="impersonate"):
        await examined("ChatGptEs")


async def test_a_password_in_the_url_is_neither_shown_nor_kept(
    refused: int, tmp_path: Path
) -> None:
    url = f"http://me:hunter2@127.0.0.1:{refused}/"
    found = await tailrace.doctor(url, state_folder=tmp_path)
    assert "hunter2" not in repr(found)
    assert b"hunter2" not in b"".join(
        file.read_bytes() for file in (tmp_path / "verdicts").iterdir()
    )
    assert last_verdict(found.site, url, tmp_path) is not None


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "5"])
async def test_a_clock_that_is_none_is_refused(seconds: Any) -> None:
    for check in (tailrace.doctor, tailrace.discover):
        with pytest.raises(errors.InvalidRequestError, match="above 0"):
            await check("http://127.0.0.1:1/", timeout=seconds)
