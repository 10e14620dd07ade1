"""A model's reply: reasoning, text or a refusal, and calls, in tokens and with their counts.

Made of the request alone, of its words and of the replica's `Answers`; each API writes it down in
its own way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from tailrace.replica._answers import QUOTED_CHARACTERS, tokenize
from tailrace.replica._sites.models.requests import ANY_OBJECT, IMAGE_TOKENS
from tailrace.replica._sites.models.schemas import example

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tailrace.replica._answers import HistoryTurn
    from tailrace.replica._sites.models.behaviors import ModelBehavior
    from tailrace.replica._sites.models.requests import (
        Attachment,
        ModelRequest,
        OfferedTool,
        ToolResult,
    )

ReplyEnd = Literal["stop", "length", "calls", "filter", "refusal"]
"""Why the model ended: it was done, its limit, it waits for functions, a filter, or a refusal."""

REFUSAL = "I am sorry, but with that I will not help."


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call: the function's name, and its arguments as JSON, in tokens.

    `is_whole`: whether the reply's limit left all of the arguments.
    """

    name: str
    pieces: tuple[str, ...]
    is_whole: bool = True

    @property
    def text(self) -> str:
        """The arguments, as JSON."""
        return "".join(self.pieces)

    @property
    def arguments(self) -> Any:
        """The arguments, which must be whole."""
        return json.loads(self.text)


@dataclass(frozen=True, kw_only=True)
class ModelReply:
    """The reply to `request`: its tokens, `created` in seconds, and why it ended.

    `stop`: the stop sequence that ended it, or None.
    """

    request: ModelRequest
    created: float
    reasoning: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    refusal: tuple[str, ...] = ()
    calls: tuple[FunctionCall, ...] = ()
    end: ReplyEnd = "stop"
    stop: str | None = None

    def identifier(self, prefix: str, length: int = 24, salt: object = "") -> str:
        """Return an id of this reply, or with `salt` of a part of it: the same for the same one."""
        digest = sha256(f"{self._seed}|{salt}|{prefix}".encode()).hexdigest()
        return prefix + digest[:length]

    @cached_property
    def _seed(self) -> str:
        turns = self.request.turns
        seed = f"{self.created}|{len(turns)}|{turns[-1].text}"
        return sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def text_prompt_tokens(self) -> int:
        """The tokens of the request's text."""
        return sum(_count(turn) for turn in self.request.turns)

    @property
    def image_tokens(self) -> int:
        """The tokens of the request's images and files."""
        return IMAGE_TOKENS * len(self.request.attachments)

    @property
    def prompt_tokens(self) -> int:
        """The tokens of the request."""
        return self.text_prompt_tokens + self.image_tokens

    @cached_property
    def cached_tokens(self) -> int:
        """The tokens of the request that the model has seen before: the turns but the last."""
        return sum(_count(turn) for turn in self.request.turns[:-1])

    @property
    def completion_tokens(self) -> int:
        """The tokens of the reply, reasoning among them."""
        answered = len(self.text) + len(self.refusal)
        return len(self.reasoning) + answered + sum(len(call.pieces) for call in self.calls)


async def make_reply(
    request: ModelRequest,
    behavior: ModelBehavior,
    ask: Callable[[str, Sequence[HistoryTurn]], Awaitable[str]],
    created: float,
) -> ModelReply:
    """Make the reply to `request`; `ask` is the model behind the site."""
    reasoning = tuple(tokenize(_thoughts(request))) if _thinks(request, behavior) else ()
    if behavior.refuses:
        refusal = tuple(tokenize(REFUSAL))
        return ModelReply(
            request=request, created=created, reasoning=reasoning, refusal=refusal, end="refusal"
        )
    calls = tuple(_calls(request, behavior))
    text, stop = _stopped(await _text(request, behavior, ask, calls=bool(calls)), request.stops)
    reply = ModelReply(
        request=request,
        created=created,
        reasoning=reasoning,
        text=tuple(tokenize(text)),
        calls=calls,
        end="filter" if behavior.is_filtered else "calls" if calls else "stop",
        stop=stop,
    )
    return _limited(reply)


