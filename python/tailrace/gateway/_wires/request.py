"""The inner form of a request, whichever wire it came over, and how one is refused.

Messages have the form of OpenAI's chat completions and options have OpenAI's names, as
`tailrace.Site.stream` takes them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tailrace.gateway._problems import Problem, RefusedError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

__all__ = [
    "MOST_ANSWERS",
    "ModelRequest",
    "check_answers",
    "check_count",
    "check_depth",
    "check_names",
    "explained",
    "read_known",
    "read_object",
    "refused",
    "surplus",
    "with_whole_numbers",
]

MOST_NESTED = 200  # containers within one another, as many as a reply may have
MOST_CONTAINERS = 100_000  # lists and objects in a body
MOST_MESSAGES = 10_000  # of one request, or items of its input
MOST_ANSWERS = 16  # of one request, each of which a site is asked for by itself


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a model.

    `model`: its id; `messages`: in the form of OpenAI's chat completions; `options`: those that
    have a value, by OpenAI's names. `hints`: fields that OpenAI's own API knows and others have no
    place for, which change no answer's meaning. `extra`: fields that the gateway does not know, for
    sites whose API is one of `extra_apis`. `own`: fields in the words of these APIs, which their
    sites get in place of the options `own_replaces`; `own_alone`: names of what no other site gets
    of it, `own_lost`: of what these do not get. `unsupported`: what no site is asked, refused
    unless it is to be dropped: pairs of the field and the problem. `ignored`: names of what has no
    effect, and is told as dropped. `stops`: the stop sequences, none of them empty; `streams`: the
    answer is sent as it comes; `include_usage`: a stream tells its token counts. `names`: the
    wire's own names of options, where they are others. `body`: the request, as far as an answer
    repeats it. `others`: the messages of each further answer, where more than one is asked for.
    """

    model: str
    messages: list[dict[str, Any]]
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    hints: Mapping[str, Any] = msgspec.field(default_factory=dict)
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)
    extra_apis: tuple[str, ...] = ()
    own: Mapping[str, Any] = msgspec.field(default_factory=dict)
    own_replaces: frozenset[str] = frozenset()
    own_alone: tuple[str, ...] = ()
    own_lost: tuple[str, ...] = ()
    unsupported: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    streams: bool = False
    include_usage: bool = False
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b"{}"
    others: tuple[list[dict[str, Any]], ...] = ()

    def each(self) -> list[ModelRequest]:
        """Return a request for each of its answers, this one for the first."""
        others = (msgspec.structs.replace(self, messages=each, others=()) for each in self.others)
        return [self, *others]


def refused(message: str, param: str | None, code: str | None = None) -> RefusedError:
    """Make the refusal of a request that names the field `param`."""
    return RefusedError(Problem(400, message, param=param, code=code))


def read_object(body: bytes) -> dict[str, Any]:
    """Read a body that is a JSON object; raises RefusedError for any other.

    Clients that cut a text in the middle of a character send half of it as an escape: that is
    U+FFFD, as a browser sends it.
    """
    try:
        fields = _decoded(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refused("the body is not JSON that can be read", None) from None
    if not isinstance(fields, dict):
        raise refused("the body: expected object", None, "invalid_type")
    return fields


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        whole = _ESCAPE.sub(lambda each: rb"\ufffd" if each[1] else each[0], body)
        if whole == body:
            raise
    return msgspec.json.decode(whole)


# Each escape of a string, that of a character's half alone as a group.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def read_known(
    given: dict[str, Any], record: type[_Record], *, whole: Iterable[str], counted: str = ""
) -> tuple[dict[str, Any], _Record, dict[str, Any]]:
    """Read the fields of a request that a wire knows, as every wire does.

    `record`: the form of those it knows; `whole`: the whole numbers among them; `counted`: the list
    whose length is bounded. Returns all fields, the record, and the fields that are none of its.
    Raises RefusedError for one that is malformed or would choose a way.
    """
    fields = with_whole_numbers(given, whole)
    if counted:
        check_count(fields, counted)
    known = _names(record)
    extra = {name: value for name, value in fields.items() if name not in known}
    check_names(extra, known)
    try:
        return fields, msgspec.convert(fields, record), extra
    except msgspec.ValidationError as error:
        raise explained(str(error)) from None


