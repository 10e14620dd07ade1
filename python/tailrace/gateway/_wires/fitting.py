"""What of a request goes to a site: passed on, left out and told, or refused by name.

A server of OpenAI's API gets everything. Another API gets what it has; the rest is refused, for to
leave it out would be an answer to another request. A chat page has text alone: what only tunes an
answer (a temperature, say) has no effect there, and is told as dropped; what changes the answer's
meaning is refused, unless the site or the gateway is set to drop it.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tailrace.gateway._wires.request import refused
from tailrace.providers._chat_form import CALL_KEYS, FUNCTION_KEYS, PART_KEYS, TOOL_KEYS
from tailrace.providers._openai import OWN_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from tailrace.gateway._models import Model
    from tailrace.gateway._wires.request import ModelRequest

    _Keep: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

__all__ = ["TUNING", "SiteRequest", "dropped_field", "dropped_names", "fit"]

TUNING = frozenset(
    {
        "frequency_penalty",
        "max_completion_tokens",
        "max_tokens",
        "presence_penalty",
        "reasoning_effort",
        "seed",
        "temperature",
        "top_k",
        "top_p",
    }
)
"""Options that tune an answer, and do not change what it is good for."""

_WITHOUT_EFFECT = frozenset({"user"})
"""Options that change no answer: left out where a site has no place for them."""

HARMLESS: Mapping[str, tuple[object, ...]] = {
    "frequency_penalty": (0, 0.0),
    "logit_bias": ({},),
    "logprobs": (False,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0, 0.0),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Values that ask for nothing: a site without the option does what they say."""

_TOOL_OPTIONS = ("tools", "tool_choice", "parallel_tool_calls")
_TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}


class SiteRequest(msgspec.Struct, frozen=True):
    """A request as a site can take it: messages and options, and the names of what was dropped."""

    messages: list[dict[str, Any]]
    options: Mapping[str, Any]
    dropped: tuple[str, ...] = ()


def fit(request: ModelRequest, model: Model, *, drops: bool) -> SiteRequest:
    """Return the request as the site of `model` can take it.

    `drops`: what the site cannot take is left out instead of refused. Raises RefusedError, which
    names the first field that the site cannot take.
    """
    fitting = _Fitting(model, drops=drops)
    for name, problem in request.unsupported:
        fitting.leave_out(name, problem)
    fitting.dropped += request.ignored
    options = fitting.options(request)
    extra = fitting.further(request)
    messages = fitting.messages(request)
    if extra:
        options["extra"] = extra
    return SiteRequest(messages, options, tuple(dict.fromkeys(fitting.dropped)))


