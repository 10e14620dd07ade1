"""The answer of one turn of a conversation, as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace._streams.closing import BatchStream, T, texts_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tailrace._native import Delta
    from tailrace._streams.closing import TextStream
    from tailrace._streams.outcome import Outcome

__all__ = ["ConversationStream"]


class ConversationStream(BatchStream):
    """A stream of text whose answer joins its conversation once it has been read to its end.

    `settle` is called once: with the whole answer and its outcome, or with None for an answer that
    failed or was not read to its end, which is not part of the conversation.
    """

    def __init__(
        self, stream: TextStream, settle: Callable[[tuple[str, Outcome] | None], None]
    ) -> None:
        super().__init__()
        self._stream = stream
        self._settle = settle
        self._answer: list[str] = []
        self._is_open = True

    @property
    def outcome(self) -> Outcome:
        """The record of how the answer ended, or of how far it is."""
        return self._stream.outcome

    @property
    def is_answering(self) -> bool:
        """Whether a server has begun to answer: the head of its reply came and tells no error."""
        return self._stream.is_answering

    def watch(self, heard: Callable[[], None] | None) -> None:
        """Call `heard` whenever events came that add nothing to the answer, such as its role.

        None ends that.
        """
        self._stream.watch(heard)

    def _deltas_of(self, texts: Iterable[str]) -> list[Delta]:
        return self._stream._deltas_of(texts)  # noqa: SLF001 - of the same base

    def __del__(self) -> None:
        self._give_up()

    async def aclose(self) -> None:
        """Stop reading; the connection is closed when this returns. Closing twice is allowed.

        An answer that was not read to its end is not part of the conversation.
        """
        self._give_up()
        self._forget()
        await self._stream.aclose()

    async def _read_texts(self) -> list[str]:
        texts = await self._watched(self._stream.read())
        self._answer += texts
        return texts

    async def _read_deltas(self) -> list[Delta]:
        deltas = await self._watched(self._stream.deltas().read())
        self._answer += texts_of(deltas)
        return deltas

    async def _watched(self, read: Awaitable[list[T]]) -> list[T]:
        try:
            items = await read
        except BaseException:
            self._finish()
            raise
        if not items:
            self._finish()
        return items

    def _give_up(self) -> None:
        if self._is_open:
            self._is_open = False
            self._settle(None)

    def _finish(self) -> None:
        if self._is_open:
            self._is_open = False
            outcome = self._stream.outcome
            is_whole = outcome.end in ("done", "stopped")
            self._settle(("".join(self._answer), outcome) if is_whole else None)
