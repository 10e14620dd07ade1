"""The softwares that a site may run, as one table; a new software is a new row.

A row names the protocol's call, the options that only its sites have, and the dialects of its
replies.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from tailrace.errors import InvalidRequestError
from tailrace.providers._anthropic import AnthropicCall, AnthropicOptions
from tailrace.providers._gemini import GeminiCall, GeminiOptions
from tailrace.providers._geminiprochat import (
    ChatgptDemoCall,
    ChatgptDemoOptions,
    GeminiProChatCall,
    SignedOptions,
)
from tailrace.providers._ollama import OllamaCall, OllamaOptions
from tailrace.providers._openai import OpenAICall, OpenAIOptions
from tailrace.providers._visitor import Visitor
from tailrace.providers._wordpress import (
    AIEngineCall,
    AIEngineOptions,
    WordPressCall,
    WordPressOptions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.providers._base import Call

__all__ = [
    "DEFAULT_SOFTWARE",
    "NONE_IS_SAID",
    "SOFTWARE",
    "Software",
    "SoftwareName",
    "software_named",
]

SoftwareName = Literal[
    "wordpress",
    "ai-engine",
    "geminiprochat",
    "chatgpt-demo",
    "openai",
    "anthropic",
    "gemini",
    "ollama",
]
"""The names of the softwares, for whoever checks types: those of `SOFTWARE`, in its order."""

NONE_IS_SAID = frozenset({"stream_options"})
"""Options of a software for which None is a value of its own, and not the default."""

DEFAULT_SOFTWARE: SoftwareName = "wordpress"
"""The software of a URL unless another one is given: most chat pages are WordPress pages."""


@dataclass(frozen=True, slots=True)
class Software:
    """One software: its name, its protocol, and the dialects of its replies.

    `call`: the class of a call to such a site; `options_type`: the record of the options that only
    such sites have. `has_page`: whether a site shows a page; `has_tokens`: whether messages need
    tokens from the page.
    """

    name: SoftwareName
    dialects: tuple[str, ...]
    call: type[Call[Any]]
    options_type: type[Any]
    has_page: bool = True
    has_tokens: bool = False

    options: frozenset[str] = field(init=False)
    """The names of the options that only sites of this software have."""

    def __post_init__(self) -> None:
        names = frozenset(each.name for each in fields(self.options_type))
        object.__setattr__(self, "options", names)

    @property
    def visitor_ids(self) -> frozenset[str]:
        """The ids of a visitor by which sites may know a dialogue; none where they know none."""
        return self.options.intersection(Visitor.__slots__)

    def read_options(self, options: Mapping[str, Any]) -> Any:
        """Return those of `options` that only this software has, as its `options_type`.

        Raises InvalidRequestError for a wrong value.
        """
        known = self.options
        given = {name: value for name, value in options.items() if name in known}
        return self.options_type(
            **{
                name: value
                for name, value in given.items()
                if value is not None or name in NONE_IS_SAID
            }
        )


_ROWS = (
    Software(
        "wordpress",
        ("ai-power", "aipkit", "ai-engine"),  # the page shows which of these
        WordPressCall,
        WordPressOptions,
        has_tokens=True,
    ),
    Software("ai-engine", ("ai-engine",), AIEngineCall, AIEngineOptions, has_tokens=True),
    Software("geminiprochat", ("text",), GeminiProChatCall, SignedOptions),
    Software("chatgpt-demo", ("text",), ChatgptDemoCall, ChatgptDemoOptions),
    Software("openai", ("openai", "openai-responses"), OpenAICall, OpenAIOptions, has_page=False),
    Software("anthropic", ("anthropic",), AnthropicCall, AnthropicOptions, has_page=False),
    Software("gemini", ("gemini",), GeminiCall, GeminiOptions, has_page=False),
    Software("ollama", ("ollama",), OllamaCall, OllamaOptions, has_page=False),
)

SOFTWARE: Mapping[str, Software] = {row.name: row for row in _ROWS}
"""All softwares by name."""

FORMER_NAMES: Mapping[str, str] = {"ai-power": "wordpress", "aipkit": "wordpress"}
"""Names that a software had in earlier versions, and its name now."""


def software_named(name: str) -> Software:
    """Return the software of that name; raises InvalidRequestError for an unknown one."""
    if isinstance(name, str) and name in SOFTWARE:
        return SOFTWARE[name]
    raise InvalidRequestError(unknown_software(name))


def unknown_software(name: object) -> str:
    """Return the message for an unknown software, with the names that may be meant."""
    if isinstance(name, str) and name in FORMER_NAMES:
        return (
            f'{name!r} is now called {FORMER_NAMES[name]}: write software = "{FORMER_NAMES[name]}"'
        )
    return f"there is no software {name!r}: expected one of {', '.join(SOFTWARE)}"
