"""A visitor of a site: the ids a dialogue is known by there, and one message to be sent."""

from __future__ import annotations

import string
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from tailrace._messages import Turn

__all__ = ["Outgoing", "Visitor", "check_visitor_id"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """The ids of one dialogue, random unless a caller gives those of an earlier one."""

    client_id: str
    """1.x: 10 letters and digits."""
    session_id: str
    """AIPKit: a guest's UUID."""
    conversation_uuid: str
    """AIPKit: of the dialogue within the session; the server remembers a dialogue by it."""
    thread_id: str | None = None
    """1.x, Assistants bots: the ``thread_id`` of `ChatStream.ids`."""
    previous_openai_response_id: str | None = None
    """AIPKit: the ``openai_response_id`` of `ChatStream.ids`."""

    @classmethod
    def of(cls, known: Mapping[str, str | None], chance: random.Random) -> Visitor:
        """Return a visitor with the ids that are known and random ones for the rest.

        Raises InvalidRequestError for an id that no site can have made.
        """
        ids = {name: known[name] for name in cls.__slots__ if known.get(name) is not None}
        for name, value in ids.items():
            check_visitor_id(name, value)
        ids.setdefault(
            "client_id", "".join(chance.choices(string.ascii_letters + string.digits, k=10))
        )
        ids.setdefault("session_id", _uuid(chance))
        ids.setdefault("conversation_uuid", _uuid(chance))
        return cls(**ids)  # type: ignore[arg-type]  # none of them is None: see above


def check_visitor_id(name: str, value: object) -> None:
    """Raise InvalidRequestError unless the value of the id `name` is visible ASCII, or None."""
    if value is None:
        return
    if not isinstance(value, str) or not value.isprintable() or not value.isascii():
        raise InvalidRequestError(f"{name} must be visible ASCII text, as the site gave it")


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to be sent. The repr does not show its text."""

    message: str = field(repr=False)
    history: list[Turn] = field(repr=False)
    visitor: Visitor
    chance: random.Random = field(repr=False)
    now_ms: int
