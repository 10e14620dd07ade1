"""What every site of the replica is: pages, markers, and the replies it decides on.

How they are sent is `sending`'s; what goes wrong on the way is `faults`'. This module knows no
dialect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from aiohttp import web

from tailrace.errors import InvalidRequestError
from tailrace.replica._answers import Question, Turn
from tailrace.replica._exchanges import Exchange

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from tailrace.replica._answers import Answers
    from tailrace.replica._sending import Break, Forever
    from tailrace.replica._sites.wordpress.nonces import Nonces

EXCHANGE = web.RequestKey("exchange", Exchange)
PREFIX = web.RequestKey("prefix", str)
"""What stood before the path that a site sees; it belongs before the paths of the links the site
shows.
"""

Play = TypeVar("Play")
Ending = Literal["cleanly", "never", "silently"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a site: its short name, its path, and what it is there to show."""

    name: str
    path: str
    shows: str


@dataclass(frozen=True, slots=True)
class Marker(Generic[Play]):
    """A word that, written as ``[[name]]`` in a message, makes a site do what `shows` says; `play`
    is the site's.
    """

    name: str
    shows: str
    play: Play = field(repr=False)

    @property
    def text(self) -> str:
        """The word as it stands in a message."""
        return f"[[{self.name}]]"


def find_marker(markers: Iterable[Marker[Play]], message: str) -> Marker[Play] | None:
    """Return the first of `markers` whose word is in `message`."""
    return next((marker for marker in markers if marker.text in message), None)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it goes out: one HTTP chunk for each of `chunks`, `pace` seconds between them.

    `ends`: ``cleanly``; ``never`` (after the chunks nothing more comes and the connection stays);
    ``silently`` (not even a status line comes). `content_type` None: the reply has no Content-Type.
    `coding`: the Content-Encoding, for clients that accept it. `forever` comes after the chunks,
    `breaks` says where all of it ends too early, and with `http_1_0` it has neither length nor
    chunks.
    """

    chunks: Sequence[bytes]
    content_type: str | None
    status: int = 200
    reason: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    pace: float = 0.0
    ends: Ending = "cleanly"
    coding: str = ""
    forever: Forever | None = None
    breaks: Break | None = None
    http_1_0: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the sites of one replica share.

    Times are in seconds; `stopping` is set when the replica shuts down.
    """

    answers: Answers
    pace: float
    clock: Callable[[], float]
    nonce_lifetime: float
    secret: str
    password: str | None
    api_key: str | None
    stopping: asyncio.Event


class Site(ABC):
    """One site: what it shows and how it answers."""

    name: ClassVar[str]
    shows: ClassVar[str]
    pages: ClassVar[tuple[Page, ...]]
    markers: ClassVar[tuple[Marker[Any], ...]]

    nonces: Nonces | None = None
    """What a page must show for a message to be taken, where the site wants it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    async def answer(self, request: web.Request) -> Reply:
        """Return the reply to `request`, whatever its path."""

    def expire_nonces(self) -> None:
        """Refuse the nonces of pages served so far."""
        if self.nonces is None:
            raise InvalidRequestError(f"{self.name} has no nonces")
        self.nonces.expire()

    async def page_of(self, request: web.Request) -> str:  # noqa: ARG002 - of a site whose requests say nothing
        """Return the URL of the page that `request` says it was made on, or nothing."""
        return ""

    async def ask(self, message: str, history: Sequence[Turn]) -> str:
        """Return what the model answers, with each lone surrogate replaced, as a site's encoder
        does.
        """
        answer = await self.settings.answers(Question(self.name, message, tuple(history)))
        return well_formed(answer)


def well_formed(text: str) -> str:
    """Return `text` with one U+FFFD for each lone surrogate, as a browser's encoder writes it."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
