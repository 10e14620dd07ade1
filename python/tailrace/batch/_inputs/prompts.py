"""Records that hold a prompt and perhaps more, made into requests: plain lines and tables.

A record's ``prompt`` or ``messages`` and its other fields named as a request's parameters make the
body. Further fields are carried: they are not sent, and a table of the answers can show them. A
name that is nearly a parameter's is refused, since it is more likely a slip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec

from tailrace.batch._inputs.bodies import check_body
from tailrace.batch._inputs.source import MAX_ROW_BYTES, Source
from tailrace.batch._rows import Row, RowError
from tailrace.errors import BatchInputError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["PARAMETERS", "PromptFields", "PromptSource", "TableSource"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PARAMETERS = {
    "/v1/chat/completions": _names(
        "frequency_penalty function_call functions logit_bias logprobs max_completion_tokens "
        "max_tokens modalities model n parallel_tool_calls prediction presence_penalty "
        "reasoning_effort response_format seed service_tier stop temperature tool_choice tools "
        "top_logprobs top_p verbosity web_search_options"
    ),
    "/v1/responses": _names(
        "include instructions max_output_tokens max_tool_calls model parallel_tool_calls reasoning "
        "service_tier temperature text tool_choice tools top_logprobs top_p truncation"
    ),
    "/v1/completions": _names(
        "best_of echo frequency_penalty logit_bias logprobs max_tokens model n presence_penalty "
        "seed stop suffix temperature top_p"
    ),
    "/v1/embeddings": _names("dimensions encoding_format model"),
}
"""By endpoint, the fields of a record that are sent in its request's body, beside its prompt.

