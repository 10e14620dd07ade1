"""Asking a site for one row: to a server of OpenAI's API as the row is, to any other translated.

An `Asker` first prepares a row, without a request: what the site cannot do is refused there, by
name. Then it asks, and returns the answer in OpenAI's form, or raises a `FailedRow`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from tailrace._error_kinds import error_kind
from tailrace.errors import InvalidRequestError, StreamError, TailraceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tailrace.batch._rows import Row
    from tailrace.sites import Site

__all__ = ["Answer", "Asker", "FailedRow", "Models", "Prepared", "Used", "code_of", "read_row"]


class Used(NamedTuple):
    """The tokens of an answer; `told`: by the site, and not an estimate."""

    prompt: int
    completion: int
    total: int
    told: bool = True


class Answer(NamedTuple):
    """An answer: its HTTP status, the site's id of the request, its JSON on one line."""

    status: int
    request_id: str
    body: bytes
    used: Used | None


class Prepared(NamedTuple):
    """A row that can be sent: what an asker `sends`, and what an estimate of its tokens needs.

    `size`: bytes of its body; `most`: tokens that it allows the answer, None where it does not say;
    `dropped`: names of its fields that have no effect at the site; `model`: the one that it asks,
    empty where the site has a single one.
    """

    sends: Any
    size: int
    most: int | None
    dropped: tuple[str, ...] = ()
    model: str = ""


class FailedRow(Exception):  # noqa: N818 - what failed is a row
    """A row that was asked, and failed: with an `error`, after so much of an answer.

    `text`: what came of the answer; `status`: the HTTP status, None without one; `request_id`: the
    site's id of the request; `body`: the reply's JSON, None where it is none.
    """

    def __init__(
        self,
        error: TailraceError,
        *,
        text: str = "",
        status: int | None = None,
        request_id: str = "",
        body: bytes | None = None,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.text = text
        self.status = error.status if status is None and isinstance(error, StreamError) else status
        self.request_id = request_id
        self.body = body


class Asker(Protocol):
    """A way to ask one site for rows."""

    def prepare(self, row: Row) -> Prepared:
        """Return the row as it is sent; raises InvalidRequestError for what the site cannot do."""

    async def ask(self, prepared: Prepared) -> Answer:
        """Ask; raises FailedRow."""

    async def aclose(self) -> None:
        """Free what the asker holds."""


class RefusedRow(InvalidRequestError):  # noqa: N818 - the same
    """A row that the site cannot be asked: the `code` of the refusal, and the field `param`."""

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        self.code = code or "invalid_request"
        self.param = param
        super().__init__(message)


def code_of(error: TailraceError) -> str:
    """Return the code of a failure: the site's own, or one of a few kinds."""
    return getattr(error, "code", None) or error_kind(error)


# -- reading a row ---------------------------------------------------------------------------------


class _Fields(msgspec.Struct, gc=False):
    model: Any = msgspec.UNSET
    stream: Any = msgspec.UNSET
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None


_read = msgspec.json.Decoder(_Fields).decode
_read_all = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def names_none(name: object) -> bool:
    """Tell whether a row's field of a model names none."""
    return name is msgspec.UNSET or name is None or name == ""


class Models:
    """The models that rows may name at a site, and the one of those that name none."""

    def __init__(self, site: Site, model: str) -> None:
        """`model`: of the rows that name none; empty for the site's default."""
        self._site = site
        self.default = site.resolve_model(model)
        self._known: dict[str, str] = {}

    def of(self, name: object) -> str:
        """Return the model that a row's field stands for.

        Raises InvalidRequestError for one that the site does not have, and where there is none.
        """
        if names_none(name):
            if not self.default:
                raise RefusedRow(
                    "the row names no model, and neither do the run (--model) and the site",
                    param="model",
                )
            return self.default
        if not isinstance(name, str):
            raise RefusedRow("model: expected str", param="model")
        model = self._known.get(name)
        if model is None:
            model = self._site.resolve_model(name)
            if len(self._known) < _MOST_MODELS:
                self._known[name] = model
        return model


_MOST_MODELS = 1000


class ReadRow(NamedTuple):
    """A row's body: the `model` that it names, and the most tokens that its answer may have."""

    model: object
    most: int | None


def read_row(row: Row) -> ReadRow:
    """Read what every way of asking needs of a row.

    Raises InvalidRequestError for a row that wants a stream.
    """
    try:
        fields = _read(row.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem = f"the body cannot be read: {error}"
    else:
        if fields.stream is True:
            raise RefusedRow("stream: a batch takes whole answers, leave it out", param="stream")
        given = (fields.max_completion_tokens, fields.max_tokens, fields.max_output_tokens)
        most = next((each for each in given if type(each) is int and each > 0), None)
        return ReadRow(fields.model, most)
    raise RefusedRow(problem)


def with_fields(
    body: bytes, model: str, named: object, defaults: Mapping[str, msgspec.Raw]
) -> bytes:
    """Return a body that asks for `model`, and has the fields of `defaults` that it does not say.

    `named`: its own field of a model.
    """
    if not defaults:
        if named == model:
            return body
        if named is msgspec.UNSET:
            inside = body.lstrip()[1:]
            return b'{"model":%b,%b' % (msgspec.json.encode(model), inside)
    fields = {**defaults, **_read_all(body), "model": msgspec.Raw(msgspec.json.encode(model))}
    return msgspec.json.encode(fields)
