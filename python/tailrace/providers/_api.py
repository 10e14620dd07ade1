"""Calls to servers with an API for programs: options they have in common, keys, lists of models.

A protocol of an API is a subclass of `ApiCall`, which says where a request goes, which headers
carry the key, and what the body is. Its options are a subclass of `ApiOptions`: a site refuses an
option that the record of its software does not have.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tailrace import errors
from tailrace._calls.exchange import OpeningOf
from tailrace._json import read_json
from tailrace._messages import browser_text
from tailrace._native import DeltaDecoder
from tailrace.errors import FIRST_ERROR_STATUS, InvalidRequestError, StreamError, reply_error
from tailrace.providers._base import (
    Call,
    Connections,
    checked_text,
    read_body,
    with_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tailrace._calls.exchange import Opening
    from tailrace._messages import Turn
    from tailrace._secrecy import SentSecrets
    from tailrace.transport import Response, Session, WholeReply

__all__ = ["ApiCall", "ApiOptions", "ModelsPage", "PostedRequest", "below", "without_ending"]

JSON = "application/json"
MAX_LIST_BYTES = 8 * 2**20
MAX_ANSWER_BYTES = 64 * 2**20  # of many embeddings, say, where the call has no limit of its own
_MOST_PAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """The options that every API has, under OpenAI's names.

    `api_key`: sent in the API's own header; None: none is sent. No key is taken from the
    environment, for it would go to whatever server the URL names. `tools`, `tool_choice`,
    `response_format`: as in OpenAI's chat completions, translated where the API has another form.
    `max_tokens` and `max_completion_tokens` are one: the most tokens of an answer. `extra`: further
    fields of the request under the API's own names, objects within it joined with those of the
    request. The values of all options are the server's to judge; None leaves one out.

    Raises InvalidRequestError for a key that is no text, and for an `extra` that is no mapping.
    """

    api_key: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] | None = field(default=None, repr=False)
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    response_format: Mapping[str, Any] | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    tool_choice: str | Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        checked_text("api_key", self.api_key)
        if self.extra is not None and not isinstance(self.extra, Mapping):
            raise InvalidRequestError(
                f"extra must be a mapping of names to values, not {type(self.extra).__name__}"
            )

    @property
    def most_tokens(self) -> int | None:
        """The most tokens that an answer may have, None where nothing says so.

        Raises InvalidRequestError where both of its names are given and differ.
        """
        newer, older = self.max_completion_tokens, self.max_tokens
        if newer is not None and older is not None and newer != older:
            raise InvalidRequestError(
                "max_tokens and max_completion_tokens are one for this API, and differ"
            )
        return older if newer is None else newer

    @property
    def stops(self) -> list[str] | None:
        """The stop sequences as a list, None without any."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or None


O = TypeVar("O", bound=ApiOptions)  # noqa: E741 - a protocol's own options


class ModelsPage(NamedTuple):
    """One page of a list of models, and the `cursor` of the next one; None for the last."""

    models: list[str]
    cursor: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class PostedRequest:
    """A request of an API as it is posted; the repr shows nothing of it, as it may hold a key."""

    url: str
    headers: dict[str, str]
    body: bytes


