"""A decoder of server-sent events with the state that a stream reads from its decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace._native import DeltaDecoder, ServerSentEvent, SSEDecoder
from tailrace.errors import FIRST_ERROR_STATUS, LimitExceeded

if TYPE_CHECKING:
    from tailrace._native import ThinkingBlock, ToolCall, Usage
    from tailrace.errors import StreamError

__all__ = ["EventDecoder"]


class EventDecoder:
    """An `SSEDecoder` that ends as a `DeltaDecoder` does: with a state, not with an exception.

    The body of a status of 400 or more holds no events: it becomes an error. Events have no finish
    reason, no token counts, no ids and no tool calls: that is for their reader to find in them.
    """

    def __init__(self, *, content_type: str | None, status: int, max_event_bytes: int) -> None:
        self._decoder = SSEDecoder(max_event_bytes=max_event_bytes)
        # Made for any status, because its constructor checks the status.
        refusal = DeltaDecoder(content_type=content_type, status=status)
        self._refusal = refusal if status >= FIRST_ERROR_STATUS else None
        self.end: str = "open"
        self.error: StreamError | None = None
        self.framing: str = "sse"
        self.events: int = 0
        self.bad_events: int = 0
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.ids: dict[str, str] = {}
        self.tool_calls: tuple[ToolCall, ...] = ()
        self.reasoning: str = ""
        self.refusal: str = ""
        self.thinking_blocks: tuple[ThinkingBlock, ...] = ()
        self.text_signature: str | None = None
        self.passed_over: dict[str, int] = {}

    def collect(self) -> None:
        """Do nothing: all that there is are events."""

    @property
    def last_event_id(self) -> str:
        """The last event id in force."""
        return self._decoder.last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time in force, in milliseconds."""
        return self._decoder.retry

    def feed(self, data: bytes, at: int | None = None) -> list[ServerSentEvent]:
        """Return the events that `data` completes; `at`: when it was read, in nanoseconds."""
        if self._refusal is not None:
            self._refusal.feed(data)
            self._end(self._refusal.end, self._refusal.error)
            return []
        try:
            events = self._decoder.feed(data, at)
        except LimitExceeded as error:
            self._end("failed", error)
            return []
        self.events += len(events)
        return events

    def close(self, *, complete: bool) -> list[ServerSentEvent]:
        """End the reply and drop an unfinished event; `complete` false: the transport broke."""
        if self.end != "open":
            return []
        if self._refusal is not None:
            self._refusal.close(complete=complete)
            self._end(self._refusal.end, self._refusal.error)
            return []
        try:
            events = self._decoder.close()
        except LimitExceeded as error:
            self._end("failed", error)
            return []
        self._end("done" if complete else "truncated", None)
        return events

    def _end(self, end: str, error: StreamError | None) -> None:
        self.end, self.error = end, error
