"""A site with the API of a model: what all of them do with a request, whatever its form."""

from __future__ import annotations

import hmac
import json
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from tailrace._json import read_json
from tailrace.replica._answers import AnswerError
from tailrace.replica._response import SiteResponse
from tailrace.replica._site import EXCHANGE, ReplicaSite
from tailrace.replica._sites.models.behaviors import ModelMarker, find_behavior
from tailrace.replica._sites.models.replies import make_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp import web

    from tailrace.replica._response import Ending
    from tailrace.replica._sites.models.behaviors import ModelBehavior
    from tailrace.replica._sites.models.replies import ModelReply
    from tailrace.replica._sites.models.requests import ModelRequest

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"

FAILURE_MESSAGE = "The server met an error while it was answering."


class RequestRefusedError(Exception):
    """The request is refused; `response` is the error that answers it."""

    def __init__(self, response: SiteResponse) -> None:
        super().__init__(response.status)
        self.response = response


class ModelSite(ReplicaSite):
    """A site with the API of a model."""

    markers: ClassVar[tuple[ModelMarker, ...]]

    async def answer(self, request: web.Request) -> SiteResponse:
        """Return the response to `request`, or the error that refuses it."""
        try:
            return await self.route(request)
        except RequestRefusedError as refused:
            return refused.response
        except AnswerError as failed:
            return self.failure(failed.status, failed.message)

    @abstractmethod
    async def route(self, request: web.Request) -> SiteResponse:
        """Return the response to `request`; may raise `RequestRefusedError`."""

    @abstractmethod
    def failure(self, status: int, message: str) -> SiteResponse:
        """Return the error that tells of a failure of the model behind the site."""

    async def respond(
        self,
        request: web.Request,
        model_request: ModelRequest,
        write: Callable[[ModelReply, ModelBehavior], SiteResponse],
    ) -> SiteResponse:
        """Return the model's reply to `model_request`, as `write` writes it down."""
        behavior = find_behavior(self.markers, model_request.question, request[EXCHANGE])
        if isinstance(behavior, SiteResponse):
            return behavior
        reply = await make_reply(model_request, behavior, self.ask_model, self.settings.clock())
        response = write(reply, behavior)
        pace = self.settings.pace * behavior.slowness if model_request.streams else 0.0
        return replace(response, pace=pace)

    def is_key(self, key: str) -> bool:
        """Tell whether `key` is the right one, which every key is where the replica has none."""
        expected = self.settings.api_key
        return expected is None or hmac.compare_digest(
            key.encode("utf-8", "surrogateescape"), expected.encode()
        )


def read_object(data: bytes) -> dict[str, Any] | None:
    """Read a body that is a JSON object; None for any other. Raises ValueError where none is."""
    body: object = read_json(data)
    return body if isinstance(body, dict) else None


def as_json(status: int, body: object, headers: Sequence[tuple[str, str]] = ()) -> SiteResponse:
    """Return a response whose body is `body`."""
    data = json.dumps(body, ensure_ascii=False, indent=2).encode("utf-8", "replace")
    return SiteResponse([data], JSON, status, headers=headers)


def escaped(data: bytes, characters: str) -> bytes:
    r"""Return JSON with `characters`, which stand in strings alone, written as ``\uXXXX``."""
    for character in characters:
        data = data.replace(character.encode(), b"\\u%04x" % ord(character))
    return data


def data_line(record: Mapping[str, object]) -> bytes:
    """Return a server-sent event with the data `record`, without a name."""
    return b"data: %b\n\n" % _compact(record)


def named_event(name: str, record: Mapping[str, object]) -> bytes:
    """Return the server-sent event `name` with the data `record`."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _compact(record))


def json_line(record: Mapping[str, object]) -> bytes:
    """Return `record` as a line of its own."""
    return b"%b\n" % _compact(record)


def _compact(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def as_stream(
    events: Sequence[bytes],
    ending: Ending = "complete",
    *,
    content_type: str = SSE,
    headers: Sequence[tuple[str, str]] = (),
) -> SiteResponse:
    """Return a response that streams `events`."""
    return SiteResponse(
        events, content_type, headers=(("Cache-Control", "no-cache"), *headers), ending=ending
    )