def _thinks(request: ModelRequest, behavior: ModelBehavior) -> bool:
    return request.thinks or (request.thinks is None and behavior.thinks)


def _thoughts(request: ModelRequest) -> str:
    question = request.turns[-1].text[:QUOTED_CHARACTERS]
    return f"They want to know: “{question}”. First I weigh it (先に考える), then I answer."


# -- text ------------------------------------------------------------------------------------------


async def _text(
    request: ModelRequest,
    behavior: ModelBehavior,
    ask: Callable[[str, Sequence[HistoryTurn]], Awaitable[str]],
    *,
    calls: bool,
) -> str:
    if behavior.text is not None or calls:
        return behavior.text or ""
    if request.schema not in (None, ANY_OBJECT):
        return json.dumps(example(request.schema), ensure_ascii=False)
    answer = await ask(request.turns[-1].text, request.turns[:-1])
    said = [*map(_quoted, request.results), *_seen(request.attachments), answer]
    text = "\n\n".join(said)
    return json.dumps({"answer": text}, ensure_ascii=False) if request.schema else text


def _quoted(result: ToolResult) -> str:
    return f"{result.name or 'The tool'} returned: {result.text}"


def _seen(attachments: Sequence[Attachment]) -> Iterator[str]:
    for kind in ("image", "file", "sound"):
        found = [each.about for each in attachments if each.kind == kind]
        if found:
            number = f"{len(found)} {kind}{'' if len(found) == 1 else 's'}"
            yield f"I see {number} ({'; '.join(found)})."


def _stopped(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    """Return the text before the first of `stops` in it, and that one."""
    found = [(text.find(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return text, None
    position, stop = min(found)
    return text[:position], stop


# -- calls -----------------------------------------------------------------------------------------


def _calls(request: ModelRequest, behavior: ModelBehavior) -> Iterator[FunctionCall]:
    """Yield as many calls as the words ask for, or one where the request demands it.

    Functions not called since the last question come first, so that an agent that must call ends.
    """
    names = request.choice.names
    tools = [tool for tool in request.tools if names is None or tool.name in names]
    number = max(behavior.calls, request.choice.mode == "required")
    if not tools or request.choice.mode == "none":
        return
    tools.sort(key=lambda tool: tool.name in request.called)
    if request.choice.mode == "required" and all(tool.name in request.called for tool in tools):
        tools.reverse()
    for index in range(number if request.parallel else min(number, 1)):
        yield _call(tools[index % len(tools)], 1 + index // len(tools))


def _call(tool: OfferedTool, number: int) -> FunctionCall:
    arguments = example(tool.schema or {"type": "object"}, number)
    return FunctionCall(tool.name, tuple(tokenize(json.dumps(arguments, ensure_ascii=False))))


# -- limits and counts -----------------------------------------------------------------------------


def _limited(reply: ModelReply) -> ModelReply:
    """Return `reply` up to the request's limit of tokens, which reasoning counts towards, too."""
    limit = reply.request.limit
    if limit is None or reply.completion_tokens <= limit:
        return reply
    reasoning = reply.reasoning[:limit]
    limit -= len(reasoning)
    text = reply.text[:limit]
    limit -= len(text)
    calls = []
    for call in reply.calls:
        pieces = call.pieces[:limit]
        limit -= len(pieces)
        if pieces:
            calls.append(FunctionCall(call.name, pieces, is_whole=pieces == call.pieces))
    return ModelReply(
        request=reply.request,
        created=reply.created,
        reasoning=reasoning,
        text=text,
        calls=tuple(calls),
        end="length",
    )


def _count(turn: HistoryTurn) -> int:
    return len(tokenize(turn.text))
