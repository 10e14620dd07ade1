"""The base of every site of the replica: its pages, its markers and its responses.

This module depends on no software, no framing and no fault.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from aiohttp import web

from tailrace.errors import InvalidRequestError
from tailrace.replica._answers import HistoryTurn, Question
from tailrace.replica._exchanges import ServedExchange

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from tailrace.replica._answers import Answers
    from tailrace.replica._nonces import Nonces
    from tailrace.replica._response import SiteResponse

EXCHANGE = web.RequestKey("exchange", ServedExchange)
PREFIX = web.RequestKey("prefix", str)
"""The prefix of a request's path that holds faults; the links of the site begin with it, too."""

Behavior = TypeVar("Behavior")


@dataclass(frozen=True, slots=True)
class SitePage:
    """A page of a site: its short name, its path, and its purpose as one sentence (`shows`)."""

    name: str
    path: str
    shows: str


@dataclass(frozen=True, slots=True)
class Marker(Generic[Behavior]):
    """A word that, written as ``[[name]]`` in a message, makes a site behave as `shows` says.

    `behavior`: the site's own value for this behavior.
    """

    name: str
    shows: str
    behavior: Behavior = field(repr=False)

    @property
    def text(self) -> str:
        """The word as it stands in a message."""
        return f"[[{self.name}]]"


def find_behavior(
    markers: Iterable[Marker[Behavior]], message: str, exchange: ServedExchange
) -> Behavior | None:
    """Return the behavior of the first of `markers` whose word is in `message`.

    `exchange` records the marker.
    """
    for marker in markers:
        if marker.text in message:
            exchange.markers += (marker.name,)
            return marker.behavior
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """Settings that the sites of one replica share.

    `pace`, `nonce_lifetime` and the result of `clock` are in seconds; `stopping` is set when the
    replica shuts down. `Replica` documents each.
    """

    answers: Answers
    pace: float
    clock: Callable[[], float]
    nonce_lifetime: float
    secret: str
    password: str | None
    api_key: str | None
    stopping: asyncio.Event


class ReplicaSite(ABC):
    """One site: a name, the software it runs, its pages, and its response to each request."""

    name: ClassVar[str]
    software: ClassVar[str]
    shows: ClassVar[str]
    pages: ClassVar[tuple[SitePage, ...]]
    markers: ClassVar[tuple[Marker[Any], ...]]

    own_faults: ClassVar[frozenset[str]] = frozenset()
    """The names of faults that sites of this software alone have."""

    nonces: Nonces | None = None
    """The nonces of the site's pages, where the software wants one with each message; else None."""

    def __init__(self, settings: SiteSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def answer(self, request: web.Request) -> SiteResponse:
        """Return the response to `request`, whatever its path."""

    def without_plugin(self, request: web.Request) -> SiteResponse | None:  # noqa: ARG002 - few have one
        """Return the response while the site's chat plugin is off; None where that is the same."""
        return None

    async def own_fault(
        self,
        name: str,  # noqa: ARG002 - few have one
        argument: str,  # noqa: ARG002
        request: web.Request,  # noqa: ARG002
    ) -> SiteResponse | None:
        """Return the response with the fault `name` of `own_faults`; None where it has none."""
        return None

    def is_page(self, path: str) -> bool:
        """Tell whether `path` is that of a page, with or without the slash at its end."""
        return any(page.path in (path, f"{path}/") for page in self.pages)

    def expire_nonces(self) -> None:
        """Refuse the nonces of pages served so far."""
        if self.nonces is None:
            raise InvalidRequestError(f"{self.name} has no nonces")
        self.nonces.expire()

    async def page_of(self, request: web.Request) -> str:  # noqa: ARG002 - most software does not say
        """Return the URL of the page that `request` names as its own, or an empty string."""
        return ""

    async def ask_model(self, message: str, history: Sequence[HistoryTurn]) -> str:
        """Return the model's answer, each lone surrogate in it replaced, as an encoder does."""
        answer = await self.settings.answers(Question(self.name, message, tuple(history)))
        return well_formed(answer)


def well_formed(text: str) -> str:
    """Return `text` with one U+FFFD for each lone surrogate, as a browser's encoder writes it."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
