"""What a reply holds besides its text: for those who were shown its text alone, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import click

from tailrace import finish_reason_of
from tailrace._printable import visible_line

if TYPE_CHECKING:
    from tailrace import ToolCall
    from tailrace.errors import TailraceError

__all__ = ["HasMore", "failure_fields", "how_cut", "named", "tell_besides", "told"]

_MOST_NAMES = 5
_LONGEST_REFUSAL = 200  # characters


class HasMore(Protocol):
    """A decoder, a stream or the record of a reply."""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the reply."""
        ...

    @property
    def reasoning(self) -> str:
        """The model's reasoning."""
        ...

    @property
    def refusal(self) -> str:
        """The text by which the model refuses to answer."""
        ...

    @property
    def finish_reason(self) -> str | None:
        """The reason for which the model ended, in the service's word."""
        ...

    @property
    def passed_over(self) -> dict[str, int]:
        """The amounts, by kind, of what the reply holds and no delta is made of."""
        ...


def tell_besides(reply: HasMore) -> None:
    """Print lines on stderr: what a reply holds besides text, and why it was cut, if it was."""
    if cut := how_cut(reply):
        click.echo(f"tailrace: {cut}", err=True)
    if more := named(reply):
        click.echo(f"tailrace: besides its text the reply holds {more}; --json shows it", err=True)


def how_cut(reply: HasMore) -> str:
    """Return in words that an answer was cut or filtered; empty for one that was not."""
    reason = reply.finish_reason
    if reason is None or finish_reason_of(reason) not in ("length", "content_filter"):
        return ""
    return f"the answer was cut: its finish reason is {visible_line(reason)}"


def named(reply: HasMore) -> str:
    """Return in words what a reply holds besides text; empty where there is nothing."""
    words = []
    if calls := reply.tool_calls:
        names = ", ".join(
            visible_line(call.name) or "without a name" for call in calls[:_MOST_NAMES]
        )
        more = ", …" if len(calls) > _MOST_NAMES else ""
        words.append(f"{len(calls)} tool {'call' if len(calls) == 1 else 'calls'} ({names}{more})")
    if reply.refusal:
        words.append(f"a refusal ({visible_line(reply.refusal[:_LONGEST_REFUSAL])})")
    if reply.reasoning:
        words.append(f"reasoning ({len(reply.reasoning):,} characters)")
    if passed_over := reply.passed_over:
        counts = ", ".join(f"{kind} {count:,}" for kind, count in passed_over.items())
        words.append(f"what is passed over ({counts})")
    return ", ".join(words)


def told(reply: HasMore) -> dict[str, Any]:
    """Return what a reply holds besides text as fields of JSON."""
    return {
        "tool_calls": [_call_fields(call) for call in reply.tool_calls],
        "reasoning": reply.reasoning,
        "refusal": reply.refusal,
        "passed_over": reply.passed_over,
    }


def _call_fields(call: ToolCall) -> dict[str, Any]:
    """Return the fields of a call, its signature where it has one."""
    fields = call._asdict()
    if call.signature is None:
        del fields["signature"]
    return fields


def failure_fields(error: TailraceError) -> dict[str, Any]:
    """Return a failure as fields of JSON; None for what an error of its type does not have.

    `kind`, `status`, `code`: those of a `StreamError`; `retry_after`: seconds, by the reply's
    Retry-After header.
    """
    names = ("kind", "status", "code", "retry_after")
    return {
        "type": type(error).__name__,
        "message": str(error),
        **{name: getattr(error, name, None) for name in names},
    }