class ApiCall(Call[O], Generic[O]):
    """One streamed answer of a server with an API."""

    takes_parts = True
    api: ClassVar[str]
    """The API's name in errors."""

    accept: ClassVar[str] = "text/event-stream"

    replaceable: ClassVar[frozenset[str]] = frozenset()
    """The fields of a request that `extra` may hold in place of the call's, in the API's words."""

    @staticmethod
    def moved_endpoint(endpoint: str, url: str) -> None:
        """Return None: the endpoint is derived from the other base URL."""
        del endpoint, url

    @property
    @abstractmethod
    def dialect(self) -> str:
        """The dialect of the replies."""

    @abstractmethod
    def endpoint(self, model: str) -> str:
        """Return the URL that takes a request to `model`."""

    @abstractmethod
    def headers(self) -> dict[str, str]:
        """Return the headers of the key, and those that every request of the API has."""

    @abstractmethod
    def body(self, model: str) -> dict[str, Any]:
        """Return the request as JSON; raises InvalidRequestError for what the API has not."""

    @abstractmethod
    def models_url(self, cursor: str | None) -> str:
        """Return the URL of a page of the list of models; `cursor`: as the page before gave it."""

    @abstractmethod
    def models_page(self, record: Mapping[str, Any]) -> ModelsPage:
        """Read a page of the list of models.

        Raises KeyError, TypeError or AttributeError for a record that is none.
        """

    def add_secrets(self, secrets: SentSecrets) -> None:
        """Add the key, as its header has it, and secret fields of `extra`."""
        secrets.add_headers(self.headers())
        secrets.add_fields(self.options.extra)

    async def send(self, model: str, turns: list[Turn]) -> Opening:
        """Post the caller's messages in the API's own form."""
        del turns
        posted = self.posted(model)
        session = await self.begin_session(self.request.cookies)
        reply = await session.post(posted.url, body=posted.body, headers=posted.headers)
        return OpeningOf(
            reply,
            DeltaDecoder(self.dialect, content_type=reply.content_type, status=reply.status),  # type: ignore[arg-type]
        )

    def posted(self, model: str) -> PostedRequest:
        """Return the request to `model` as it is posted, without what its transport adds.

        Raises InvalidRequestError without a model, and as `encoded_body` does.
        """
        if not model:
            raise InvalidRequestError(f"{self.api} wants a model's name: give one")
        body = self.encoded_body(model)
        endpoint = self.request.endpoint or self.endpoint(model)
        headers = {"Content-Type": JSON, "Accept": self.accept, **self.headers()}
        return PostedRequest(with_credentials(endpoint, self.request.url), headers, body)

    def encoded_body(self, model: str) -> bytes:
        """Return the request as it is sent, with the fields of `extra`.

        Raises InvalidRequestError for what the API has not, what has two values, and what JSON
        cannot say.
        """
        return self._with_extra(self.body(model))

    def _with_extra(self, body: Mapping[str, Any]) -> bytes:
        extra = self.options.extra or {}
        replaced = self.replaceable & extra.keys()
        kept = {name: value for name, value in body.items() if name not in replaced}
        return _encoded(_joined(kept, extra))

    async def list_models(self) -> list[str]:
        """Ask the server for its models, page by page, and return their names."""
        session = await self.begin_session(self.request.cookies)
        models: list[str] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._models_page(session, cursor)
            models += page.models
            cursor = page.cursor
            if cursor is None:
                return models
        raise errors.LimitExceeded(f"the list of models has more than {_MOST_PAGES} pages")

    async def _models_page(self, session: Session, cursor: str | None) -> ModelsPage:
        url = with_credentials(self.models_url(cursor), self.request.url)
        headers = {"Accept": "application/json", **self.headers()}
        async with await session.get(url, headers=headers) as reply:
            body = await read_body(reply, MAX_LIST_BYTES, self.request.timeouts.idle)
            if reply.status < FIRST_ERROR_STATUS:
                page = self._read_page(body)
                if page is not None:
                    return page
            raise self.error_of(reply, body, "it is no list of models")

    def _read_page(self, body: bytes) -> ModelsPage | None:
        try:
            page = self.models_page(read_json(body))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return page if all(isinstance(model, str) for model in page.models) else None

    async def ask(self, url: str, question: Mapping[str, Any], member: str) -> bytes:
        """Post a question that is no chat and return the body of its answer.

        `member`: the one of the JSON object by which an answer is known. Raises the StreamError of
        any other reply, and the TailraceError of the call.
        """
        body = self._with_extra(question)
        self.connections = Connections(self.request.transport, self.request.observe)
        session = await self.begin_session(self.request.cookies)
        headers = {"Content-Type": JSON, "Accept": JSON, **self.headers()}
        address = with_credentials(url, self.request.url)
        async with await session.post(address, body=body, headers=headers) as reply:
            most = self.request.limits.max_reply_bytes or MAX_ANSWER_BYTES
            answer = await read_body(reply, most, self.request.timeouts.idle)
            is_json = (reply.content_type or "").startswith(JSON)
            if reply.status < FIRST_ERROR_STATUS and is_json and member in _members(answer):
                return answer
            raise self.error_of(reply, answer, f"it is no JSON with {member!r}")

    def error_of(self, reply: Response | WholeReply, body: bytes, problem: str) -> StreamError:
        """Return the error of a reply that is not what was asked for, with the server's message.

        `problem`: the message where the server has none.
        """
        decoder = DeltaDecoder(
            self.dialect,  # type: ignore[arg-type]
            content_type=reply.content_type,
            status=reply.status,
        )
        decoder.feed(body)
        decoder.close()
        error = decoder.error
        if error is None or error.kind in ("empty", "truncated"):
            raw = body.decode("utf-8", "replace")
            error = reply_error("not_a_stream", problem, reply.status, raw=raw)
        if isinstance(error, errors.ResponseStatusError):
            error.retry_after = reply.retry_after
        return error


def _members(body: bytes) -> Collection[str]:
    """Return the names of the members of a JSON object, none of any other text."""
    import msgspec  # noqa: PLC0415 - it passes over what is within them; no other call needs it

    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()


def _joined(body: dict[str, Any], extra: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a request with the fields of `extra`; `path`: the name of the object in errors.

    Raises InvalidRequestError for a field that the request has.
    """
    joined = dict(body)
    for name, value in extra.items():
        own = joined.get(name)
        if isinstance(own, dict) and isinstance(value, Mapping):
            joined[name] = _joined(own, value, f"{path}{name}.")
        elif name in joined:
            raise InvalidRequestError(f"extra must not hold {path}{name}: it has its own place")
        else:
            joined[name] = value
    return joined


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        text = _JSON.encode(body)
    except (TypeError, ValueError, RecursionError):
        text = ""
    if not text:
        raise InvalidRequestError("a message or parameter holds what JSON cannot say")
    return browser_text(text).encode()


def _as_dict(value: object) -> dict[Any, Any]:
    """Return a mapping that is no dict as one; TypeError for what JSON has no form for."""
    if isinstance(value, MappingProxyType | Mapping):  # most are of the first type
        return dict(value)
    raise TypeError(type(value).__name__)


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_dict)


@lru_cache(maxsize=256)  # a site is called at the same few URLs
def below(url: str, path: str, query: str = "") -> str:
    """Return the URL of `path` below a base URL, whose own query stays in front of `query`."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, query)))
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, query, ""))


def without_ending(url: str, *endings: str) -> str:
    """Return a URL without the first of `endings` with which its path ends."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for ending in endings:
        if path.endswith(ending):
            return urlunsplit(parts._replace(path=path.removesuffix(ending)))
    return url