class _Fitting:
    """A request on its way to one site; `dropped`: the names of what was left out so far."""

    def __init__(self, model: Model, *, drops: bool) -> None:
        self._model = model
        self._api = model.api
        self._drops = drops
        self._named: str | None = None  # the messages, on a wire that numbers its own otherwise
        self.dropped: list[str] = []

    def leave_out(self, name: str, problem: str, code: str = "unsupported_parameter") -> None:
        if not self._drops:
            raise refused(problem, name, code)
        self.dropped.append(name)

    # -- options -----------------------------------------------------------------------------------

    def options(self, request: ModelRequest) -> dict[str, Any]:
        model = self._model
        known = model.options
        asked = _without_idle_tools(request.options)
        if self._speaks_own(request):
            asked = {name: asked[name] for name in asked if name not in request.own_replaces}
        if "tools" not in known and asked.get("tool_choice") == "none":
            asked = {name: each for name, each in asked.items() if name not in _TOOL_OPTIONS}
        taken: dict[str, Any] = {}
        for name, value in asked.items():
            if name in known:
                taken[name] = self._known_tools(value) if name == "tools" else value
            if name in known or _is_harmless(name, value):
                continue
            shown = request.names.get(name, name)
            if name in _WITHOUT_EFFECT or (name in TUNING and not model.has_api):
                self.dropped.append(shown)
            else:
                self.leave_out(shown, f"{shown} is not supported by the site {model.site}")
        return taken

    def _known_tools(self, tools: Any) -> Any:
        """Return tools without what another API has no place for, where that is left out."""
        if not self._drops or self._model.api == "chat":
            return tools
        functions = [tool for tool in tools if tool.get("type", "function") == "function"]
        self.dropped += ("tools" for _ in tools[len(functions) :])
        return [
            self._known_alone("tools", TOOL_KEYS, tool)
            | _inner(tool, "function", partial(self._known_alone, "tools.function", FUNCTION_KEYS))
            for tool in functions
        ]

    def _known_alone(
        self, where: str, known: Container[str], record: dict[str, Any]
    ) -> dict[str, Any]:
        """Return a record with its `known` fields alone; `where`: what the others are told as."""
        left_out = [name for name, value in record.items() if name not in known and value]
        self.dropped += (f"{where}.{name[:_LONGEST_NAME]}" for name in left_out)
        return {name: value for name, value in record.items() if name in known}

    def further(self, request: ModelRequest) -> dict[str, Any]:
        """Return the further fields of the request that the site's own API may know."""
        taken: dict[str, Any] = {}
        if self._speaks_own(request):
            taken |= request.own
            self.dropped += request.own_lost
        else:
            self.dropped += request.own_alone
        if self._model.speaks_openai:
            taken |= self._hints(request)
        else:
            self.dropped += (request.names.get(name, name) for name in request.hints)
        for name, value in request.extra.items():
            is_written = self._model.speaks_openai and name in OWN_FIELDS
            if self._speaks_own(request) and not is_written:
                taken[name] = value
            else:
                shown = name[:_LONGEST_NAME]
                self.leave_out(shown, f"unknown parameter: {shown!r}", "unknown_parameter")
        return taken

    def _hints(self, request: ModelRequest) -> dict[str, Any]:
        """Return the hints as the site's API has them: OpenAI's two APIs differ."""
        if self._api != "responses":
            return dict(request.hints)
        hints = {name: each for name, each in request.hints.items() if name != "verbosity"}
        if hints.pop("prediction", None) is not None:  # of chat completions alone
            self.dropped.append("prediction")
        verbosity = request.hints.get("verbosity")
        return hints if verbosity is None else {**hints, "text": {"verbosity": verbosity}}

    def _speaks_own(self, request: ModelRequest) -> bool:
        return self._api in request.extra_apis

    # -- messages ----------------------------------------------------------------------------------

    def messages(self, request: ModelRequest) -> list[dict[str, Any]]:
        messages = request.messages
        self._named = request.names.get("messages")
        checked = [(f"messages[{number}]", each) for number, each in enumerate(messages)]
        for path, message in checked:
            _check_content(path, message)
        if self._api == "chat":
            return [_without_nulls(message) for message in messages]
        if "messages" in request.own and self._speaks_own(request):
            return [_without(message, _OF_ANSWERS) for message in messages]
        if self._model.has_api:
            return [self._translatable(message) for message in messages]
        fitted = (self._text_alone(path, message) for path, message in checked)
        return [message for message in fitted if message is not None]

    def _translatable(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message for another API, which has no place for what was made of an answer.

        What else it has no place for is its protocol's to refuse.
        """
        # What Gemini's API wants back with a text, no other has a place for.
        others = _OF_ANSWERS if self._api == "gemini" else _OF_ANSWERS | {"extra_content"}
        if not self._drops:
            return self._known_alone("messages", message.keys() - others, message)
        known = self._known_alone("messages", _MESSAGE_KEYS - others, message)
        parts, calls = known.get("content"), known.get("tool_calls")
        if isinstance(parts, list):
            known["content"] = [part for each in parts for part in self._known_part(each)]
        if isinstance(calls, list):
            keep = partial(self._known_alone, "messages.tool_calls", CALL_KEYS)
            known["tool_calls"] = [keep(each) for each in calls]
        return known

    def _known_part(self, part: str | dict[str, Any]) -> Iterator[str | dict[str, Any]]:
        """Yield a part as another API can take it; nothing for one of a type that none has."""
        if isinstance(part, str):
            yield part
            return
        kind = part["type"]
        if kind in PART_KEYS:
            yield self._known_alone(f"messages.{kind}", PART_KEYS[kind], part)
        else:
            self.dropped.append(f"messages.{kind[:_LONGEST_NAME]}")

    def _text_alone(self, path: str, message: dict[str, Any]) -> dict[str, Any] | None:
        site, role = self._model.site, message["role"]
        if role in ("tool", "function"):
            problem = f"{path}.role: {site} takes no results of tools"
            self._leave_message_out(f"{path}.role", problem, f"messages.{role}")
            return None
        for name in ("tool_calls", "function_call"):
            if message.get(name):
                problem = f"{path}.{name}: {site} knows no tools"
                self._leave_message_out(f"{path}.{name}", problem, f"messages.{name}")
        self.dropped += (
            f"messages.{name}" for name, value in message.items() if name not in _READ and value
        )
        return {"role": role, "content": self._text(path, message)}

    def _text(self, path: str, message: dict[str, Any]) -> str:
        content = message.get("content")
        if content is None or isinstance(content, str):
            return content or message.get("refusal") or ""
        texts: list[str] = []
        for number, part in enumerate(content):
            kind = "text" if isinstance(part, str) else part["type"]
            if kind in _TEXT_PARTS:
                texts.append(part if isinstance(part, str) else part[_TEXT_PARTS[kind]])
                continue
            place = f"{path}.content[{number}]"
            problem = f"{place}: {self._model.site} takes text only, not {kind[:_LONGEST_NAME]}"
            self._leave_message_out(f"{place}.type", problem, f"messages.{kind[:_LONGEST_NAME]}")
        return "".join(texts)

    def _leave_message_out(self, param: str, problem: str, name: str) -> None:
        if not self._drops:
            raise refused(problem, self._named or param, "unsupported_value")
        self.dropped.append(name)


_LONGEST_NAME = 80
_OF_ANSWERS = frozenset(
    {
        *("annotations", "parsed", "provider_specific_fields", "reasoning", "reasoning_content"),
        *("reasoning_details", "thinking_blocks"),
    }
)
"""What servers and clients add to an answer's message, and clients send back with it: the model's
reasoning, and what they made of the answer.
"""

_MESSAGE_KEYS = frozenset(
    {"role", "content", "refusal", "tool_calls", "tool_call_id", "extra_content"}
)
_READ = frozenset({"role", "content", "refusal", "tool_calls", "function_call"})


def _without(message: dict[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}


def _inner(record: dict[str, Any], name: str, keep: _Keep) -> dict[str, Any]:
    """Return a field that is a record as `keep` leaves it; nothing where it is none."""
    return {name: keep(record[name])} if isinstance(record.get(name), dict) else {}


def _is_harmless(name: str, value: object) -> bool:
    return any(value == each and type(value) is type(each) for each in HARMLESS.get(name, ()))


def _without_idle_tools(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return options without a choice among tools where there are none: nothing is asked by it."""
    if options.get("tools"):
        return options
    return {
        name: value
        for name, value in options.items()
        if name not in _TOOL_OPTIONS or not _is_harmless(name, value)
    }


def _check_content(path: str, message: dict[str, Any]) -> None:
    """Check the form of a content, whatever site it is for."""
    content = message.get("content")
    empty = content is None and not message.get("tool_calls") and not message.get("function_call")
    if empty and message["role"] != "assistant":
        raise _wrong_type(f"{path}.content", "text or a list of parts")
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, str):
            continue
        place = f"{path}.content[{number}]"
        kind = part.get("type")
        if not isinstance(kind, str):
            raise _wrong_type(f"{place}.type", "text")
        if kind in _TEXT_PARTS and not isinstance(part.get(_TEXT_PARTS[kind]), str):
            raise _wrong_type(f"{place}.{_TEXT_PARTS[kind]}", "text")


