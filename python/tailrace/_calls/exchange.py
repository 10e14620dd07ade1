"""The protocols between a stream and the call that opens its reply.

A provider's call is an `Exchange`: opening it sends the request and gives an `Opening`, the reply's
`ByteSource` and the decoder made for it. Streams, retries and throttles know these protocols and no
provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from tailrace._native import DeltaDecoder, ThinkingBlock, ToolCall, Usage
    from tailrace.errors import StreamError, TailraceError

__all__ = ["ByteSource", "D", "Decoder", "Exchange", "ExchangeOf", "Opening", "OpeningOf"]


class ByteSource(Protocol):
    """The bytes of one reply; `tailrace.transport.Response` is one.

    A source with an attribute `retry_after` (seconds, or None) has it copied to the error that an
    error status makes. One with a method `relay` hands its bytes on where they arrive, as
    that of `tailrace.transport.AiohttpTransport` does.
    """

    async def read(self) -> bytes:
        """Return the next bytes as they came, ``b""`` at the end.

        Raises `ReplyBrokenError` when the reply broke off, and `LimitExceeded`.
        """
        ...


class Decoder(Protocol):
    """The state that a stream reads from the decoder it feeds; `DeltaDecoder` has it."""

    @property
    def end(self) -> str:
        """``open`` while there may be more to read; then as `tailrace.Outcome.end`."""
        ...

    @property
    def error(self) -> StreamError | None:
        """The reason for an `end` of ``failed`` or ``truncated``."""
        ...

    @property
    def framing(self) -> str:
        """The framing of the reply; ``json`` and ``text`` are replies without events."""
        ...

    @property
    def events(self) -> int:
        """The number of events seen."""
        ...

    @property
    def bad_events(self) -> int:
        """The number of events skipped."""
        ...

    @property
    def finish_reason(self) -> str | None:
        """The reason why the model stopped, as the reply states it; None where it states none."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The token counts that the reply reported."""
        ...

    @property
    def ids(self) -> dict[str, str]:
        """The names that the reply gave itself: ``id``, ``model``, ``thread_id``, …."""
        ...

    def collect(self) -> None:
        """Keep what is no text from now on, for the properties below."""
        ...

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the reply, as far as they have come."""
        ...

    @property
    def reasoning(self) -> str:
        """The model's reasoning, as far as it has come."""
        ...

    @property
    def refusal(self) -> str:
        """The text by which the model refuses to answer."""
        ...

    @property
    def thinking_blocks(self) -> tuple[ThinkingBlock, ...]:
        """The blocks of the reasoning that are to be sent back."""
        ...

    @property
    def text_signature(self) -> str | None:
        """The signature of the text, which is to be sent back with it; None without one."""
        ...

    @property
    def passed_over(self) -> dict[str, int]:
        """The amounts, by kind, of what the reply holds and no delta is made of."""
        ...


D = TypeVar("D", bound=Decoder)


class OpeningOf(NamedTuple, Generic[D]):
    """One reply about to be read, and the decoder made for it."""

    source: ByteSource
    decoder: D


class ExchangeOf(Protocol[D]):
    """One call, from its first request to the closing of its connection.

    Every failure is a TailraceError. A stream opens an exchange once, calls `again` for each reply
    that failed before its first delta, and closes the exchange once.
    """

    async def open(self) -> OpeningOf[D]:
        """Send the request and return the reply."""
        ...

    async def again(self, opening: OpeningOf[D], error: TailraceError) -> OpeningOf[D] | None:
        """Return another reply in place of `opening`, which failed before a delta was delivered.

        None: the failure stands. An error raised here replaces it.
        """
        ...

    def conceal(self, error: TailraceError) -> None:
        """Take what was sent as a secret out of an error, which a reply may have brought."""
        ...

    async def aclose(self) -> None:
        """Close what is open; the connection is gone when this returns."""
        ...

    def abort(self) -> None:
        """Begin to close without waiting, for finalizers; called in the loop of `open`."""
        ...


Opening: TypeAlias = OpeningOf["DeltaDecoder"]
"""A reply that a `DeltaDecoder` reads."""

Exchange: TypeAlias = ExchangeOf["DeltaDecoder"]
"""A call whose replies a `DeltaDecoder` reads: what a provider implements."""
