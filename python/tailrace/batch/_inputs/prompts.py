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

from tailrace.batch._rows import Row, RowError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["PARAMETERS", "PromptFields"]

PARAMETERS = frozenset(
    {
        "dimensions",
        "encoding_format",
        "frequency_penalty",
        "function_call",
        "functions",
        "instructions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)
"""The fields of a record that are sent in its request's body, beside its prompt or messages."""

_ID_FIELDS = ("custom_id", "id")
_NEAR = 0.85
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
    _kinds: dict[str, bool] = field(default_factory=dict)

    def of_first(self, names: Iterable[str]) -> PromptFields:
        """Return these fields with the `id` that the first record's fields `names` suggest."""
        found = [each for each in _ID_FIELDS if each in names and each != self.prompt]
        if self.id is not None or not found:
            return self
        return PromptFields(self.endpoint, self.prompt, found[0], self.sent, self.carried)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides how a record is read, as a run's record keeps it."""
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
            if name not in {self.prompt, "messages", self.id} and self._is_sent(name, row_id):
                body[name] = value
        try:
            return Row(number, row_id, self.endpoint, msgspec.json.encode(body))
        except (TypeError, ValueError) as error:
            problem = str(error)
        raise RowError(f"it cannot be sent as JSON: {problem}", row_id)

    def is_sent(self, name: str) -> bool:
        """Return whether a field `name` is sent, as it is or under another name."""
        return name in {self.prompt, "messages"} or self._is_sent(name, None)

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

    def _is_sent(self, name: str, row_id: str | None) -> bool:
        known = self._kinds.get(name)
        if known is None:
            known = name in self.sent or (name in PARAMETERS and name not in self.carried)
            if not known and name not in self.carried:
                near = get_close_matches(name, (*PARAMETERS, "prompt", "messages"), 1, _NEAR)
                if near:
                    raise RowError(f"its field {name} is unknown: {near[0]} may be meant", row_id)
            if len(self._kinds) < _MOST_NAMES:
                self._kinds[name] = known
        return known


_MOST_NAMES = 1000
