"""The record of a stream that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace._headers import seconds_to_wait
from tailrace._native import ThinkingBlock, ToolCall, Usage  # noqa: TID251 - it makes records of them
from tailrace._streams.reading import failure_of_cut
from tailrace.errors import ResponseStatusError, reply_error
from tailrace_fleet._faults import failure_of

if TYPE_CHECKING:
    import builtins

    from tailrace.errors import TailraceError
    from tailrace_fleet._faults import Circumstances
    from tailrace_fleet._native import Facts

__all__ = ["Ended"]


class Ended:
    """The record of a stream that has ended; a batch has those of its streams.

    `tag`: the request's own number. `end`: ``done``, ``stopped``, ``truncated`` or ``failed``, as
    `tailrace.Outcome` has them, or ``cancelled``. `error`: the failure, as a stream of a site would
    have raised it; None without one. `status`: the reply's HTTP status, None where no head came.
    `usage`, `finish_reason`, `ids`, `bad_events`, `passed_over`: those of `tailrace.Outcome`.
    `events`: how many were seen. `deltas`: how many rows it had. `bytes`: of the body, unpacked.

    Times are nanoseconds as `time.monotonic_ns` counts them, None for what did not happen:
    `sent_ns`, when its name or connection was looked for; `first_byte_ns`, when the head was in;
    `first_text_ns` and `last_ns`, when the first text and the last bytes were read; `ended_ns`,
    when the end was known.

    `text`: the whole text, None where the fleet keeps none. `body`: the reply's bytes, unpacked,
    None unless the fleet keeps those.
    """

    __slots__ = (
        "_facts",
        "bad_events",
        "bytes",
        "deltas",
        "end",
        "ended_ns",
        "error",
        "events",
        "finish_reason",
        "first_byte_ns",
        "first_text_ns",
        "last_ns",
        "sent_ns",
        "status",
        "tag",
        "usage",
    )

    tag: int
    end: str
    error: TailraceError | None
    status: int | None
    finish_reason: str | None
    usage: Usage | None
    sent_ns: int | None
    first_byte_ns: int | None
    first_text_ns: int | None
    last_ns: int | None
    ended_ns: int
    bytes: int
    deltas: int
    events: int
    bad_events: int

    def __init__(self, facts: Facts, around: Circumstances) -> None:
        """Make the record of these facts; a fleet does so."""
        self._facts = facts
        self.tag = facts.tag
        self.status = facts.status
        self.finish_reason = facts.finish_reason
        self.usage = None if facts.usage is None else Usage(*facts.usage)
        self.sent_ns, self.first_byte_ns, self.first_text_ns, self.last_ns, self.ended_ns = (
            facts.times
        )
        self.bytes, self.deltas, self.events, self.bad_events = facts.counts
        self.end, self.error = _end_of(facts, around)
        if self.error is not None:
            _conceal(self.error, facts, around)

    @property
    def headers(self) -> dict[str, str]:
        """The reply's headers by their names in lower case, of a repeated one the first."""
        return self._facts.headers()

    @property
    def ids(self) -> dict[str, str]:
        """The names the reply gave itself: ``id``, ``model``, ``thread_id``, …."""
        return self._facts.ids()

    @property
    def response_id(self) -> str | None:
        """The reply's ``id``, None where it gave none."""
        return self._facts.ids().get("id")

    @property
    def model(self) -> str | None:
        """The model's name, as the reply tells it."""
        return self._facts.ids().get("model")

    @property
    def passed_over(self) -> dict[str, int]:
        """The amounts, by kind, of what no row is made of: citations, images, …."""
        return self._facts.passed_over()

    @property
    def text(self) -> str | None:
        """The whole text; None where the fleet keeps none."""
        return self._facts.text

    @property
    def body(self) -> builtins.bytes | None:
        """The reply's bytes, unpacked; None unless the fleet was told to keep them."""
        return self._facts.body

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that the model asks for; empty unless the fleet keeps all."""
        return tuple(ToolCall(*each) for each in self._facts.tool_calls())

    @property
    def reasoning(self) -> str:
        """The model's reasoning, or a summary; empty unless the fleet keeps all."""
        return self._facts.reasoning

    @property
    def refusal(self) -> str:
        """The text by which the model refuses to answer; empty unless the fleet keeps all."""
        return self._facts.refusal

    @property
    def thinking_blocks(self) -> tuple[ThinkingBlock, ...]:
        """The reasoning as a service that signs it wants it back; empty unless all is kept."""
        return tuple(ThinkingBlock(*each) for each in self._facts.thinking_blocks())

    @property
    def text_signature(self) -> str | None:
        """The signature that is to be sent back with the text; None unless the fleet keeps all."""
        return self._facts.text_signature

    def __repr__(self) -> str:
        return f"<Ended {self.tag} {self.end}>"


def _end_of(facts: Facts, around: Circumstances) -> tuple[str, TailraceError | None]:
    """Tell how a stream ended, and its error."""
    end = facts.end
    if end == "cancelled":
        return end, None
    failure = failure_of(facts, around)
    if end == "unopened":
        return "failed", failure
    if facts.body is not None:
        return end, failure
    verdict = _verdict(facts)
    return end, verdict if failure is None else failure_of_cut(end, verdict, failure)


def _conceal(error: TailraceError, facts: Facts, around: Circumstances) -> None:
    """Take what was sent as a secret out of an error, which a reply may have brought."""
    from tailrace._secrecy import SentSecrets  # noqa: PLC0415 - for requests that failed

    proxy = around.proxy
    credentials = (None, None) if proxy is None else (proxy.username, proxy.password)
    sent = SentSecrets.of_request(facts.url, facts.sent_headers(), proxy=credentials)
    sent.out_of_error(error)


def _verdict(facts: Facts) -> TailraceError | None:
    """Make the error that the decoder found."""
    if facts.error is None:
        return None
    error = reply_error(*facts.error)  # type: ignore[arg-type]  # of the kinds, by name
    if isinstance(error, ResponseStatusError):
        headers = facts.headers()
        error.retry_after = seconds_to_wait(
            headers.get("retry-after"), headers.get("date"), headers.get("retry-after-ms")
        )
    return error
