"""One dialogue with a provider: each turn knows the earlier ones, at sites that remember and at
sites that do not.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tailrace._streams.conversation import ConversationStream
from tailrace.errors import InvalidRequestError
from tailrace.providers._visitor import Visitor

if TYPE_CHECKING:
    from tailrace._environment import Environment
    from tailrace._messages import Messages
    from tailrace._streams.outcome import Outcome
    from tailrace.providers._base import ChatProvider

__all__ = ["Conversation"]


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
        return ConversationStream(stream, partial(self._settle, turn))

    def _settle(self, turn: dict[str, str], answered: tuple[str, Outcome] | None) -> None:
        self._waiting = False
        if answered is None:
            return
        answer, outcome = answered
        self.messages += [turn, {"role": "assistant", "content": answer}]
        for theirs, ours in _REMEMBERED_BY.items():
            if theirs in outcome.ids:
                self._remembered = True
                if ours is not None:
                    self._ids[ours] = outcome.ids[theirs]


# What a site that remembers gives, and the name under which it wants it back: AIPKit keeps a
# dialogue by the ids it was sent, and its message ids are the sign of that.
_REMEMBERED_BY = {
    "thread_id": "thread_id",
    "openai_response_id": "previous_openai_response_id",
    "message_id": None,
}
