"""What a wire is to the gateway: a reader of requests, and an encoder of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from tailrace import Delta, DeltaDecoder, Usage
    from tailrace.errors import TailraceError
    from tailrace.gateway._problems import Problem
    from tailrace.gateway._wires.request import ModelRequest

    WholeAnswer: TypeAlias = "tuple[list[Delta], Ending]"

__all__ = ["AnswerEncoder", "Ending", "Identity", "Wire"]


class Identity(msgspec.Struct, frozen=True):
    """The names by which an answer calls itself: its id, when it began, its model.

    `created`: seconds since 1970; `fingerprint`: that of the gateway and the site.
    """

    id: str
    created: int
    model: str
    fingerprint: str


class Ending(msgspec.Struct, frozen=True):
    """The end of an answer: the site's finish reason and its token counts.

    `estimated`: the counts are a guess; `stop_sequence`: the one that the answer ran into, which
    the gateway looks for itself.
    """

    reason: str | None
    usage: Usage
    estimated: bool
    stop_sequence: str | None = None


class AnswerEncoder(Protocol):
    """One answer on its way to a client: deltas in, bytes out."""

    @property
    def failure(self) -> TailraceError | None:
        """The reason why the encoder itself ended the stream as failed; None where it did not."""

    def start(self) -> bytes:
        """Return the events that a stream begins with."""

    def events(self, deltas: list[Delta]) -> bytes:
        """Return the events of some deltas."""

    def relay(self, decoder: DeltaDecoder, data: bytes) -> tuple[bytes, int, int]:
        """Return the events of the deltas that `data` completes in `decoder`.

        With them come how many deltas there were, and how many characters they have.
        """

    def keep_alive(self) -> bytes:
        """Return what is sent while the site is silent."""

    def finish(self, ending: Ending) -> bytes:
        """Return the events that end an answer."""

    def error(self, problem: Problem) -> bytes:
        """Return the last event of an answer that failed."""

    def whole(self, deltas: list[Delta], ending: Ending) -> bytes:
        """Return the whole body of an answer that is not streamed."""


class Wire(Protocol):
    """One of the APIs that clients speak; `id_prefix`: what the ids of its answers begin with."""

    id_prefix: ClassVar[str]

    def read(self, body: bytes) -> ModelRequest:
        """Read a request; raises RefusedError, which names the field that cannot be taken."""

    def encoder(self, request: ModelRequest, identity: Identity) -> AnswerEncoder:
        """Make the encoder of one answer."""