@cache
def _names(record: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(record.__struct_fields__)


_Record = TypeVar("_Record", bound=msgspec.Struct)


def with_whole_numbers(fields: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return `fields` with whole numbers for 10.0 and the like, which some clients write."""
    whole = {
        name: int(value)
        for name in names
        if isinstance(value := fields.get(name), float)
        and value.is_integer()
        and abs(value) < _EXACT
    }
    return {**fields, **whole} if whole else fields


def surplus(where: str, record: object, known: frozenset[str]) -> tuple[str, ...]:
    """Name the fields of a record that ask for something and are not `known`.

    `where`: what a name begins with. What is no record has none.
    """
    if not isinstance(record, dict):
        return ()
    return tuple(f"{where}.{name}" for name, value in record.items() if value and name not in known)


_EXACT = 2.0**53  # above it a float stands for more than one whole number


def explained(message: str) -> RefusedError:
    """Turn a message of msgspec into a refusal: the parameter, and the expected value."""
    problem, _, path = message.replace("`", "").replace(" | null", "").partition(" - at $")
    param = path.removeprefix(".")
    if problem.startswith(_MISSING_FIELD):
        missing = problem.removeprefix(_MISSING_FIELD)
        param = f"{param}.{missing}" if param else missing
        return refused(f"you must provide {param}", param, "missing_required_parameter")
    text = f"{param or 'the body'}: {problem[:1].lower()}{problem[1:]}"
    return refused(text, param or None, "invalid_type")


_MISSING_FIELD = "Object missing required field "


# -- fields that the gateway does not know ---------------------------------------------------------


def check_names(names: Iterable[str], known: Container[str]) -> None:
    """Raise RefusedError for the first of `names` by which a request would choose its own way.

    Another server behind the site (a proxy for many APIs, say) may take an address, a key, a header
    or another model from a field of that name. The list is of such names and of their endings. And
    many servers take ``Model`` for ``model``: a field that is one of the `known` in other letters
    would say a second time what the gateway has checked.
    """
    for name in names:
        if name in _OF_THE_CLIENT:
            problem = (
                f"{name} is an argument of OpenAI's client: its fields belong in the request itself"
            )
            raise refused(problem, name, "unsupported_parameter")
        if name.casefold() in known:
            shown = name[:_LONGEST_SHOWN]
            problem = f"{shown} is not taken: the field is {name.casefold()}"
            raise refused(problem, shown, "unsupported_parameter")
        if _CHOOSES_A_WAY.fullmatch(name.lower().replace("-", "_")):
            shown = name[:_LONGEST_SHOWN]
            problem = f"{shown} is not taken: no request chooses an address, a key or another way"
            raise refused(problem, shown, "unsupported_parameter")


_LONGEST_SHOWN = 80
_OF_THE_CLIENT = frozenset({"extra_body", "extra_headers", "extra_query"})
_CHOOSES_A_WAY = re.compile(
    r"(?:[a-z0-9_]{0,64}_)?(?:url|urls|uri|api_base|key|keys|apikey|secret|password|passwd"
    r"|credentials|headers?|cookies?|prox(?:y|ies)|endpoints?|host|hostname|port|timeout|auth"
    r"|authorization)"
    r"|(?:litellm|aws|azure|vertex|mock)_[a-z0-9_]{0,64}"
    r"|api|base|api_version|api_type|custom_llm_provider|deployment_id|organization|project|transport"
    r"|(?:[a-z0-9_]{0,64}_)?fallbacks|models|model_list|kv_transfer_params|extra"
)


def check_depth(values: Iterable[object]) -> None:
    """Check what is passed on as it came: Python writes no JSON that is nested without end.

    Nor are there too many values in it: each costs time in which no other request goes on. Raises
    RefusedError.
    """
    level = list(values)
    count = 0
    for _ in range(MOST_NESTED):
        containers = [each for each in level if isinstance(each, dict | list)]
        count += len(containers)
        if not containers:
            return
        if count > MOST_CONTAINERS:
            problem = f"the body holds more than {MOST_CONTAINERS} lists and objects"
            raise refused(problem, None, _TOO_MANY)
        level = [
            inner
            for each in containers
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    raise refused(f"the body is nested more than {MOST_NESTED} deep", None)


def check_count(fields: Mapping[str, Any], name: str) -> None:
    """Raise RefusedError where the field `name` is a list of more messages than are taken."""
    messages = fields.get(name)
    if isinstance(messages, list) and len(messages) > MOST_MESSAGES:
        problem = f"{name}: {len(messages)} are more than the {MOST_MESSAGES} that are taken"
        raise refused(problem, name, _TOO_MANY)


_TOO_MANY = "array_above_max_length"


def check_answers(count: int, name: str, *, streams: bool) -> None:
    """Raise RefusedError where the field `name` makes for a `count` of answers that is not given.

    Chunks of several answers are told apart by their numbers, which many clients do not look at.
    """
    if not 1 <= count <= MOST_ANSWERS:
        problem = f"{name} makes {count} answers, and one request has 1 to {MOST_ANSWERS}"
        raise refused(problem, name, "unsupported_value")
    if count > 1 and streams:
        problem = (
            f"{name} makes {count} answers, of which only whole ones are given: leave out stream"
        )
        raise refused(problem, name, "unsupported_value")
