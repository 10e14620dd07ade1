"""One dialogue with a provider: each turn knows the earlier ones, at sites that remember and at
sites that do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace._streams.aio import ClosingStream
from tailrace.errors import InvalidRequestError
from tailrace.providers._visitor import Visitor

if TYPE_CHECKING:
    from tailrace._environment import Environment
    from tailrace._messages import Messages
    from tailrace._streams.aio import ChatStream
    from tailrace.providers._base import ChatProvider

__all__ = ["Conversation", "ConversationStream"]


class Conversation:
    """Made by `ChatProvider.conversation`. A turn counts once it was answered whole; a failed one
    can be sent again.

    `messages` holds the dialogue so far. A site that keeps it by the ids it gave is sent the new
    turn only.
    """

    def __init__(
        self,
        provider: type[ChatProvider],
        environment: Environment,
        *,
        model: str = "",
        system: str | None = None,
        **options: Any,
    ) -> None:
        self.messages: Messages = [] if system is None else [{"role": "system", "content": system}]
        self._provider = provider
        self._model = model
        self._options = options | {"environment": environment}
        visitor = Visitor.of(options, environment.random)
        self._ids = {name: getattr(visitor, name) for name in Visitor.__slots__}
        self._remembered = False
        self._waiting = False

    def __repr__(self) -> str:
        return f"<Conversation with {self._provider.__name__}, {len(self.messages)} messages>"

    def send(self, text: str) -> ConversationStream:
        """Say `text` and return the answer as a stream.

        InvalidRequestError while an earlier answer is still read.
        """
        if self._waiting:
            raise InvalidRequestError(
                "the last answer is still being read: read it to its end, or close it"
            )
        turn = {"role": "user", "content": text}
        messages = [turn] if self._remembered else [*self.messages, turn]
        stream = self._provider.create_async_generator(
            self._model, messages, **(self._options | self._ids)
        )
        self._waiting = True
        return ConversationStream(self, turn, stream)

    def _finished(self, turn: dict[str, str], answer: str, stream: ChatStream) -> None:
        self._waiting = False
        if stream.end not in ("done", "stopped"):
            return
        self.messages += [turn, {"role": "assistant", "content": answer}]
        for theirs, ours in _REMEMBERED_BY.items():
            if theirs in stream.ids:
                self._remembered = True
                if ours is not None:
                    self._ids[ours] = stream.ids[theirs]


# What a site that remembers gives, and the name under which it wants it back: AIPKit keeps a
# dialogue by the ids it was sent, and its message ids are the sign of that.
_REMEMBERED_BY = {
    "thread_id": "thread_id",
    "openai_response_id": "previous_openai_response_id",
    "message_id": None,
}


class ConversationStream(ClosingStream):
    """A `ChatStream` whose answer joins its conversation once it has been read to its end."""

    def __init__(
        self, conversation: Conversation, turn: dict[str, str], stream: ChatStream
    ) -> None:
        self._conversation = conversation
        self._turn = turn
        self._stream = stream
        self._answer: list[str] = []
        self._open = True

    def __getattr__(self, name: str) -> Any:
        """How it went: `end`, `error`, `finish_reason`, `usage`, `ids`, `bad_events`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __del__(self) -> None:
        self._give_up()

    async def __anext__(self) -> str:
        try:
            text = await anext(self._stream)
        except BaseException:
            self._finish()
            raise
        self._answer.append(text)
        return text

    async def read(self) -> list[str]:
        """See `ChatStream.read`."""
        try:
            deltas = await self._stream.read()
        except BaseException:
            self._finish()
            raise
        if not deltas:
            self._finish()
        self._answer += deltas
        return deltas

    async def aclose(self) -> None:
        """See `ChatStream.aclose`.

        An answer that was not read to its end is not part of the conversation.
        """
        self._give_up()
        await self._stream.aclose()

    def _give_up(self) -> None:
        if self._open:
            self._open = False
            self._conversation._waiting = False  # noqa: SLF001 - its own stream

    def _finish(self) -> None:
        if self._open:
            self._open = False
            self._conversation._finished(self._turn, "".join(self._answer), self._stream)  # noqa: SLF001
