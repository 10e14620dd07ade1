"""One dialogue with a site, whether the site remembers earlier turns or is sent them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tailrace._streams.conversation import ConversationStream
from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tailrace._messages import Message, Messages
    from tailrace._native import ThinkingBlock, ToolCall
    from tailrace._streams.closing import TextStream
    from tailrace._streams.outcome import Outcome

__all__ = ["Conversation"]


class Conversation:
    """A dialogue, as `Site.conversation` and `ChatProvider.conversation` begin it.

    A turn counts once it was answered whole; a failed one can be sent again. `messages` holds the
    dialogue so far, the tool calls of answers included. A site that keeps it by the ids it gave is
    sent the new turn only.
    """

    def __init__(
        self,
        name: str,
        begin: Callable[[Messages, Mapping[str, str | None]], TextStream],
        *,
        visitor: Mapping[str, str | None],
        keeps_calls: bool,
        system: str | None = None,
    ) -> None:
        """Begin a dialogue with the site called `name`.

        `begin` makes the call of one turn from messages and the ids of the visitor; `visitor`: the
        ids to begin with by name, empty at a site that knows none; `keeps_calls`: whether the site
        takes the tool calls of earlier answers, and their results; `system`: the text of a system
        message that stands in front, None for none.
        """
        self.messages: Messages = [] if system is None else [{"role": "system", "content": system}]
        self._name = name
        self._begin = begin
        self._keeps_calls = keeps_calls
        self._ids = dict(visitor)
        self._remembered = False
        self._waiting = False

    def __repr__(self) -> str:
        return f"<Conversation with {self._name}, {len(self.messages)} messages>"

    def send(self, turn: str | Message | Messages) -> ConversationStream:
        """Send the next turn and return the answer as a stream.

        `turn`: the user's words; or its messages in OpenAI's form, one or a list of them: the
        results of the tools that the last answer called, each of them ``{"role": "tool",
        "tool_call_id": …, "content": …}``, or words with an image. A result whose id is None or not
        given answers the first call that has no result yet, as servers' calls may have no ids.

        Raises InvalidRequestError for a turn without messages, for a result without an id where no
        call waits for one, and while an earlier answer is still being read.
        """
        if self._waiting:
            raise InvalidRequestError(
                "the last answer is still being read: read it to its end, or close it"
            )
        added = self._with_call_ids(_turn_messages(turn))
        messages = added if self._remembered else [*self.messages, *added]
        stream = self._begin(messages, self._ids)
        self._waiting = True
        return ConversationStream(stream, partial(self._settle, added))

    def _with_call_ids(self, turn: Messages) -> Messages:
        """Return the turn with the ids of calls in those results that have none."""
        given = {each.get("tool_call_id") for each in turn if _is_result(each)}
        waiting = iter([each for each in self._open_calls() if each not in given])
        return [_with_call_id(each, waiting) if _is_result(each) else each for each in turn]

    def _open_calls(self) -> list[str]:
        """Return the ids of the last answer's calls that no message answers."""
        ids: list[str] = []
        for message in reversed(self.messages):
            if message["role"] == "assistant":
                return [
                    call["id"] for call in message.get("tool_calls", ()) if call["id"] not in ids
                ]
            ids.append(message.get("tool_call_id", ""))
        return []

    def _settle(self, turn: Messages, answered: tuple[str, Outcome] | None) -> None:
        self._waiting = False
        if answered is None:
            return
        answer, outcome = answered
        self.messages += [*turn, self._answer_message(answer, outcome)]
        if not self._ids:
            return
        for theirs, ours in _REMEMBERED_BY.items():
            if theirs in outcome.ids:
                self._remembered = True
                if ours in self._ids:
                    self._ids[ours] = outcome.ids[theirs]

    def _answer_message(self, answer: str, outcome: Outcome) -> Message:
        """Return an answer as a message of the dialogue: its text, its refusal, its tool calls.

        Reasoning is part of it where the service signed it, and so is the text's signature.

        A text there always is: servers differ in what else they take for none.
        """
        message: Message = {"role": "assistant", "content": answer}
        if outcome.refusal:
            message["refusal"] = outcome.refusal
        if outcome.thinking_blocks:
            message["thinking_blocks"] = [_block_record(each) for each in outcome.thinking_blocks]
        if outcome.text_signature is not None:
            message["extra_content"] = _signed(outcome.text_signature)
        if outcome.tool_calls and self._keeps_calls:
            message["tool_calls"] = [
                _call_record(call, f"call_{len(self.messages)}_{number}")
                for number, call in enumerate(outcome.tool_calls)
            ]
        return message


def _turn_messages(turn: str | Message | Messages) -> Messages:
    if isinstance(turn, str):
        return [{"role": "user", "content": turn}]
    messages: list[Any] = list(turn) if isinstance(turn, Sequence) else [turn]
    for each in messages:
        if not isinstance(each, Mapping):
            raise InvalidRequestError(
                f"a turn is text or messages: a message is a mapping, not {type(each).__name__}"
            )
    if not messages:
        raise InvalidRequestError("the turn holds no message: there is nothing to send")
    return messages


def _is_result(message: Message) -> bool:
    return message.get("role") == "tool"


def _with_call_id(result: Message, waiting: Iterable[str]) -> Message:
    """Return a tool's result with an id: its own, or the next of the calls that wait for one."""
    if result.get("tool_call_id"):
        return result
    for call_id in waiting:
        return {**result, "tool_call_id": call_id}
    raise InvalidRequestError(
        "a tool's result has no tool_call_id, and no call of the last answer waits for one"
    )


def _call_record(call: ToolCall, name: str) -> dict[str, object]:
    """Return a call in OpenAI's form; `name`: its id where the server gave it none."""
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {
        "id": call.id or name,
        "type": "function",
        "function": function,
        **({} if call.signature is None else {"extra_content": _signed(call.signature)}),
    }


def _signed(signature: str) -> dict[str, object]:
    """Return Gemini's signature in the form of Google's OpenAI-compatible API."""
    return {"google": {"thought_signature": signature}}


def _block_record(block: ThinkingBlock) -> dict[str, object]:
    """Return a block of reasoning in the form that its API has for it, Anthropic's or OpenAI's."""
    if block.id is not None:
        summary = [{"type": "summary_text", "text": block.thinking}] if block.thinking else []
        named = {"id": block.id} if block.id else {}
        told = {"summary": summary, "encrypted_content": block.data}
        return {"type": "reasoning", **named, **told}
    if block.data is not None:
        return {"type": "redacted_thinking", "data": block.data}
    return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}


# Ids in the replies of sites that remember, and their names in the next request.
# AIPKit remembers a dialogue by the ids of the request; its message ids are the sign of it.
_REMEMBERED_BY = {
    "thread_id": "thread_id",
    "openai_response_id": "previous_openai_response_id",
    "message_id": None,
}
