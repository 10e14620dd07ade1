"""A site tested step by step, from its name's look-up to the end of one real answer.

The step that fails is named.

Name, TCP and TLS are tried by hand, since no HTTP client tells them apart in time; the page is
looked at as `discover` does; the message is sent as any call to the site sends it, over a transport
that notes when each request was answered.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from tailrace import errors
from tailrace._calls.token_cache import TokenCache
from tailrace._environment import Environment, running_loop
from tailrace.errors import (
    FIRST_ERROR_STATUS,
    ChallengeError,
    ConnectError,
    StreamError,
    TailraceError,
    TLSError,
    WidgetNotFoundError,
)
from tailrace.providers._ai_engine import SESSION_PATH
from tailrace.sites._advice import Seen, advice_for
from tailrace.sites._discovery import (
    described,
    endpoint_on,
    fetch_page,
    has_ai_engine,
    is_login,
)
from tailrace.sites._registry import as_site
from tailrace.sites._registry import site as site_named
from tailrace.sites._site import Site, for_call, open_stream, sent_secrets
from tailrace.sites._software import SOFTWARE, Software
from tailrace.sites._verdicts import Verdict, store_verdict
from tailrace.transport import Timeouts, make_transport
from tailrace.transport._observed import ObservedTransport
from tailrace.transport._rules import (
    certificate_reason,
    checked_proxy,
    checked_seconds,
    checked_url,
    system_reason,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from tailrace import ChatWidget, Page
    from tailrace._secrecy import SentSecrets
    from tailrace._streams.stream import ChatStream
    from tailrace.providers import ChatProvider
    from tailrace.sites._discovery import FetchedPage
    from tailrace.sites._software import SoftwareName
    from tailrace.transport import Session, Transport
    from tailrace.transport._observed import ObservedRequest

T = TypeVar("T")

__all__ = ["MESSAGE", "PATIENCE", "STEPS", "Diagnosis", "Step", "doctor"]

MESSAGE = "Say hello in one word."
"""The default message of the doctor: short, so that it costs the site little."""

PATIENCE = 10
"""The time of the whole page and of the whole answer, in multiples of a step's clock: bytes that
arrive one by one are no silence.
"""

STEPS = ("dns", "tcp", "tls", "page", "challenge", "widget", "nonce", "post", "first delta", "end")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a diagnosis.

    `name`: one of ``dns``, ``tcp``, ``tls``, ``page``, ``challenge``, ``widget``, ``nonce``,
    ``post``, ``first delta`` and ``end``. `verdict`: ``skipped`` where the site has no such thing,
    an earlier step failed, or the caller left the step out. `seconds`: how long the step took, None
    where it took none. `detail`: the finding, in words; `advice`: a remedy for a failure.
    """

    name: str
    verdict: Literal["ok", "failed", "skipped"]
    seconds: float | None
    detail: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of a diagnosis: all `steps`, in order.

    `site`: the site's name; `url`: its URL, without a password; `software`: the software it runs.
    `at`: when the first step began, in seconds since 1970; `error`: the failure of the failed step,
    None where none failed.
    """

    site: str
    url: str
    software: SoftwareName
    at: float
    steps: tuple[Step, ...]
    error: TailraceError | None = field(default=None, repr=False)

    @property
    def failed(self) -> Step | None:
        """The step that failed; None where none did."""
        return next((step for step in self.steps if step.verdict == "failed"), None)

    @property
    def answered(self) -> bool:
        """Whether a whole answer came."""
        return self.steps[-1].verdict == "ok"


async def doctor(
    site: str | Site | type[ChatProvider],
    *,
    software: SoftwareName | None = None,
    post: bool = True,
    message: str = MESSAGE,
    model: str = "",
    proxy: str | None = None,
    timeout: float = 30.0,  # noqa: ASYNC109 - the clock of each step
    on_step: Callable[[Step], None] | None = None,
    keep: bool = True,
    state_folder: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    environment: Environment | None = None,
) -> Diagnosis:
    """Test a site step by step; the site's model answers one short message.

    `site`: a `Site`, a provider class, or what `tailrace.site` takes, with `software` for a URL.
    `post` false stops before the `message`; `model`: the model that answers, empty for the site's
    default; `proxy`: URL of a proxy for every connection. `timeout`: seconds for each step; for the
    page and the answer, for the first byte and each silence, and `PATIENCE` times that for the
    whole. `on_step` is called with each step as soon as it is over. A verdict on the site is kept
    in `state_folder` (None: the user's) unless `keep` is false. `clock` returns seconds that never
    go back; `environment`: wall clock, randomness and variables, the process's own unless given.

    Raises all that `tailrace.site` raises, InvalidRequestError for a wrong `timeout` and outside of
    asyncio, and MissingRequirementsError; whatever the site does is in the result.
    """
    running_loop()
    if checked_seconds("timeout", timeout) is None:
        raise errors.InvalidRequestError(
            "timeout must be a number of seconds above 0: a diagnosis has to end"
        )
    named = site_named(site, software) if isinstance(site, str) else as_site(site)
    options: dict[str, Any] = {
        "timeout": timeout,
        "connect_timeout": timeout,
        "total_timeout": timeout * PATIENCE,
        "proxy": proxy,
        "retry": None,  # the first failure is the result
        "environment": Environment() if environment is None else environment,
    }
    examined = for_call(named, options)
    async with AsyncExitStack() as stack:
        examination = _Examination(examined, stack, clock, _Question(post, message, model))
        at = options["environment"].now_ms() / 1000
        steps = [step async for step in examination.steps(on_step)]
    url = checked_url(examined.url).url  # without a password
    diagnosis = Diagnosis(
        examined.name, url, examined.software, at, tuple(steps), examination.error
    )
    if keep and (diagnosis.answered or _is_the_sites(diagnosis.error)):
        failed = None if diagnosis.failed is None else diagnosis.failed.name
        store_verdict(
            Verdict(site=diagnosis.site, url=diagnosis.url, failed=failed, at=at), state_folder
        )
    return diagnosis


def _is_the_sites(error: TailraceError | None) -> bool:
    """Tell whether the site caused a failure: not one by a wrong option or a broken proxy."""
    if isinstance(error, errors.ModelNotServedError):  # its own word, and no option's form
        return True
    return error is not None and not isinstance(
        error, errors.InvalidRequestError | errors.ProxyError
    )


@dataclass(frozen=True, slots=True)
class _Question:
    post: bool
    message: str = field(repr=False)
    model: str


@dataclass(frozen=True, slots=True)
class _Fine:
    """A step that went well; `seconds`: its length, None for the time from its begin to its end."""

    detail: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Skipped:
    why: str


class _Examination:
    """The steps of one diagnosis, in order: the findings of one are used by those after it.

    Everything opened is closed by `stack`.
    """

    def __init__(
        self,
        site: Site,
        stack: AsyncExitStack,
        clock: Callable[[], float],
        question: _Question,
    ) -> None:
        self.error: TailraceError | None = None
        self._site = site
        self._software: Software = SOFTWARE[site.software]
        self._stack = stack
        self._clock = clock
        self._question = question
        self._seconds: float = site.timeout or 0.0
        self._connections = _transport(site, stack)
        self._observed = ObservedTransport(self._connections, clock)
        self._writer: asyncio.StreamWriter | None = None
        self._fetched: FetchedPage | None = None
        self._widget_found: ChatWidget | None = None
        self._challenge: ChallengeError | None = None
        self._stream: ChatStream | None = None
        self._failure: TailraceError | None = None
        self._plugin_is_there = False
        self._first_delta_at = 0.0
        self._characters = 0

    async def steps(self, on_step: Callable[[Step], None] | None) -> AsyncIterator[Step]:
        """Yield each step, and call `on_step` with it."""
        examined: dict[str, Callable[[], Awaitable[_Fine | _Skipped]]] = {
            "dns": self._dns,
            "tcp": self._tcp,
            "tls": self._tls,
            "page": self._page,
            "challenge": self._no_challenge,
            "widget": self._widget,
            "nonce": self._nonce,
            "post": self._post,
            "first delta": self._first_delta,
            "end": self._end,
        }
        for name in STEPS:
            step = await self._step(name, examined[name])
            if on_step is not None:
                on_step(step)
            yield step

    async def _step(self, name: str, examine: Callable[[], Awaitable[_Fine | _Skipped]]) -> Step:
        if self.error is not None:
            return Step(name, "skipped", None, "not reached")
        begun = self._clock()
        try:
            outcome = await examine()
        except TailraceError as error:
            self.error = self._secrets().out_of_error(error)
            advice = advice_for(name, error, self._seen(error))
            advice = advice and self._secrets().out_of(advice)
            return Step(name, "failed", self._clock() - begun, str(error), advice)
        if isinstance(outcome, _Skipped):
            return Step(name, "skipped", None, outcome.why)
        seconds = self._clock() - begun if outcome.seconds is None else outcome.seconds
        return Step(name, "ok", seconds, outcome.detail)

    def _secrets(self) -> SentSecrets:
        """Return what the site is sent as a secret; `for_call` has read every Secret."""
        return sent_secrets([self._site], {})

    def _seen(self, error: TailraceError) -> Seen:
        """Return what is known of the site when a step fails with `error`."""
        sent, fetched = self._observed.sent, self._fetched
        return Seen(
            "ai-engine" if self._is_ai_engine else self._site.software,
            page_url="" if fetched is None else fetched.url,
            headers=sent[-1].headers if sent else {} if fetched is None else fetched.headers,
            shortcode=None if fetched is None else fetched.shortcode,
            api=None if fetched is None else fetched.api,
            first_step=self._failed_first_step,
            model_asked=self._model_asked(error),
            names_plugin=self._plugin_is_there,
        )

    @property
    def _is_ai_engine(self) -> bool:
        """Whether the bot that answers is one of AI Engine."""
        widget = self._widget_found
        return widget is not None and widget.kind == "ai-engine"

    @property
    def _messages_sent(self) -> list[ObservedRequest]:
        """The requests that sent a message, and what followed; of AI Engine the messages alone."""
        sent = [each for each in self._observed.sent if not each.url.endswith(SESSION_PATH)]
        first = next((number for number, each in enumerate(sent) if each.method == "POST"), None)
        following = [] if first is None else sent[first:]
        return [each for each in following if each.method == "POST" or not self._is_ai_engine]

    @property
    def _failed_first_step(self) -> bool:
        """Whether the first of AIPKit's two steps failed: nothing but a message was sent."""
        widget, sent = self._widget_found, self._observed.sent
        if widget is None or widget.kind != "aipkit" or widget.streams is False or not sent:
            return False
        return self._failure is not None and sent[-1].method == "POST"

    def _model_asked(self, error: TailraceError) -> bool | None:
        """Tell whether the plugin asked its model before `error`; None where that is unknown.

        AIPKit begins the stream of an answer with its id once it asks. Up to 2.2 a bot that streams
        refuses with JSON, and both kinds of bot with a flag.
        """
        widget, stream = self._widget_found, self._stream
        if widget is None or not isinstance(error, StreamError) or error.kind != "upstream":
            return None
        if widget.kind == "aipkit":
            if widget.streams is False or self._failed_first_step:
                return None
            return stream is not None and "message_id" in stream.ids
        if widget.kind == "ai-engine":
            return False if error.code in _REFUSALS_OF_AI_ENGINE else None
        if error.code in _REFUSALS:
            return False
        sent = self._observed.sent
        kind = sent[-1].headers.get("content-type", "") if sent else ""
        return False if widget.streams and kind.startswith("application/json") else None

    # -- the way to the site -----------------------------------------------------------------------

    @property
    def _proxy(self) -> str | None:
        proxy = self._site.proxy
        return proxy if isinstance(proxy, str) else None  # `for_call` has read every Secret

    @property
    def _names_a_bot(self) -> bool:
        return self._site.bot is not None or self._site.bot_name is not None

    def _peer(self) -> tuple[str, int, str]:
        """Return host, port, and ``the proxy `` or an empty string.

        Host and port are the proxy's where there is one, since the connection is to the proxy.
        """
        proxy = checked_proxy(self._proxy)
        if proxy is not None:
            return proxy.host, proxy.port, "the proxy "
        parts = urlsplit(checked_url(self._site.url).url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), ""

    async def _dns(self) -> _Fine:
        host, port, whose = self._peer()
        look_up = asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        try:
            entries = await self._within(look_up)
        except (OSError, UnicodeError):  # UnicodeError for a malformed name
            entries = []
        if not entries:
            raise ConnectError(f"{whose}{host} was not found: there is no such name")
        addresses = list(dict.fromkeys(str(each[4][0]) for each in entries))
        more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
        return _Fine(
            f"{whose}{host} is {addresses[0]}{more}" if host != addresses[0] else f"{whose}{host}"
        )

    async def _tcp(self) -> _Fine:
        host, port, whose = self._peer()
        refused: OSError | None = None
        try:
            _, self._writer = await self._within(asyncio.open_connection(host, port))
        except OSError as error:
            refused = error
        if self._writer is None:
            why = (
                system_reason(refused.errno)
                if refused is not None and refused.errno
                else "no address answers"
            )
            kind = errors.ProxyError if whose else ConnectError
            raise kind(f"{whose}{host} port {port} could not be reached: {why}")
        self._stack.push_async_callback(_close, self._writer)
        return _Fine(f"port {port}")

    async def _tls(self) -> _Fine | _Skipped:
        parts = urlsplit(checked_url(self._site.url).url)
        if self._proxy:
            return _Skipped("through the proxy: seen with the page")
        if parts.scheme != "https" or self._writer is None:
            return _Skipped("the URL is http")
        why = ""
        try:
            await self._within(
                self._writer.start_tls(ssl.create_default_context(), server_hostname=parts.hostname)
            )
        except ssl.SSLCertVerificationError as error:
            why = certificate_reason(error)
        except ssl.SSLError as error:
            why = (error.reason or "the handshake failed").replace("_", " ").lower()
        except OSError as error:
            why = system_reason(error.errno) if error.errno else "the connection broke"
        if why:
            raise TLSError(f"TLS with {parts.hostname} failed: {why}")
        until = self._writer.get_extra_info("peercert", {}).get("notAfter", "no date")
        return _Fine(
            f"{self._writer.get_extra_info('ssl_object').version()}, certificate good until {until}"
        )

    async def _within(self, work: Awaitable[T], times: int = 1) -> T:
        """Wait for `work` under the step's clock, `times` as long as usual."""
        seconds = self._seconds * times
        try:
            async with asyncio.timeout(seconds) as running:
                return await work
        except TimeoutError:
            if not running.expired():
                raise  # the system's own, an OSError
        raise errors.TimeoutError("connect" if times == 1 else "total", seconds)

    # -- the page ----------------------------------------------------------------------------------

    async def _page(self) -> _Fine | _Skipped:
        if not self._software.has_page:
            return _Skipped(f"{self._software.name} has none")
        async with self._session() as session:
            try:
                fetching = fetch_page(session, self._site.url, idle=self._seconds)
                self._fetched = await self._within(fetching, PATIENCE)
            except ChallengeError as challenge:
                self._challenge = challenge
                return _Fine(f"HTTP {challenge.status}")
        status, page = self._fetched.status, self._fetched.page
        if status >= FIRST_ERROR_STATUS and not page.challenge and self._software.has_tokens:
            title = f", {page.title!r}" if page.title else ""
            message = f"there is an error in the page's place{title}"
            raise errors.reply_error("upstream", message, status)
        return _Fine(f"HTTP {status}")

    def _session(self) -> Session:
        return self._connections.session(
            cookies=_plain(self._site.cookies),
            headers=_plain(self._site.headers),
            proxy=self._proxy,
            timeouts=Timeouts(connect=self._seconds, first_byte=self._seconds, idle=self._seconds),
        )

    async def _no_challenge(self) -> _Fine | _Skipped:
        if self._challenge is not None:
            raise self._challenge
        if self._fetched is None:
            return _Skipped("there is no page")
        if self._fetched.page.challenge:
            raise ChallengeError(status=self._fetched.status)
        return _Fine("none")

    async def _widget(self) -> _Fine | _Skipped:
        fetched = self._fetched
        if fetched is None or not self._software.has_tokens:
            return _Skipped(f"{self._software.name} needs none")
        discovery = described(fetched)
        if discovery.software is None:
            await self._look_for_plugin(fetched)
            raise WidgetNotFoundError("; ".join(discovery.problems))
        release = f"; {discovery.release}" if discovery.release else ""
        if not fetched.page.widgets:
            return _Fine(f"none, but tokens of an older theme{release}")
        widget = self._widget_found = self._widget_of(fetched.page)
        endpoint = endpoint_on(fetched, widget, self._site.endpoint)
        guess = f"; {endpoint.url} is a guess, since the page names no endpoint"
        bot_id = widget.bot_id or widget.custom_id
        return _Fine(
            f"bot {bot_id}, {widget.placement}, {len(discovery.bots)} on the page"
            f"{release}{guess if endpoint.is_guess else ''}"
        )

    def _widget_of(self, page: Page) -> ChatWidget:
        """Return the bot that the site's calls name, else the first of the page."""
        kind: Any = "ai-engine" if self._software.name == "ai-engine" else None
        return page.widget(self._site.bot, self._site.bot_name, kind)

    async def _look_for_plugin(self, fetched: FetchedPage) -> None:
        """Ask the site's REST API whether AI Engine is there, which a page without a bot hides."""
        if fetched.plugin or fetched.shortcode or fetched.missing_bot or fetched.other_type:
            return  # the page says itself why
        if fetched.api or is_login(fetched.url):
            return
        with suppress(TailraceError):
            async with self._session() as session:
                self._plugin_is_there = await self._within(has_ai_engine(session, fetched))

    # -- one real answer ---------------------------------------------------------------------------

    async def _nonce(self) -> _Fine | _Skipped:
        """Check the nonce that the page shows, and send the message.

        Only the reply to a message shows whether the nonce is valid.
        """
        begun = self._clock()
        wanted = self._fetched is not None and self._software.has_tokens
        if wanted and self._fetched is not None:
            self._check_nonce(self._fetched.page)
        seconds = self._clock() - begun
        if self._question.post:
            await self._send_message()
        no_session = self._is_ai_engine and not self._messages_sent
        if isinstance(self._failure, errors.NonceRefusedError) or (self._failure and no_session):
            raise self._failure
        if not wanted:
            return _Skipped(f"{self._software.name} has none")
        taken = self._question.post and self._failure is None
        widget = self._widget_found
        if widget is not None and self._is_ai_engine and not widget.nonce:
            return _Fine(self._session_words(taken=taken), seconds)
        return _Fine("the site takes it" if taken else "the page shows one", seconds)

    def _session_words(self, *, taken: bool) -> str:
        """Return what became of the nonce that AI Engine gives when it is asked."""
        sessions = [each for each in self._observed.sent if each.url.endswith(SESSION_PATH)]
        if not sessions:
            return "the site gives one if it is asked"
        if sessions[-1].status == _NOT_FOUND:
            return "the site wants none" if taken else "the site gives none"
        return "the site gives one, and takes it" if taken else "the site gives one"

    def _check_nonce(self, page: Page) -> None:
        """Raise the problem with the tokens of the page, or of the bot that calls name."""
        if self._is_ai_engine:
            return  # the site itself gives it, or it stands in the bot's element
        _ = page.tokens
        if page.widgets and self._names_a_bot and not self._widget_of(page).nonce:
            raise errors.TokenNotFoundError("missing_nonce")

    async def _send_message(self) -> None:
        """Send the message and wait for its first delta; a failure is kept for a later step."""
        try:
            options: dict[str, Any] = {"transport": self._observed}
            if self._software.has_tokens:
                options["token_cache"] = TokenCache()
            self._stream = open_stream(
                self._site,
                [{"role": "user", "content": self._question.message}],
                options,
                model=self._question.model,
            )
            await self._stack.enter_async_context(self._stream)
            self._characters = len("".join(await self._stream.read()))
            self._first_delta_at = self._clock()
        except TailraceError as error:
            self._failure = error

    async def _post(self) -> _Fine | _Skipped:
        if not self._question.post:
            return _Skipped("not asked for")
        sent = self._messages_sent
        last = sent[-1] if sent else None
        if (
            last is None
            or last.answered is None
            or (last.status or 0) >= FIRST_ERROR_STATUS
            or self._failed_first_step
        ):
            raise self._failure or StreamError("empty", "no message was sent")
        return _Fine(f"HTTP {last.status}", last.answered - sent[0].begun)

    async def _first_delta(self) -> _Fine | _Skipped:
        if not self._question.post:
            return _Skipped("not asked for")
        if self._failure is not None:
            raise self._failure
        if not self._characters:
            raise StreamError("empty", "the reply ended without any text")
        answered = self._observed.sent[-1].answered or self._first_delta_at
        return _Fine(f"{self._characters} characters", self._first_delta_at - answered)

    async def _end(self) -> _Fine | _Skipped:
        if self._stream is None:
            return _Skipped("not asked for")
        while deltas := await self._stream.read():
            self._characters += len("".join(deltas))
        reason = self._stream.finish_reason
        why = "" if reason in (None, "stop") else f", finish reason {reason}"
        return _Fine(f"{self._stream.end}, {self._characters} characters{why}")


_NOT_FOUND = 404
_REFUSALS = frozenset({"messageFlagged", "ipBanned", "modflag"})
"""The flags by which the plugin up to 2.2 refuses a message or a visitor."""

_REFUSALS_OF_AI_ENGINE = frozenset(
    {
        "query_rejected",
        "query_banned",
        "query_unauthorized",
        "message_moderated",
        "not_set_up",
        "rest_forbidden",
    }
)
"""The codes with which AI Engine, or WordPress for it, asks no model."""


def _transport(site: Site, stack: AsyncExitStack) -> Transport:
    """Return the site's own connections, or others of its kind that `stack` closes."""
    if not isinstance(site.transport, str):
        return site.transport
    made = make_transport(site.transport)
    stack.push_async_callback(made.aclose)
    return made


def _plain(values: Any) -> Mapping[str, str] | None:
    """Return headers or cookies of a site whose secrets have been read; None for none."""
    return values or None


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
