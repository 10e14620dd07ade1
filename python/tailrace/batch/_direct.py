"""Servers of OpenAI's API: a row's body is sent as it is, and the answer is kept as it came.

Nothing is decoded but what a run must know: that it is an answer, and its usage.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace._messages import browser_text
from tailrace._over_fleet import FleetPosts
from tailrace.batch._asking import (
    Answer,
    FailedRow,
    Models,
    Prepared,
    RefusedRow,
    Used,
    read_row,
    with_fields,
)
from tailrace.batch._fleet_posting import FleetPoster
from tailrace.errors import FIRST_ERROR_STATUS, StreamError, TailraceError, reply_error
from tailrace.providers._api import below, without_ending
from tailrace.providers._base import with_credentials
from tailrace.sites._site import begin_call
from tailrace.transport._rules import merged_headers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AsyncExitStack

    from tailrace._calls.throttling import Throttle
    from tailrace._over_fleet import Engine
    from tailrace.batch._rows import Row
    from tailrace.providers._openai import OpenAICall
    from tailrace.sites import Site
    from tailrace.transport import Poster, WholeReply

__all__ = ["DirectAsker"]

_JSON = "application/json"
_PATHS = {
    "/v1/chat/completions": "/chat/completions",
    "/v1/responses": "/responses",
    "/v1/completions": "/completions",
    "/v1/embeddings": "/embeddings",
}
_MEMBERS = {
    "/v1/chat/completions": "choices",
    "/v1/responses": "output",
    "/v1/completions": "choices",
    "/v1/embeddings": "data",
}
"""The member of an answer's JSON by which it is known."""


class _Whole(msgspec.Struct, gc=False):
    choices: msgspec.Raw = msgspec.Raw(b"")
    output: msgspec.Raw = msgspec.Raw(b"")
    data: msgspec.Raw = msgspec.Raw(b"")
    usage: Any = None
    error: Any = None


_read = msgspec.json.Decoder(_Whole).decode
_FORGIVING = json.JSONDecoder(strict=False)


class DirectAsker:
    """The rows of a site with OpenAI's API, over one head of a request for each endpoint."""

    def __init__(
        self,
        call: OpenAICall,
        models: Models,
        throttle: Throttle | None,
        posts: FleetPosts | None = None,
    ) -> None:
        """Ask over `posts`, or the connections of `call`, neither of which is closed here."""
        self._call = call
        self._posts = posts
        self._models = models
        self._throttle = throttle
        self._posters: dict[str, Poster] = {}
        self._defaults = _defaults(call)

    @classmethod
    async def of(
        cls,
        site: Site,
        models: Models,
        options: Mapping[str, Any],
        stack: AsyncExitStack,
        engine: Engine = "process",
    ) -> DirectAsker:
        """Begin to ask `site`; `options`: those of `Site.stream`. What it opens ends with `stack`.

        `engine`: ``fleet`` for the connections of a fleet. Raises ProfileError or
        InvalidRequestError where the variable of a secret is not set.
        """
        alone = site.replace(throttle=None)  # which the run's one call would hold
        call: Any = await stack.enter_async_context(begin_call(alone, [], options, model=""))
        posts = None
        if engine == "fleet":
            posts = await FleetPosts.of(call.request, stack, keep="body")
        return cls(call, models, site.throttle, posts)

    async def aclose(self) -> None:
        """See `Asker.aclose`."""
        for poster in self._posters.values():
            await poster.aclose()

    def prepare(self, row: Row) -> Prepared:
        """See `Asker.prepare`."""
        read = read_row(row)
        model = self._models.of(read.model)
        defaults = self._defaults if row.endpoint == "/v1/chat/completions" else {}
        if read.most is not None and not defaults.keys().isdisjoint(_MOST):
            defaults = {name: each for name, each in defaults.items() if name not in _MOST}
        body = with_fields(row.body, model, read.model, defaults)
        return Prepared((row.endpoint, body), len(body), read.most, model=model)

    async def ask(self, prepared: Prepared) -> Answer:
        """See `Asker.ask`."""
        endpoint, body = prepared.sends
        poster = self._posters.get(endpoint) or self._poster(endpoint)
        failure: TailraceError
        try:
            if self._throttle is None:
                reply = await poster.post(body)
            else:
                reply = await self._throttled(self._throttle, poster, body)
        except TailraceError as error:
            self._call.conceal(error)
            failure = error
        else:
            return self._read(endpoint, reply)
        raise FailedRow(failure)

    async def _throttled(self, throttle: Throttle, poster: Poster, body: bytes) -> WholeReply:
        gate = throttle.gate()
        await gate.enter()
        try:
            return await poster.post(body)
        finally:
            gate.leave()

    def _poster(self, endpoint: str) -> Poster:
        request = self._call.request
        base = without_ending(request.endpoint or request.url, *_PATHS.values())
        url = with_credentials(below(base, _PATHS[endpoint]), request.url)
        own = {"Content-Type": _JSON, "Accept": _JSON, **self._call.headers()}
        headers = merged_headers(request.headers or {}, own)
        poster = self._posters[endpoint] = self._made_poster(url, headers)
        return poster

    def _made_poster(self, url: str, headers: Mapping[str, str]) -> Poster:
        if self._posts is not None:
            return FleetPoster(self._posts, url, headers)
        request = self._call.request
        transport = request.transport
        if isinstance(transport, str):
            raise TypeError("the run makes the transport")
        return transport.poster(
            url,
            headers=headers,
            cookies=request.cookies,
            proxy=request.proxy,
            timeouts=request.timeouts,
            limits=request.limits,
        )

    # -- reading an answer -------------------------------------------------------------------------

    def _read(self, endpoint: str, reply: WholeReply) -> Answer:
        body = reply.body
        if reply.status < FIRST_ERROR_STATUS and reply.failure is None:
            read = _whole(body)
            if read is not None:
                body, answer = read
                if not answer.error and _holds(getattr(answer, _MEMBERS[endpoint])):
                    return Answer(reply.status, _id(reply), body, _used(answer.usage))
        failed = self._failed(endpoint, reply)
        if isinstance(failed.error, StreamError) and failed.error.kind == "not_a_stream":
            failed.error = _passing_error(endpoint, reply) or failed.error
        raise failed

    def _failed(self, endpoint: str, reply: WholeReply) -> FailedRow:
        problem = f"it is no JSON with {_MEMBERS[endpoint]!r}"
        error: TailraceError | None = reply.failure
        if error is None:
            error = self._call.error_of(reply, reply.body, problem)
        secrets = self._call.sent_secrets()
        secrets.out_of_error(error)
        read = None if reply.failure is not None else _whole(reply.body)
        if read is not None and len(read[0]) <= _LONGEST_TEXT:
            left = secrets.out_of_bytes(read[0])
            is_json = left is read[0] or _whole(left) is not None  # a secret may be a number of it
            body = left if is_json else None
            return FailedRow(error, status=reply.status, request_id=_id(reply), body=body)
        is_answer = reply.status < FIRST_ERROR_STATUS
        text = reply.body[:_LONGEST_TEXT].decode("utf-8", "replace") if is_answer else ""
        if reply.failure is None:  # whole, and no answer
            text = secrets.out_of(text)
        return FailedRow(error, text=text, status=reply.status, request_id=_id(reply))