def _wrong_type(path: str, expected: str) -> Exception:
    return refused(f"{path}: expected {expected}", path, "invalid_type")


def _without_nulls(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as it came, without the nulls that clients write for what it has not."""
    return {name: value for name, value in message.items() if value is not None}


# -- what is told of it ----------------------------------------------------------------------------


def dropped_header(dropped: tuple[str, ...]) -> dict[str, str]:
    """Return the header that tells what was dropped, none where nothing was."""
    return {"X-Tailrace-Dropped": dropped_names(dropped)} if dropped else {}


def dropped_names(dropped: tuple[str, ...]) -> str:
    """Return the value of the header that tells what was dropped, names of clients made safe."""
    shown = [_UNSAFE.sub("?", name[:_LONGEST_NAME]) for name in dropped[:_MOST_NAMES]]
    return ", ".join([*shown, *(["..."] if len(dropped) > _MOST_NAMES else [])])


_UNSAFE = re.compile(r"[^A-Za-z0-9_.:-]")
_MOST_NAMES = 32


def dropped_field(request: ModelRequest, name: str) -> str:
    """Return the name by which a dropped field is counted: clients make up as many as they like."""
    known = {
        *request.options,
        *request.hints,
        *request.names.values(),
    }
    return name if name in known or name in _COUNTED else "other"


_OF_MESSAGES = (
    *("tool", "function", "tool_calls", "function_call", "name", "image_url", "input_audio"),
    *("file", "cache_control", "text.cache_control", "extra_content", *_OF_ANSWERS),
)
_COUNTED = frozenset(
    {
        *(f"messages.{name}" for name in _OF_MESSAGES),
        *("service_tier", "truncation", "reasoning.summary", "store", "max_tool_calls", "include"),
        *("message.phase", "function_call.namespace", "reasoning.encrypted_content"),
        *("output_text.annotations", "stream_options.continuous_usage_stats"),
        *("cache_control", "context_management", "redacted_thinking", "thinking"),
        *("tool_result.is_error", "tools", "tools.cache_control", "tools.function.cache_control"),
        *("text.citations", "document.citations", "document.context"),
        *("tools.eager_input_streaming", "tools.defer_loading", "output_config.task_budget"),
    }
)
"""Names of what is dropped that are the APIs' own, and no client's."""
