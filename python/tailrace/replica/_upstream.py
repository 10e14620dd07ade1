"""Answers for the replica from a real model: an OpenAI-compatible server, without streaming.

The replica frames the answers itself, so that no code under test has a part in them.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import aiohttp

from tailrace._json import read_json
from tailrace.errors import InvalidRequestError
from tailrace.replica._answers import AnswerError

if TYPE_CHECKING:
    from tailrace.replica._answers import Question

MAX_RESPONSE_BYTES = 8 * 2**20
CONNECT_SECONDS = 30.0
TOTAL_SECONDS = 600.0


class UpstreamAnswers:
    """The answers of the server at the base URL `url` (``http://localhost:8000/v1``).

    To be used within ``async with``. `key`: sent as a bearer token, None for none; `model`: None
    for the first that the server lists. Raises `AnswerError` for every failure, a response of more
    than `MAX_RESPONSE_BYTES` among them.
    """

    def __init__(self, url: str, *, key: str | None = None, model: str | None = None) -> None:
        self._url = _base_url(url)
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._model = model
        self._model_lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS)
        session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        self._session = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        self._session = None
        await self._stack.aclose()

    async def __call__(self, question: Question, /) -> str:
        """Return the whole answer to `question`."""
        messages = [{"role": turn.role, "content": turn.text} for turn in question.history]
        messages.append({"role": "user", "content": question.message})
        body = await self._exchange(
            "POST", "/chat/completions", {"model": await self._model_name(), "messages": messages}
        )
        match body:
            case {"choices": [{"message": {"content": str(text)}}, *_]}:
                return text
            case _:
                raise AnswerError(HTTPStatus.BAD_GATEWAY, "The upstream's response holds no text.")

    async def _model_name(self) -> str:
        async with self._model_lock:
            if self._model is None:
                self._model = _first_model(await self._exchange("GET", "/models"))
            return self._model

    async def _exchange(self, method: str, path: str, body: object = None) -> object:
        if self._session is None:
            raise InvalidRequestError("the upstream is asked within `async with` only")
        try:
            # A redirect is not followed: the key is for this server.
            async with self._session.request(
                method, self._url + path, json=body, allow_redirects=False
            ) as response:
                data = await _read(response)
                status = response.status
        except TimeoutError:
            raise AnswerError(
                HTTPStatus.GATEWAY_TIMEOUT, "The upstream did not answer in time."
            ) from None
        except aiohttp.ClientError as error:
            raise AnswerError(
                HTTPStatus.BAD_GATEWAY, f"The upstream failed: {type(error).__name__}."
            ) from None
        return _parse_body(status, data)


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_whole = (
            parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
        )
    except ValueError:
        is_whole = False
    if not is_whole:
        raise InvalidRequestError("an upstream is a base URL such as http://localhost:8000/v1")
    return url.rstrip("/")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for block in response.content.iter_any():
        data += block
        if len(data) > MAX_RESPONSE_BYTES:
            raise AnswerError(
                HTTPStatus.BAD_GATEWAY,
                f"The upstream's response is larger than {MAX_RESPONSE_BYTES} bytes.",
            )
    return bytes(data)


def _parse_body(status: int, data: bytes) -> object:
    try:
        body: object = read_json(data)
    except ValueError:
        body = None
    if status >= HTTPStatus.BAD_REQUEST:
        raise AnswerError(
            status, _error_message(body) or f"The upstream answered with status {status}."
        )
    if status != HTTPStatus.OK or body is None:
        raise AnswerError(
            HTTPStatus.BAD_GATEWAY, f"The upstream answered with status {status} and no JSON."
        )
    return body


def _error_message(body: Any) -> str:
    match body:
        case {"error": {"message": str(message)}} | {"error": str(message)}:
            return message
        case _:
            return ""


def _first_model(body: object) -> str:
    match body:
        case {"data": [{"id": str(name)}, *_]}:
            return name
        case _:
            raise AnswerError(HTTPStatus.BAD_GATEWAY, "The upstream lists no model: name one.")