_MOST = frozenset({"max_tokens", "max_completion_tokens"})
"""Two names of one field: a row that has either is not to get the other of the site."""


def _holds(member: msgspec.Raw) -> bool:
    """Tell whether a member is there, and neither null nor an empty list."""
    return len(member) > _LONGEST_NOTHING or bytes(member).strip(b"[] \t\r\n") not in (b"", b"null")


def _passing_error(endpoint: str, reply: WholeReply) -> StreamError | None:
    """Return the error of a reply that holds nothing, or breaks off, and may be whole next time."""
    member = _MEMBERS[endpoint]
    if reply.status >= FIRST_ERROR_STATUS or reply.failure is not None:
        return None
    if not reply.body.strip():
        return reply_error("empty", "the body is empty", reply.status)
    try:
        given = bytes(getattr(_read(reply.body), member))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        is_part = reply.body.lstrip().startswith(b"{") and "truncated" in str(error)
        return reply_error("truncated", "its JSON has no end", reply.status) if is_part else None
    if given.startswith(b"[") and not given.strip(b"[] \t\r\n"):
        return reply_error("empty", f"{member!r} is an empty list", reply.status)
    return None


_LONGEST_NOTHING = 16
_LONGEST_TEXT = 64 * 2**10  # bytes of a reply that are kept in a failure
_LONGEST_ID = 200


def _whole(body: bytes) -> tuple[bytes, _Whole] | None:
    """Return an answer on one line, and what is read of it; None for what is no JSON object."""
    try:
        answer = _read(body)
        if not body.isascii():
            body.decode()
        if b"\n" in body or b"\r" in body:
            body = msgspec.json.format(body, indent=-1)
        if b"\n" not in body:
            return body, answer
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    return _forgiven(body)


def _forgiven(body: bytes) -> tuple[bytes, _Whole] | None:
    """Read what some servers write for JSON: control characters in its strings, half characters."""
    try:
        fields, _ = _FORGIVING.raw_decode(body.decode("utf-8", "replace").strip().lstrip("\ufeff"))
        written = _written(fields)
        return written, _read(written)
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
        return None


def _written(fields: object) -> bytes:
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError:  # half characters
        whole = browser_text(json.dumps(fields, ensure_ascii=False))
    return msgspec.json.encode(json.loads(whole))


def _used(usage: object) -> Used | None:
    """Return the tokens that an answer tells, under the names of either of OpenAI's APIs."""
    if not isinstance(usage, dict):
        return None
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    completion = _count(usage, "completion_tokens", "output_tokens")
    total = _count(usage, "total_tokens") or prompt + completion
    return Used(prompt, completion, total) if total else None


def _count(usage: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int | float) and 0 < value < _MOST_TOKENS:
            return int(value)
    return 0


_MOST_TOKENS = 1e12


def _id(reply: WholeReply) -> str:
    headers = reply.headers
    value = headers.get("x-request-id") or headers.get("request-id")
    return value[:_LONGEST_ID] if value and value.isprintable() and value.isascii() else ""


def _defaults(call: OpenAICall) -> dict[str, msgspec.Raw]:
    """Return the fields of chat completions that the site's own options say, as JSON."""
    given: dict[str, Any] = {**call.options.parameters(), **(call.options.extra or {})}
    given.pop("stream_options", None)  # no row is a stream
    try:
        return {name: msgspec.Raw(msgspec.json.encode(each)) for name, each in given.items()}
    except (TypeError, ValueError, RecursionError):
        problem = "an option of the site holds what JSON cannot say"
    raise RefusedRow(problem)
