"""One dialogue with a site, whether the site remembers earlier turns or is sent them again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tailrace._streams.conversation import ConversationStream
from tailrace.errors import InvalidRequestError
from tailrace.providers._visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace._messages import Messages
    from tailrace._streams.closing import TextStream
    from tailrace._streams.outcome import Outcome

__all__ = ["Conversation"]


class Conversation:
    """A dialogue, as `Site.conversation` and `ChatProvider.conversation` begin it.

    A turn counts once it was answered whole; a failed one can be sent again. `messages` holds the
    dialogue so far. A site that keeps it by the ids it gave is sent the new turn only.
    """

    def __init__(
        self,
        name: str,
        begin: Callable[[Messages, Mapping[str, str | None]], TextStream],
        *,
        visitor: Visitor | None,
        system: str | None = None,
    ) -> None:
        """Begin a dialogue with the site called `name`.

        `begin` makes the call of one turn from messages and the ids of the visitor; `visitor`: the
        ids to begin with, None at a site that knows none; `system`: the text of a system message
        that stands in front, None for none.
        """
        self.messages: Messages = [] if system is None else [{"role": "system", "content": system}]
        self._name = name
        self._begin = begin
        self._ids: dict[str, str | None] = (
            {} if visitor is None else {each: getattr(visitor, each) for each in Visitor.__slots__}
        )
        self._remembered = False
        self._waiting = False

    def __repr__(self) -> str:
        return f"<Conversation with {self._name}, {len(self.messages)} messages>"

    def send(self, text: str) -> ConversationStream:
        """Send `text` as the user's next turn and return the answer as a stream.

        Raises InvalidRequestError while an earlier answer is still being read.
        """
        if self._waiting:
            raise InvalidRequestError(
                "the last answer is still being read: read it to its end, or close it"
            )
        turn = {"role": "user", "content": text}
        messages = [turn] if self._remembered else [*self.messages, turn]
        stream = self._begin(messages, self._ids)
        self._waiting = True
        return ConversationStream(stream, partial(self._settle, turn))

    def _settle(self, turn: dict[str, str], answered: tuple[str, Outcome] | None) -> None:
        self._waiting = False
        if answered is None:
            return
        answer, outcome = answered
        self.messages += [turn, {"role": "assistant", "content": answer}]
        if not self._ids:
            return
        for theirs, ours in _REMEMBERED_BY.items():
            if theirs in outcome.ids:
                self._remembered = True
                if ours is not None:
                    self._ids[ours] = outcome.ids[theirs]


# Ids in the replies of sites that remember, and their names in the next request.
# AIPKit remembers a dialogue by the ids of the request; its message ids are the sign of it.
_REMEMBERED_BY = {
    "thread_id": "thread_id",
    "openai_response_id": "previous_openai_response_id",
    "message_id": None,
}
