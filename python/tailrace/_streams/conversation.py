"""The answer of one turn of a conversation, as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace._streams.aio import ClosingStream

if TYPE_CHECKING:
    from tailrace._streams.aio import ChatStream
    from tailrace.providers._conversation import Conversation

__all__ = ["ConversationStream"]


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
