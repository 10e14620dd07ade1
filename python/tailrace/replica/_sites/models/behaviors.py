"""The words in a message that change a model's reply, and the change that each makes.

Several words in one message make all of their changes, unless one of them is an error's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeAlias

from tailrace.replica._response import NO_RESPONSE, SiteResponse
from tailrace.replica._site import Marker
from tailrace.replica._sites.outcomes import LONG_TEXT, ModelAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tailrace.replica._exchanges import ServedExchange


@dataclass(frozen=True, slots=True)
class ModelBehavior(ModelAnswer):
    """The behavior of the model in its reply.

    `calls`: the number of functions that it calls, where it may; `thinks`: before it answers;
    `refuses`: instead of an answer; `is_filtered`: a filter stops the answer; `keep_alives`:
    something that is no answer comes with each part of a stream.
    """

    calls: int = 0
    thinks: bool = False
    refuses: bool = False
    is_filtered: bool = False
    keep_alives: bool = False

    def changed_by(self, other: ModelBehavior) -> ModelBehavior:
        """Return this behavior with all in which `other` differs from the usual one."""
        changes = {
            field.name: getattr(other, field.name)
            for field in fields(other)
            if getattr(other, field.name) != field.default
        }
        return replace(self, **changes)


ModelMarker: TypeAlias = Marker[ModelBehavior | SiteResponse]


def find_behavior(
    markers: Iterable[ModelMarker], message: str, exchange: ServedExchange
) -> ModelBehavior | SiteResponse:
    """Return the behavior that the words in `message` ask for; `exchange` records the words."""
    behavior = ModelBehavior()
    for marker in markers:
        if marker.text in message:
            exchange.markers += (marker.name,)
            if isinstance(marker.behavior, SiteResponse):
                return marker.behavior
            behavior = behavior.changed_by(marker.behavior)
    return behavior


HTML_502: ModelMarker = Marker(
    "html502",
    "502 and a page: a proxy's word",
    SiteResponse([b"<html>the gate is shut</html>"], "text/html", 502),
)
TOOL: ModelMarker = Marker("tool", "one tool of the request is called", ModelBehavior(calls=1))
TOOLS: ModelMarker = Marker(
    "tools", "two tools are called at once, or one of them twice", ModelBehavior(calls=2)
)
THINK: ModelMarker = Marker(
    "think", "the model thinks before it answers", ModelBehavior(thinks=True)
)
CUT: ModelMarker = Marker(
    "cut", "the response ends in the middle of a line", ModelBehavior(end="cut")
)
STALL: ModelMarker = Marker(
    "stall",
    "after a few words nothing more comes, and the connection stays",
    ModelBehavior(end="stall"),
)
SILENT: ModelMarker = Marker("silent", "not even a status line comes", NO_RESPONSE)
LONG: ModelMarker = Marker("long", "400 words that can be counted", ModelBehavior(LONG_TEXT))
EMPTY: ModelMarker = Marker("empty", "an empty answer", ModelBehavior(""))
SLOW: ModelMarker = Marker("slow", "ten times the pace", ModelBehavior(slowness=10))


def midfail(shows: str) -> ModelMarker:
    """Return the word for a reply that fails in its middle."""
    return Marker("midfail", shows, ModelBehavior(end="midfail"))


def without_end(shows: str) -> ModelMarker:
    """Return the word for a whole reply whose end marker is missing."""
    return Marker("nodone", shows, ModelBehavior(end="nodone"))


def refused(shows: str) -> ModelMarker:
    """Return the word for a refusal."""
    return Marker("refuse", shows, ModelBehavior(refuses=True))


def filtered(shows: str) -> ModelMarker:
    """Return the word for an answer that a filter stops."""
    return Marker("filtered", shows, ModelBehavior("Half of wh", is_filtered=True))