A request has more (``user``, ``metadata``, ``store``): their names are those of many a data set's
columns, so that they are sent only where they are named.
"""

_ID_FIELDS = ("custom_id", "id")
_NEAR = 0.85
_MOST_NAMES = 1000
_encode = msgspec.json.Encoder(decimal_format="number").encode
# What takes a prompt: the body's field for it.
_PROMPT_IN = {
    "/v1/chat/completions": "messages",
    "/v1/responses": "input",
    "/v1/completions": "prompt",
    "/v1/embeddings": "input",
}


@dataclass(slots=True)
class PromptFields:
    """Which fields of a record mean what.

    `endpoint`: where the prompts are sent, one of `ENDPOINTS`; `prompt` and `id`: the names of the
    fields that hold the prompt and the row's id, which is made of the number where `id` is None;
    `sent`: further fields that are sent; `carried`: fields that are not, whatever their names.
    """

    endpoint: str = "/v1/chat/completions"
    prompt: str = "prompt"
    id: str | None = None
    sent: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()
    # Names that were met, up to a limit: of fields that are sent, and of those that are not.
    _sent_seen: set[str] = field(default_factory=set, compare=False)
    _carried_seen: set[str] = field(default_factory=set, compare=False)

    def __post_init__(self) -> None:
        taken = _PROMPT_IN[self.endpoint]
        if taken in self.sent and taken != self.prompt:
            raise InvalidRequestError(
                f"{taken} cannot be sent as it is: {self.endpoint} gets the prompt under that name"
            )

    def of_first(self, names: Iterable[str]) -> PromptFields:
        """Return these fields with the `id` that the first record's fields `names` suggest."""
        found = [each for each in _ID_FIELDS if each in names and each != self.prompt]
        if self.id is not None or not found:
            return self
        return PromptFields(self.endpoint, self.prompt, found[0], self.sent, self.carried)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The options by which a record is read, as a run's record keeps them."""
        return {
            "endpoint": self.endpoint,
            "prompt_field": self.prompt,
            "id_field": self.id,
            "sent": sorted(self.sent),
            "carried": sorted(self.carried),
        }

    def row(self, number: int, record: Mapping[str, Any]) -> Row:
        """Return a record as a row. Raises RowError."""
        row_id = self._id(number, record)
        body = self._asked(record, row_id)
        for name, value in record.items():
            if name in self._carried_seen:
                continue
            if name in self._sent_seen or self.is_sent(name):
                body[name] = value
                _add(self._sent_seen, name)
            elif not self.is_needed(name) and (meant := self.meant(name)):
                raise RowError(f"its field {name} is unknown: {meant} may be meant", row_id)
        try:
            encoded = _encode(body)
        except (TypeError, ValueError, RecursionError) as error:
            problem = f"it cannot be sent as JSON: {error}"
        else:
            problem = check_body(self.endpoint, encoded)
            if len(encoded) > MAX_ROW_BYTES:
                problem = f"its body has more than {MAX_ROW_BYTES} bytes"
            if not problem:
                return Row(number, row_id, self.endpoint, encoded)
        raise RowError(problem, row_id)

    def is_needed(self, name: str) -> bool:
        """Return whether a field `name` is sent, in whatever form, or is the row's id."""
        return name in (self.prompt, self.id, "messages") or self.is_sent(name)

    def is_sent(self, name: str) -> bool:
        """Return whether a field `name` is sent as it is."""
        if name in (self.prompt, self.id, "messages"):
            return False
        return name in self.sent or (name in PARAMETERS[self.endpoint] and name not in self.carried)

    def meant(self, name: str) -> str:
        """Return what a field `name`, which is not needed, may be a slip for; empty for nothing."""
        if name in self._carried_seen:
            return ""
        known = (*PARAMETERS[self.endpoint], self.prompt, "messages")
        near = () if name in self.carried else get_close_matches(name, known, 1, _NEAR)
        if near:
            return near[0]
        _add(self._carried_seen, name)
        return ""

    @property
    def seen(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of fields that were met beside the prompt and the id: sent, and not sent."""
        return tuple(sorted(self._sent_seen)), tuple(sorted(self._carried_seen))

    def _id(self, number: int, record: Mapping[str, Any]) -> str:
        if self.id is None:
            return f"row-{number}"
        value = record.get(self.id)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            found = "missing" if value is None else "neither a text nor a whole number"
            raise RowError(f"its id, {self.id}, is {found}")
        if not value:
            raise RowError(f"its id, {self.id}, is empty")
        return value

    def _asked(self, record: Mapping[str, Any], row_id: str) -> dict[str, Any]:
        prompt, messages = record.get(self.prompt), record.get("messages")
        if (prompt is None) == (messages is None):
            found = "neither" if prompt is None else "both"
            raise RowError(f"it has {found} of {self.prompt} and messages", row_id)
        if messages is not None:
            if self.endpoint not in {"/v1/chat/completions", "/v1/responses"}:
                raise RowError(f"{self.endpoint} takes no messages", row_id)
            if not isinstance(messages, list) or not all(isinstance(e, dict) for e in messages):
                raise RowError("messages is no list of objects", row_id)
            if not messages:
                raise RowError("messages is empty", row_id)
            return {_PROMPT_IN[self.endpoint]: messages}
        if not isinstance(prompt, str):
            raise RowError(f"{self.prompt} is no text", row_id)
        if self.endpoint == "/v1/chat/completions":
            return {"messages": [{"role": "user", "content": prompt}]}
        return {_PROMPT_IN[self.endpoint]: prompt}


def _add(names: set[str], name: str) -> None:
    if name not in names and len(names) < _MOST_NAMES:
        names.add(name)


class PromptSource(Source):
    """An input whose records hold a prompt and perhaps more, as `fields` names it."""

    def __init__(self, path: Path, name: str, fields: PromptFields) -> None:
        super().__init__(path, name)
        self.fields = fields

    @property
    def settings(self) -> Mapping[str, Any]:
        """The options by which the file is read, as a run's record keeps them."""
        return {"format": self.format, **self.fields.settings}

    @property
    def fields_seen(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of fields beside the prompts, as far as rows were read: sent, and not sent."""
        return self.fields.seen

    def row(self, number: int, record: Any) -> Row:
        """Return a record as a row. Raises RowError."""
        return self.fields.row(number, self.fields_of(record))


class TableSource(PromptSource):
    """A table, whose `columns` are the fields of all its records.

    Raises BatchInputError where none has the prompt or the id, and for a column whose name is
    nearly a parameter's.
    """

    def __init__(self, path: Path, name: str, fields: PromptFields, columns: Sequence[str]) -> None:
        super().__init__(path, name, fields.of_first(columns))
        self._columns = columns
        has = f"its columns are {', '.join(columns)}"
        if self.fields.prompt not in columns and "messages" not in columns:
            raise BatchInputError(
                f"{name} has no column {self.fields.prompt}, which would be sent: {has}"
            )
        if self.fields.id is not None and self.fields.id not in columns:
            raise BatchInputError(f"{name} has no column {self.fields.id} for ids: {has}")
        for each in columns:
            meant = "" if self.fields.is_needed(each) else self.fields.meant(each)
            if meant:
                raise BatchInputError(f"{name} has a column {each}: {meant} may be meant")

    @property
    def columns(self) -> Sequence[str]:
        """The names of the fields that each record has."""
        return self._columns
