"""The outcome of a reply as one record, and the properties by which every stream shows it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailrace._native import ThinkingBlock, ToolCall, Usage
    from tailrace._streams.timings import Timings
    from tailrace.errors import TailraceError

__all__ = ["HasOutcome", "Outcome", "warn_of_more_than_text"]

log: logging.Logger = logging.getLogger("tailrace")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The record of how a reply ended, or of how far it is.

    `end`: ``open`` until the end; then ``done`` (the reply's end marker came), ``stopped`` (a
    finish reason came, and no end marker), ``truncated`` or ``failed``. `error`: the failure that
    ended the stream, which the iteration has raised; None without one. `finish_reason`: the reason
    why the model stopped, as the reply states it; None where it states none. `usage`: the token
    counts that the reply reported, None without them. `ids`: the names the reply gave itself:
    ``id``, ``model``, ``thread_id``, …. `bad_events`: the number of events skipped because their
    data was not of the dialect. `attempts`: the failures that were followed by another
    attempt at the same site; `error.attempts` are the same. `tool_calls`, `reasoning`, `refusal`:
    what the reply holds besides its text, as far as it has come, however the stream is read.
    `timings`: the reply's times as far as it is; None where they were not asked for.
    `thinking_blocks`, `text_signature`: the reasoning, and what belongs to the text, as a service
    that signs them wants them back. `passed_over`: how much the reply holds that no delta is made
    of, by kind: ``citation``, ``image``, ``audio``, ``file``, ``server_tool``, ``choice``,
    ``other``.
    """

    end: str = "open"
    error: TailraceError | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    ids: dict[str, str] = field(default_factory=dict)
    bad_events: int = 0
    attempts: tuple[TailraceError, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    refusal: str = ""
    thinking_blocks: tuple[ThinkingBlock, ...] = ()
    text_signature: str | None = None
    passed_over: dict[str, int] = field(default_factory=dict)
    timings: Timings | None = None


class HasOutcome(ABC):
    """A stream with an `Outcome`, and each of its fields as a property of the stream."""

    @property
    @abstractmethod
    def outcome(self) -> Outcome:
        """The record of how the reply ended, or of how far it is."""

    @property
    def end(self) -> str:
        """``open`` until the end; then ``done``, ``stopped``, ``truncated`` or ``failed``."""
        return self.outcome.end

    @property
    def error(self) -> TailraceError | None:
        """The failure that ended the stream, which the iteration has raised; None without one."""
        return self.outcome.error

    @property
    def finish_reason(self) -> str | None:
        """The reason why the model stopped, as the reply states it; None where it states none."""
        return self.outcome.finish_reason

    @property
    def usage(self) -> Usage | None:
        """The token counts the reply reported."""
        return self.outcome.usage

    @property
    def ids(self) -> dict[str, str]:
        """The names the reply gave itself: ``id``, ``model``, ``thread_id``, …."""
        return self.outcome.ids

    @property
    def bad_events(self) -> int:
        """The number of events skipped because their data was not of the dialect."""
        return self.outcome.bad_events

    @property
    def attempts(self) -> tuple[TailraceError, ...]:
        """The failures that were followed by another attempt at the same site, in their order."""
        return self.outcome.attempts

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that the model asks for, in the order they began, as far as they came."""
        return self.outcome.tool_calls

    @property
    def reasoning(self) -> str:
        """The model's reasoning, or a summary, as far as it came; empty where it shows none."""
        return self.outcome.reasoning

    @property
    def refusal(self) -> str:
        """The text by which the model refuses to answer, where the API keeps that apart."""
        return self.outcome.refusal

    @property
    def timings(self) -> Timings | None:
        """The times of the reply, as far as it has come; None where they were not asked for."""
        return self.outcome.timings

    @property
    def thinking_blocks(self) -> tuple[ThinkingBlock, ...]:
        """The reasoning as a service that signs it wants it back; empty where none does."""
        return self.outcome.thinking_blocks

    @property
    def text_signature(self) -> str | None:
        """The signature that Gemini's API wants back with the text; None for other replies."""
        return self.outcome.text_signature

    @property
    def passed_over(self) -> dict[str, int]:
        """The amounts, by kind, of what no delta is made of: citations, images, …."""
        return self.outcome.passed_over

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.end}>"


def warn_of_more_than_text(reply: HasOutcome, returned_by: str) -> None:
    """Log what the caller of a function that returns text alone does not get of a reply.

    `returned_by`: the function's name. Reasoning and citations are no part of an answer, and not
    spoken of.
    """
    count = len(reply.tool_calls)
    more = [f"{count} tool call{'' if count == 1 else 's'}"] if count else []
    if reply.refusal:
        more.append("a refusal")
    more += [
        f"{count} {kind}{'' if count == 1 or kind == 'audio' else 's'}"
        for kind, count in reply.passed_over.items()
        if kind in _DATA
    ]
    if more:
        log.warning(
            "%s returns the text of an answer, which also holds %s: a stream has those, too",
            returned_by,
            " and ".join(more),
        )


_DATA = ("image", "audio", "file")
"""Kinds of what is passed over that may be all that was asked for."""
