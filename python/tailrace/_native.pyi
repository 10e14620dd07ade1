"""The Rust core as Python sees it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias, final

from tailrace.errors import StreamError

__all__ = [
    "DIALECTS",
    "ChatWidget",
    "ChunkEncoder",
    "CompletionEncoder",
    "DecodedReply",
    "Delta",
    "DeltaDecoder",
    "MessageEncoder",
    "Page",
    "PageScanner",
    "PageTokens",
    "ResponseEncoder",
    "SSEDecoder",
    "ServerSentEvent",
    "ThinkingBlock",
    "ToolCall",
    "Usage",
    "_Field",
    "_Kept",
    "_ObjectReader",
    "_Shape",
    "_Variants",
    "__version__",
    "_kept",
    "_row_numbers",
    "decode",
    "decode_many",
    "finish_reason_of",
    "scan_page",
    "sign_request",
]

__version__: str

_WidgetKind: TypeAlias = Literal["ai-power", "aipkit", "ai-engine"]

_Dialect: TypeAlias = Literal[
    "openai",
    "openai-responses",
    "anthropic",
    "gemini",
    "ollama",
    "ai-power",
    "aipkit",
    "ai-engine",
    "text",
]

DIALECTS: Final[tuple[_Dialect, ...]]
"""The dialects that `DeltaDecoder` knows."""

class _Compared:
    """What is equal, and has one hash, where its fields are."""

    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

class _Record(_Compared):
    """What also gives its fields by their names."""

    def _asdict(self) -> dict[str, Any]:
        """Return the fields by name."""

@final
class ServerSentEvent(_Record):
    """One dispatched server-sent event (WHATWG HTML 9.2.6)."""

    __match_args__ = ("event", "data", "id", "retry", "at")
    def __new__(
        cls,
        event: str = "message",
        data: str = "",
        id: str = "",  # noqa: A002
        retry: int | None = None,
        at: int | None = None,
    ) -> ServerSentEvent:
        """Make the record of an event, as `SSEDecoder.feed` would.

        `retry` is in milliseconds, of 0 or more. InvalidRequestError for another.
        """
    @property
    def event(self) -> str:
        """The event's type; ``message`` where the block named none."""
    @property
    def data(self) -> str:
        """The event's data lines, joined by newlines."""
    @property
    def id(self) -> str:
        """The last event id in force when the event was dispatched; empty where none was."""
    @property
    def retry(self) -> int | None:
        """The reconnection time that the event's block set, in milliseconds, if it set one."""
    @property
    def at(self) -> int | None:
        """When the bytes were read that completed the event, for who asked for times.

        Nanoseconds of a clock that runs evenly; None where no time was taken.
        """

@final
class SSEDecoder:
    """Bytes of an event stream in, events out. Chunk boundaries never change the events."""

    def __new__(cls, *, max_event_bytes: int = 8388608) -> SSEDecoder:
        """Make a decoder for one stream.

        `max_event_bytes` is how many bytes one event's fields may have, 8 MiB unless given;
        InvalidRequestError unless above 0.
        """
    def feed(
        self, data: bytes | bytearray | memoryview, at: int | None = None
    ) -> list[ServerSentEvent]:
        """Return the events that `data` completes.

        An event above the limit raises LimitExceeded, from the next call on. `at`: when the data
        was read, in nanoseconds of a clock that runs evenly; the events have it then.
        """
    def close(self) -> list[ServerSentEvent]:
        """End the stream and return an empty list.

        An unfinished event is dropped, as the specification says.
        """
    @property
    def last_event_id(self) -> str:
        """The last event id in force; empty where none was set."""
    @property
    def retry(self) -> int | None:
        """The reconnection time in force, in milliseconds; None where none was set."""

@final
class Usage(_Record):
    """The token counts a stream reported; 0 where it left one out."""

    __match_args__ = (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cached_tokens",
        "reasoning_tokens",
    )
    def __new__(
        cls,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        total_tokens: int | None = None,
        cached_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> Usage:
        """Make the record of some counts; the total is the sum unless given.

        InvalidRequestError for a count below 0.
        """
    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
    @property
    def completion_tokens(self) -> int:
        """Tokens of the answer."""
    @property
    def total_tokens(self) -> int:
        """Tokens of both."""
    @property
    def cached_tokens(self) -> int | None:
        """Tokens of the prompt that came from a cache; None where that was not told."""
    @property
    def reasoning_tokens(self) -> int | None:
        """Tokens of the answer that are reasoning; None where that was not told."""

@final
class Delta(_Record):
    """One piece that a reply adds: of its text, its reasoning, its refusal or a tool call."""

    __match_args__ = (
        "kind",
        "text",
        "index",
        "id",
        "name",
        "logprobs",
        "raw",
        "tokens",
        "at",
        "signature",
        "data",
    )
    def __new__(
        cls,
        kind: Literal["text", "reasoning", "refusal", "tool_call"],
        text: str = "",
        index: int | None = None,
        id: str | None = None,  # noqa: A002
        name: str | None = None,
        logprobs: str | None = None,
        raw: str | None = None,
        tokens: int | None = None,
        at: int | None = None,
        signature: str | None = None,
        data: str | None = None,
    ) -> Delta:
        """Make the record of a piece, as `DeltaDecoder.feed_events` would.

        `logprobs` may have any service's form. InvalidRequestError for another kind, an index below
        0, `logprobs` that are no JSON or tell of no token, and a `signature` or `data` that does
        not stand alone.
        """
    @property
    def kind(self) -> Literal["text", "reasoning", "refusal", "tool_call"]:
        """The kind of the piece: ``text``, ``reasoning``, ``refusal`` or ``tool_call``."""
    @property
    def text(self) -> str:
        """The text that is added; of a tool call, what is added to its arguments.

        Empty only where a call begins, or where an event tells `logprobs` and nothing else, a
        `signature` or `data`, or where its JSON is kept and it adds nothing.
        """
    @property
    def index(self) -> int | None:
        """The number of the tool call that the piece belongs to, as the API counts its calls.

        Not every API counts from 0 on. Where a server's numbers cannot be right, calls are numbered
        as they came. None for other kinds.
        """
    @property
    def id(self) -> str | None:
        """The id by which the tool call is to be answered.

        Most APIs give it with a call's first piece only.
        """
    @property
    def name(self) -> str | None:
        """The tool's name, with a call's first piece."""
    @property
    def logprobs(self) -> str | None:
        """The log probabilities that the event told, as JSON; None where it told none.

        Whichever the service, it is the object that a chat completion of OpenAI's has as a choice's
        ``logprobs``: its lists ``content`` and ``refusal`` hold tokens with ``token``, ``logprob``,
        ``bytes`` and ``top_logprobs``. Of several deltas of one event the first has it.
        """
    @property
    def raw(self) -> str | None:
        """The event that told the delta, as its JSON; None where it is not kept.

        Kept where that was asked for, by ``keep_raw``. Deltas of one event share one object. Of a
        reply that is one JSON body it is the body; what was told by no JSON has none.
        """
    @property
    def tokens(self) -> int | None:
        """The tokens of the answer as far as the event told them, for who asked for times.

        Told by a count of the usage that had not been told before, or by the ids of the tokens that
        the event adds; None where it told neither.
        """
    @property
    def at(self) -> int | None:
        """When the bytes were read that completed the event, for who asked for times.

        Nanoseconds of a clock that runs evenly; None where no time was taken.
        """
    @property
    def signature(self) -> str | None:
        """What the service wants to have back where the dialogue goes on; None for most deltas.

        Of a tool call, and of a text, it is the signature of Gemini's thoughts; of reasoning it
        signs what came since the last one, as Anthropic's API does. Beside it a text or reasoning
        adds nothing.
        """
    @property
    def data(self) -> str | None:
        """Reasoning in a form that only the service can read, and wants to have back.

        With an `id` it is the reasoning that came since the last one, as OpenAI's Responses tell
        it; without, it stands apart from what is shown. None for all others.
        """

@final
class ToolCall(_Record):
    """One call of a tool that the model asks for, whole or as far as it has come."""

    __match_args__ = ("id", "name", "arguments", "index", "signature")
    def __new__(
        cls,
        id: str | None = None,  # noqa: A002
        name: str = "",
        arguments: str = "",
        index: int | None = None,
        signature: str | None = None,
    ) -> ToolCall:
        """Make the record of a call, as a decoder that collects would.

        InvalidRequestError for an index below 0.
        """
    @property
    def id(self) -> str | None:
        """The id by which the call is to be answered; None where the service gives none."""
    @property
    def name(self) -> str:
        """The tool's name; empty where the service gives none."""
    @property
    def arguments(self) -> str:
        """The arguments as the model wrote them: JSON, for nearly all tools."""
    @property
    def index(self) -> int | None:
        """The number of the call, as the API counts its calls: that of its deltas."""
    @property
    def signature(self) -> str | None:
        """What the service wants to have back with the call where the dialogue goes on.

        That is the signature of Gemini's thoughts; None for most calls.
        """
    def parsed(self) -> Any:
        """Return the arguments as a Python object; ``{}`` for a call without arguments.

        Raises ToolArgumentsError, a ValueError, for arguments that are not JSON; it says whether
        they break off, as they do where the reply was cut.
        """

@final
class ThinkingBlock(_Record):
    """One block of reasoning, to be sent back unchanged where the dialogue goes on."""

    __match_args__ = ("thinking", "signature", "data", "id")
    def __new__(
        cls,
        thinking: str = "",
        signature: str | None = None,
        data: str | None = None,
        id: str | None = None,  # noqa: A002
    ) -> ThinkingBlock:
        """Make the record of a block, as a decoder that collects would."""
    @property
    def thinking(self) -> str:
        """The reasoning; empty where the service does not show it."""
    @property
    def signature(self) -> str | None:
        """The signature by which the service knows it again; None of a block that has `data`."""
    @property
    def data(self) -> str | None:
        """The reasoning in a form that only the service can read; None of one that is signed."""
    @property
    def id(self) -> str | None:
        """The id of the item that the reasoning is; None where the service gives none."""

@final
class DeltaDecoder:
    """Bytes of one chat reply in, text deltas out.

    Feed it the reply's bytes as they come, then close it; what each call returns is text that is
    certain by then. Chunk boundaries never change the joined text or the end.

    `dialect`: the form of the reply, one of `DIALECTS`. `content_type` and `status`: the reply's
    own, which tell an error page from an answer. `failure_tail` (dialect ``text``): a literal that,
    at the very end, means that the answer failed. `max_event_bytes`: of one event;
    `max_body_bytes`: of a reply that is no stream, and of what `collect` keeps; beyond them the
    reply is ``failed``. Raises InvalidRequestError for an unknown dialect, a status outside 100 to
    999, or a limit that is not above 0.

    Bytes of a peer never raise: `end` and `error` say what was wrong, once the text before it has
    been returned.
    """

    def __new__(
        cls,
        dialect: _Dialect | Literal["auto"] = "openai",
        *,
        content_type: str | None = None,
        status: int = 200,
        failure_tail: str | None = None,
        max_event_bytes: int = 8388608,
        max_body_bytes: int = 8388608,
    ) -> DeltaDecoder:
        """Make a decoder for one HTTP reply.

        `dialect`: one of `DIALECTS`, or ``auto``: the reply's first event, or its first JSON
        object, that is unmistakably of one decides, nothing is delivered before, and a reply that
        tells none is read as ``openai``; none is taken for ``text``. `content_type` and `status`
        are the reply's. `failure_tail` (dialect ``text``): a literal that, at the very end, means
        that the answer failed. Limits are in bytes. InvalidRequestError for an unknown dialect, a
        status outside 100 to 999, or a limit that is not above 0.
        """
    def collect(self) -> None:
        """Keep, from now on, what is no text: see `tool_calls`, `reasoning` and `refusal`.

        Called before the first bytes, it makes sure that nothing of a reply is lost to who reads
        its text alone. A reply with more than `max_body_bytes` of it is ``failed``, kind ``limit``.
        """
    def keep_raw(self) -> None:
        """Keep, from now on, the JSON of each event with the deltas that `feed_events` returns.

        It is their `raw`. An event that adds nothing, such as one with a finish reason or the
        usage, is a delta with an empty text then. Called before the first bytes; reading costs
        more.
        """
    def feed(self, data: bytes | bytearray | memoryview) -> list[str]:
        """Return the text deltas that `data` completes, none of them empty."""
    def feed_text(self, data: bytes | bytearray | memoryview) -> str:
        """Return the text that `data` completes: the deltas of `feed`, joined."""
    def close(self, *, complete: bool = True) -> list[str]:
        """End the reply and return the text deltas that were held back.

        `complete` is False when the transport broke.
        """
    def feed_events(
        self, data: bytes | bytearray | memoryview, at: int | None = None
    ) -> list[Delta]:
        """Return the deltas of every kind that `data` completes, in order.

        The kinds are text, reasoning, refusals and pieces of tool calls.

        Calls of `feed`, `feed_text` and `feed_events` can be mixed; the first two do not return
        what is no text, which `collect` keeps. `at`: when the data was read, in nanoseconds of a
        clock that runs evenly; the deltas have it then, and the tokens that their event told.
        """
    def close_events(self, *, complete: bool = True, at: int | None = None) -> list[Delta]:
        """End the reply as `close` does; return the deltas of every kind that were held back.

        `at` is that of `feed_events`.
        """
    @property
    def dialect(self) -> _Dialect | None:
        """The reply's dialect; of ``auto``, None until an event or an object has told it."""
    @property
    def done(self) -> bool:
        """Whether the dialect's end marker was seen: the [DONE] sentinel, or a named end event."""
    @property
    def end(self) -> Literal["open", "done", "stopped", "truncated", "failed"]:
        """How the reply ended; ``open`` until it has.

        ``done``: with its end marker, or a whole body. ``stopped``: with a finish reason and no
        marker. ``truncated``: with neither. ``failed``: with an error, or without an answer.
        """
    @property
    def framing(self) -> Literal["open", "sse", "ndjson", "array", "json", "text"]:
        """How the reply's bytes are put together; ``open`` until the first of them have decided.

        ``sse``: server-sent events; ``ndjson``: a JSON object a line; ``array``: a JSON array of
        objects; ``json``: one JSON body; ``text``: plain text.
        """
    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, in the service's own word; None where that was not told."""
    @property
    def usage(self) -> Usage | None:
        """The token counts that the stream reported, later ones for earlier ones.

        None where it reported none.
        """
    @property
    def ids(self) -> dict[str, str]:
        """The ids that the stream gave of itself, by name.

        The names are thread_id, message_id, openai_response_id, id and model.
        """
    @property
    def new_token(self) -> str | None:
        """The nonce that the reply gives for later requests, of ``ai-engine``; None without one."""
    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that were collected, as far as they have come, in the order they began.

        Raises InvalidRequestError unless `collect` was called.
        """
    @property
    def reasoning(self) -> str:
        """The model's reasoning, or a summary of it, as collected; empty where there is none.

        Raises InvalidRequestError unless `collect` was called.
        """
    @property
    def thinking_blocks(self) -> tuple[ThinkingBlock, ...]:
        """The blocks of the reasoning that the service signed or encrypted, as collected.

        They are to be sent back unchanged where a dialogue with tools goes on. Raises
        InvalidRequestError unless `collect` was called.
        """
    @property
    def refusal(self) -> str:
        """The text by which the model refuses to answer, where the API keeps that apart.

        Raises InvalidRequestError unless `collect` was called.
        """
    @property
    def error(self) -> StreamError | None:
        """The error that the reply ended with; None where there is none.

        Its `kind` says what was wrong, its `message` how; `raw` is what was received and not
        delivered. The object is the same every time.
        """
    @property
    def events(self) -> int:
        """How many events were seen, end markers and bad ones included."""
    @property
    def passed_over(self) -> dict[str, int]:
        """What the reply holds that no delta is made of, and how much of it, by kind.

        The kinds are ``citation``, ``image``, ``audio``, ``file``, ``server_tool`` (calls of tools
        that run at the service, and their results), ``choice`` (answers beside the first) and
        ``other`` (types that are not known). Counted by `feed_events`, and by a decoder that was
        told to `collect`.
        """
    @property
    def text_signature(self) -> str | None:
        """What the service wants to have back with the text, as collected; None where nothing.

        That is the signature of Gemini's thoughts. Raises InvalidRequestError unless `collect`
        was called.
        """
    @property
    def bad_events(self) -> int:
        """How many events were skipped because their data was not what the dialect promises."""

@final
class DecodedReply(_Record):
    """One whole reply, decoded: its text, and how it ended. The record is frozen."""

    __match_args__ = (
        "text",
        "end",
        "finish_reason",
        "usage",
        "ids",
        "error",
        "events",
        "bad_events",
        "dialect",
        "tool_calls",
        "reasoning",
        "refusal",
        "passed_over",
    )
    def __new__(
        cls,
        text: str = "",
        end: Literal["done", "stopped", "truncated", "failed"] = "done",
        finish_reason: str | None = None,
        usage: Usage | None = None,
        ids: dict[str, str] = {},
        error: StreamError | None = None,
        events: int = 0,
        bad_events: int = 0,
        dialect: _Dialect = "openai",
        tool_calls: Sequence[ToolCall] = (),
        reasoning: str = "",
        refusal: str = "",
        passed_over: dict[str, int] = {},
    ) -> DecodedReply:
        """Make the record of a reply, as `decode_many` would.

        InvalidRequestError for another end or dialect, or a number below 0.
        """
    @property
    def text(self) -> str:
        """The reply's text; of one that failed or broke off, the text before that."""
    @property
    def dialect(self) -> _Dialect:
        """The dialect that the reply was read as."""
    @property
    def end(self) -> Literal["done", "stopped", "truncated", "failed"]:
        """How the reply ended."""
    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, in the service's own word; None where that was not told."""
    @property
    def usage(self) -> Usage | None:
        """The token counts that the reply reported, later ones for earlier ones.

        None where it reported none.
        """
    @property
    def ids(self) -> dict[str, str]:
        """The ids that the reply gave of itself, as `DeltaDecoder.ids`."""
    @property
    def error(self) -> StreamError | None:
        """The error that the reply ended with, as `DeltaDecoder.error`.

        There is one when `end` is ``truncated`` or ``failed``, and only then.
        """
    @property
    def events(self) -> int:
        """How many events were seen, end markers and bad ones included."""
    @property
    def bad_events(self) -> int:
        """How many events were skipped because their data was not what the dialect promises."""
    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that the model asks for, in the order they began."""
    @property
    def reasoning(self) -> str:
        """The model's reasoning, or a summary of that; empty where the reply shows none."""
    @property
    def refusal(self) -> str:
        """The text by which the model refuses to answer, where the API keeps that apart."""
    @property
    def passed_over(self) -> dict[str, int]:
        """What the reply holds that no delta is made of, as `DeltaDecoder.passed_over`."""

def decode(
    data: bytes | bytearray | memoryview,
    dialect: _Dialect | Literal["auto"] = "auto",
    *,
    content_type: str | None = None,
    status: int = 200,
    failure_tail: str | None = None,
    max_event_bytes: int = 8388608,
    max_body_bytes: int = 8388608,
) -> DecodedReply:
    """Decode one whole reply; return its record.

    `data`: the reply's bytes. `dialect`: the form of the reply, one of `DIALECTS`, or ``auto``: the
    reply's first event or object tells it. The other options are those of `DeltaDecoder`. What a
    peer sent never raises: the record's `end` and `error` say what was wrong.

    InvalidRequestError for options as `DeltaDecoder`, and for data that is not bytes.
    """

def decode_many(
    replies: Iterable[bytes | bytearray | memoryview],
    dialect: _Dialect | Literal["auto"] = "openai",
    *,
    content_type: str | None = None,
    status: int = 200,
    failure_tail: str | None = None,
    max_event_bytes: int = 8388608,
    max_body_bytes: int = 8388608,
    threads: int | None = None,
) -> list[DecodedReply]:
    """Decode whole replies in several threads; return their records in order.

    A record is what a `DeltaDecoder` with these options makes of the whole reply, fed at once. The
    interpreter is free meanwhile. `threads` is how many threads decode at once, this one included:
    as many as the process has cores unless given. An iterator is asked for about 64 MiB a thread at
    a time, and those are let go before the next; signals are heard in between.

    InvalidRequestError for options as `DeltaDecoder`, for a number of threads that is not above 0,
    and for a reply that is not bytes, with its index.
    """

@final
class ChatWidget(_Compared):
    """One chat bot on a page."""

    __match_args__ = (
        "kind",
        "placement",
        "nonce",
        "post_id",
        "bot_id",
        "name",
        "url",
        "ajax_url",
        "streams",
        "assistant",
        "memory_limit",
        "custom_id",
        "rest_url",
        "session_id",
        "start_sentence",
        "max_length",
        "mode",
    )
    def __new__(
        cls,
        kind: _WidgetKind,
        placement: Literal["inline", "popup"],
        nonce: str = "",
        post_id: str = "",
        bot_id: str = "",
        name: str | None = None,
        url: str | None = None,
        ajax_url: str | None = None,
        streams: bool | None = None,
        assistant: bool = False,
        memory_limit: int | None = None,
        custom_id: str | None = None,
        rest_url: str | None = None,
        session_id: str | None = None,
        start_sentence: str | None = None,
        max_length: int | None = None,
        mode: str | None = None,
    ) -> ChatWidget:
        """Make the record of a bot, as a page would show it.

        InvalidRequestError for a kind or a placement that there is not, and for a `memory_limit` or
        a `max_length` below 0.
        """
    @property
    def kind(self) -> _WidgetKind:
        """The plugin that shows the bot, and its line: ``ai-power``, ``aipkit``, ``ai-engine``."""
    @property
    def placement(self) -> Literal["inline", "popup"]:
        """Whether the bot is part of the page or floats over it: ``inline`` or ``popup``."""
    @property
    def nonce(self) -> str:
        """The bot's nonce; empty where the tag has none that is valid. Not shown in the repr."""
    @property
    def post_id(self) -> str:
        """The page's post id, digits; empty where the tag has none that is valid."""
    @property
    def bot_id(self) -> str:
        """The bot's id; ``0`` is the site's default bot."""
    @property
    def name(self) -> str | None:
        """The bot's name, where the page shows one."""
    @property
    def url(self) -> str | None:
        """The page's URL as the bot reports it."""
    @property
    def ajax_url(self) -> str | None:
        """The URL that messages are posted to, where the page says so before the scan stopped."""
    @property
    def streams(self) -> bool | None:
        """Whether the bot streams; None where the page does not say."""
    @property
    def assistant(self) -> bool:
        """Whether an OpenAI assistant answers."""
    @property
    def memory_limit(self) -> int | None:
        """How many earlier turns the bot's own page sends."""
    @property
    def custom_id(self) -> str | None:
        """The id of the settings that the page gives the bot, of AI Engine; may be empty."""
    @property
    def rest_url(self) -> str | None:
        """The URL that paths of the REST API are added to, of AI Engine."""
    @property
    def session_id(self) -> str | None:
        """The visitor's session, of AI Engine. Not shown in the repr."""
    @property
    def start_sentence(self) -> str | None:
        """What the chat says before anybody asks, of AI Engine."""
    @property
    def max_length(self) -> int | None:
        """How many characters a message has at most, of AI Engine."""
    @property
    def mode(self) -> str | None:
        """What the bot does, of AI Engine: ``chat``, ``images``, and others."""
    def __reduce__(self) -> tuple[type[ChatWidget], tuple[Any, ...]]: ...
    def _asdict(self) -> dict[str, Any]:
        """Return the fields by name."""

@final
class PageTokens(_Compared):
    """The tokens that a message must carry. The repr does not show the nonce."""

    __match_args__ = ("nonce", "post_id")
    def __new__(cls, nonce: str, post_id: str) -> PageTokens:
        """Make the record of a page's tokens."""
    @property
    def nonce(self) -> str:
        """The nonce: 1 to 256 visible ASCII characters."""
    @property
    def post_id(self) -> str:
        """The post id: digits."""
    def __reduce__(self) -> tuple[type[PageTokens], tuple[Any, ...]]: ...
    def _asdict(self) -> dict[str, Any]:
        """Return the fields by name."""

@final
class Page(_Compared):
    """The chat bots that a page shows, and the tokens that a message must carry."""

    __match_args__ = (
        "widgets",
        "tokens",
        "problem",
        "challenge",
        "title",
        "ajax_url",
        "roots",
        "max_page_bytes",
    )
    def __new__(
        cls,
        widgets: Sequence[ChatWidget] = [],
        tokens: PageTokens | None = None,
        problem: Literal[
            "missing_nonce",
            "missing_post_id",
            "missing_both",
            "invalid_nonce",
            "invalid_post_id",
            "challenge",
            "limit",
            "too_many_widgets",
        ]
        | None = None,
        challenge: bool = False,
        title: str | None = None,
        ajax_url: str | None = None,
        roots: Sequence[str] = [],
        max_page_bytes: int | None = None,
    ) -> Page:
        """Make the record of a page, as a scan would.

        `tokens` and `problem` exclude each other (InvalidRequestError); with neither the problem is
        ``missing_both``. `max_page_bytes` is told by the error of the problem ``limit``, 4 MiB
        unless given.
        """
    @property
    def widgets(self) -> list[ChatWidget]:
        """The bots up to where the scan stopped; never raises."""
    @property
    def tokens(self) -> PageTokens:
        """The tokens of the most trusted source.

        Raises TokenNotFoundError, ChallengeError or LimitExceeded.
        """
    @property
    def problem(
        self,
    ) -> (
        Literal[
            "missing_nonce",
            "missing_post_id",
            "missing_both",
            "invalid_nonce",
            "invalid_post_id",
            "challenge",
            "limit",
            "too_many_widgets",
        ]
        | None
    ):
        """Why there are no tokens, in a word; None where there are some."""
    @property
    def challenge(self) -> bool:
        """Whether the page is a challenge, meant for a browser, that shows no bot."""
    @property
    def title(self) -> str | None:
        """The page's title; None where it has none."""
    @property
    def ajax_url(self) -> str | None:
        """The URL that messages are posted to, where a script of the page says so.

        None where none did before the scan stopped; a bot's own `ajax_url` goes before it.
        """
    @property
    def roots(self) -> list[str]:
        """Where the page's WordPress may lie: URLs of folders, with their last slash.

        The likeliest comes first: they follow from the URLs of WordPress's own scripts, of its
        plugins and themes, and of its REST API. They may be relative, or of other hosts.
        """
    @property
    def max_page_bytes(self) -> int | None:
        """The limit that the page is larger than, in bytes; None for any other `problem`."""
    def widget(
        self,
        bot_id: str | None = None,
        name: str | None = None,
        kind: _WidgetKind | None = None,
    ) -> ChatWidget:
        """Return the bot of that id, name or kind, or the first one.

        Raises WidgetNotFoundError, which names the bots that are there.
        """
    def __reduce__(self) -> tuple[type[Page], tuple[Any, ...]]: ...
    def _asdict(self) -> dict[str, Any]:
        """Return the fields by name."""

@final
class PageScanner:
    """Chunks of an HTML page in, bots and tokens out; says when to stop reading.

    Chunk boundaries never change the result.
    """

    def __new__(
        cls,
        *,
        bot_id: str | None = None,
        kind: _WidgetKind | None = None,
        everything: bool = False,
        endpoint: bool = False,
        max_page_bytes: int = 4194304,
    ) -> PageScanner:
        """Make a scanner for one page.

        `bot_id`, `kind`: stop at that bot, at one of that kind; `everything`: stop at the end only;
        `endpoint`: wait for the endpoint, too.

        `max_page_bytes`: how many bytes are looked at; InvalidRequestError unless above 0.
        """
    def feed(self, data: bytes | bytearray | memoryview) -> bool:
        """Take the next bytes and return whether to stop reading.

        True when the page has given what was wanted, or a limit was passed.
        """
    def close(self) -> Page:
        """End the page, as far as it was read, and return what it shows."""

def scan_page(html: bytes | bytearray | memoryview) -> Page:
    """Scan a whole page for every bot on it, and for its tokens."""

def sign_request(timestamp_ms: int, message: str, secret: str) -> str:
    """Return the lower-case hex SHA-256 of ``{timestamp_ms}:{message}:{secret}``.

    GeminiProChat checks it: `timestamp_ms` is the request's ``time``, in milliseconds, `message`
    the last message, `secret` the deployment's key.
    """

def finish_reason_of(
    reason: str | None, *, calls: bool = False
) -> Literal["stop", "length", "tool_calls", "content_filter"]:
    """Return why an answer ended, in the word of OpenAI's chat completions.

    `reason` is the word of whichever service, however its letters are written; `calls` says whether
    the answer has calls of tools. One that was cut is ``length``, one that was filtered
    ``content_filter``; any other is ``tool_calls`` with calls, and ``stop`` without.
    """

@final
class ChunkEncoder:
    """Deltas in, the events of one streamed chat completion out, as OpenAI's clients read them.

    Keeps which tool calls have begun, and nothing else.

    Whatever a text holds, it stays within its JSON string and its line: control characters, U+2028
    and U+2029 are escaped, so is ``<``, and a lone surrogate is one U+FFFD.
    """

    def __new__(
        cls,
        *,
        id: str,  # noqa: A002 - the wire's own name
        created: int,
        model: str,
        system_fingerprint: str | None,
        include_usage: bool = False,
    ) -> ChunkEncoder:
        """Prepare what all events of a stream share.

        `created` is in seconds since 1970; `include_usage` says that a usage chunk will follow.
        """
    def role(self) -> bytes:
        """Return the first event, which says who speaks."""
    def deltas(self, deltas: list[str]) -> bytes:
        """Return one event for each text."""
    def events(self, deltas: list[Delta]) -> bytes:
        """Return one event for each delta of any kind.

        Reasoning is ``reasoning_content``, as most servers name it. Tool calls are numbered from 0
        on, as they came; one that has no id gets one made of the stream's and its number. A delta's
        `logprobs` are those of the event's choice.
        """
    def relay(
        self, decoder: DeltaDecoder, data: bytes | bytearray | memoryview
    ) -> tuple[bytes, int, int]:
        """Return the events of the deltas that `data` completes in `decoder`, and their numbers.

        As ``events(decoder.feed_events(data))``, without an object for each delta; with it come how
        many deltas there were, and how many characters they have.
        """
    def keep_alive(self) -> bytes:
        """Return a comment, which keeps the connection alive while there is nothing to tell."""
    def finish(self, reason: str | None = None) -> bytes:
        """Return the event that says why the answer ends, in OpenAI's word.

        `reason`: why the model stopped, in the word of whichever service. It is told as
        `finish_reason_of` says it of an answer that has the calls which were told. Before it, calls
        that have no arguments get ``{}``, which is JSON, unless the answer was cut.
        """
    def usage(
        self,
        prompt: int,
        completion: int,
        *,
        total: int | None = None,
        cached: int | None = None,
        reasoning: int | None = None,
        estimated: bool = True,
    ) -> bytes:
        """Return the event with token counts and no choices.

        `total`: by the site's own count, their sum unless given; `cached` tokens of the prompt and
        `reasoning` tokens of the answer are told where they are given. `estimated` stands beside
        the counts as ``usage_estimated``.
        """
    def done(self) -> bytes:
        """Return the last event of a stream that ended well: the [DONE] sentinel."""
    def error(
        self, message: str, *, kind: str, param: str | None = None, code: str | None = None
    ) -> bytes:
        """Return the last event of a stream that failed: OpenAI's error object.

        The object's ``type`` is `kind`.
        """

@final
class CompletionEncoder:
    """Deltas in, the events of one streamed legacy completion out, as OpenAI's clients read them.

    The wire knows text alone. A refusal is text; reasoning and tool calls stand beside an empty
    text, under the names that they have in a chat completion's delta. Texts are escaped as
    `ChunkEncoder` does.
    """

    def __new__(
        cls,
        *,
        id: str,  # noqa: A002 - the wire's own name
        created: int,
        model: str,
        system_fingerprint: str | None,
        include_usage: bool = False,
    ) -> CompletionEncoder:
        """Prepare what all events of a stream share.

        `created` is in seconds since 1970; `include_usage` says that a usage chunk will follow.
        """
    def deltas(self, deltas: list[str]) -> bytes:
        """Return one event for each text."""
    def events(self, deltas: list[Delta]) -> bytes:
        """Return one event for each delta of any kind.

        Reasoning is ``reasoning_content``, as most servers name it. Tool calls are numbered from 0
        on, as they came; one that has no id gets one made of the stream's and its number. A delta's
        `logprobs` are those of the event's choice.
        """
    def relay(
        self, decoder: DeltaDecoder, data: bytes | bytearray | memoryview
    ) -> tuple[bytes, int, int]:
        """Return the events of the deltas that `data` completes in `decoder`, and their numbers.

        As ``events(decoder.feed_events(data))``, without an object for each delta; with it come how
        many deltas there were, and how many characters they have.
        """
    def keep_alive(self) -> bytes:
        """Return a comment, which keeps the connection alive while there is nothing to tell."""
    def finish(self, reason: str | None = None) -> bytes:
        """Return the event that says why the answer ends, in OpenAI's word.

        `reason`: why the model stopped, in the word of whichever service. It is told as
        `finish_reason_of` says it of an answer that has the calls which were told. Before it, calls
        that have no arguments get ``{}``, which is JSON, unless the answer was cut.
        """
    def usage(
        self,
        prompt: int,
        completion: int,
        *,
        total: int | None = None,
        cached: int | None = None,
        reasoning: int | None = None,
        estimated: bool = True,
    ) -> bytes:
        """Return the event with token counts and no choices.

        `total`: by the site's own count, their sum unless given; `cached` tokens of the prompt and
        `reasoning` tokens of the answer are told where they are given. `estimated` stands beside
        the counts as ``usage_estimated``.
        """
    def done(self) -> bytes:
        """Return the last event of a stream that ended well: the [DONE] sentinel."""
    def error(
        self, message: str, *, kind: str, param: str | None = None, code: str | None = None
    ) -> bytes:
        """Return the last event of a stream that failed: OpenAI's error object.

        The object's ``type`` is `kind`.
        """

@final
class ResponseEncoder:
    """Deltas in, the events of one streamed response out, as OpenAI's clients read them.

    Or the whole response. Reasoning is told as a summary of it, a refusal as a part of the message;
    a tool call's item begins with its arguments, and is over when they are whole JSON and something
    else comes; one without arguments is told at the end. Texts are escaped as `ChunkEncoder` does.

    Because the last events tell all of the answer again, it is kept, up to `max_kept_bytes`: beyond
    it the response is failed, by an event that says so, and `failure` tells it too. What comes
    behind an end gives no bytes.
    """

    def __new__(
        cls,
        *,
        id: str,  # noqa: A002 - the wire's own name
        created_at: int,
        model: str,
        request: bytes | bytearray | memoryview = b"{}",
        max_kept_bytes: int = 8388608,
    ) -> ResponseEncoder:
        """Prepare what the response says of itself.

        `created_at` is in seconds since 1970. `request`: the request as JSON; what a response
        repeats of one (instructions, metadata, text, tools, tool_choice, temperature, ...) is taken
        from it, and has its default where it is not there. InvalidRequestError when it is no JSON
        object, or for a limit that is not above 0.
        """
    def start(self) -> bytes:
        """Return the first events, which say that the response is there and under way."""
    def deltas(self, deltas: list[str]) -> bytes:
        """Return the events of some texts."""
    def events(self, deltas: list[Delta]) -> bytes:
        """Return the events of some deltas of any kind.

        Pieces of a call that come while another is not over are held until it is. A call that has
        no id gets one made of the response's and its number. The wire tells the `logprobs` of a
        text alone: those of an empty one are told with the next.
        """
    def relay(
        self, decoder: DeltaDecoder, data: bytes | bytearray | memoryview
    ) -> tuple[bytes, int, int]:
        """Return the events of the deltas that `data` completes in `decoder`, and their numbers.

        As ``events(decoder.feed_events(data))``, without an object for each delta; with it come how
        many deltas there were, and how many characters they have.
        """
    def keep_alive(self) -> bytes:
        """Return a comment, which keeps the connection alive while there is nothing to tell."""
    def finish(
        self, reason: str | None = None, usage: Usage | None = None, *, estimated: bool = False
    ) -> bytes:
        """Return the events that end the answer; the last one is response.completed or .incomplete.

        `reason`: why the model stopped, in the word of whichever service: of one that means a cut
        or a filter the response is incomplete. `usage`: its token counts; what they leave out is 0.
        `estimated` stands beside them as ``usage_estimated``.
        """
    def error(
        self, message: str, *, kind: str, param: str | None = None, code: str | None = None
    ) -> bytes:
        """Return the last event of a response that failed, with the answer that came before.

        The error's code is `code`, else by `kind`, its type, rate_limit_exceeded or server_error.
        """
    def whole(
        self,
        deltas: list[Delta],
        reason: str | None = None,
        usage: Usage | None = None,
        *,
        estimated: bool = False,
    ) -> bytes:
        """Return the whole response of an answer that has these deltas, as JSON.

        The other arguments are those of `finish`. Nothing of a stream is in it.
        """
    @property
    def state(self) -> Literal["open", "done", "failed"]:
        """How the stream stands: ``done`` when its end was told, ``failed`` when an error was."""
    @property
    def failure(self) -> StreamError | None:
        """Why the encoder itself ended the stream as failed; None where it did not.

        Its kind is ``limit`` where more than `max_kept_bytes` would have to be kept, and
        ``upstream`` where a tool call goes on behind its whole arguments.
        """

@final
class MessageEncoder:
    """Deltas in, the events of one streamed message out, as Anthropic's clients read them.

    Or the whole message. A refusal is text, and the stop reason ``refusal``; thinking has the
    signature that its service gave, else an empty one. Of the blocks one is open at a time: a tool
    call's begins with its arguments, and is over when they are whole JSON and something else comes;
    one without arguments is told at the end. Texts are escaped as `ChunkEncoder` does.

    What comes while a tool call is not over is held until then, up to `max_kept_bytes`: beyond it
    the message is failed, by an event that says so, and `failure` tells it too. What comes behind
    an end gives no bytes.
    """

    def __new__(
        cls,
        *,
        id: str,  # noqa: A002 - the wire's own name
        model: str,
        max_kept_bytes: int = 8388608,
    ) -> MessageEncoder:
        """Prepare what the message says of itself.

        InvalidRequestError for a limit that is not above 0.
        """
    def start(self, input_tokens: int = 0) -> bytes:
        """Return the first event, which tells how many tokens the request has."""
    def deltas(self, deltas: list[str]) -> bytes:
        """Return the events of some texts."""
    def events(self, deltas: list[Delta]) -> bytes:
        """Return the events of some deltas of any kind.

        A call that has no id gets one made of the message's and its number. The wire knows no
        `logprobs`.
        """
    def relay(
        self, decoder: DeltaDecoder, data: bytes | bytearray | memoryview
    ) -> tuple[bytes, int, int]:
        """Return the events of the deltas that `data` completes in `decoder`, and their numbers.

        As ``events(decoder.feed_events(data))``, without an object for each delta; with it come how
        many deltas there were, and how many characters they have.
        """
    def keep_alive(self) -> bytes:
        """Return a ``ping``, which keeps the connection alive while there is nothing to tell."""
    def finish(
        self,
        reason: str | None = None,
        usage: Usage | None = None,
        *,
        stop_sequence: str | None = None,
        estimated: bool = False,
    ) -> bytes:
        """Return the events that end the answer: its stop reason and usage, and message_stop.

        `reason`: why the model stopped, in the word of whichever service; one that the API itself
        has is told as it is. Where it means a plain end, a refusal or a tool call in the answer is
        the reason. `stop_sequence`: the one that the answer ran into, which is the reason then.
        `usage`: its token counts; `estimated` stands beside them as ``usage_estimated``.
        """
    def error(
        self, message: str, *, kind: str, param: str | None = None, code: str | None = None
    ) -> bytes:
        """Return the last event of a message that failed.

        The error's type is `kind` where the API has it, else api_error. `param` and `code`, which
        it does not have, stand beside the message where they are given.
        """
    def whole(
        self,
        deltas: list[Delta],
        reason: str | None = None,
        usage: Usage | None = None,
        *,
        stop_sequence: str | None = None,
        estimated: bool = False,
    ) -> bytes:
        """Return the whole message of an answer that has these deltas, as JSON.

        Arguments of a call that are no JSON object are told as text, in a member INVALID_JSON. The
        other arguments are those of `finish`. Nothing of a stream is in it.
        """
    @property
    def state(self) -> Literal["open", "done", "failed"]:
        """How the stream stands: ``done`` when its end was told, ``failed`` when an error was."""
    @property
    def failure(self) -> StreamError | None:
        """Why the encoder itself ended the stream as failed; None where it did not.

        Its kind is ``limit`` where more than `max_kept_bytes` would have to be kept, and
        ``upstream`` where a tool call goes on behind its whole arguments.
        """

@final
class _Shape:
    """How objects of one class are made."""

    def __new__(cls, lazy: type[Any], extras: bool) -> _Shape: ...

@final
class _Variants:
    """The shapes among which an object's member decides."""

    def __new__(
        cls, discriminator: str | None, find: Callable[[Any], _Shape | None]
    ) -> _Variants: ...

@final
class _Field:
    """A field of a class of objects: a descriptor."""

    def __new__(
        cls,
        name: str,
        real: type[Any],
        make_whole: Callable[[Any], None],
        *,
        kinds: int = 0,
        absent: tuple[Any] | None = None,
        item: _Variants | None = None,
        elements: _Variants | None = None,
    ) -> _Field: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any: ...
    def __set__(self, instance: object, value: object, /) -> None: ...
    def __delete__(self, instance: object, /) -> None: ...

@final
class _Kept:
    """What an object that is not yet whole is read from."""

    def whole(self) -> Any:
        """Make the whole object."""

    def given(self) -> list[tuple[str, Any]]:
        """Return the fields that were handed out as objects or lists of them."""

    def member(self, name: str) -> tuple[Any, ...] | None:
        """Return the value of the member of this name, which is no field, in a tuple.

        The tuple is empty where there is none; None stands for what the whole object alone can
        tell.
        """

@final
class _ObjectReader:
    """Bytes of an event stream in; objects out, and what only the stream's own client can read."""

    def __new__(
        cls,
        variants: _Variants,
        make: Callable[[str], Any],
        *,
        named: bool,
        max_event_bytes: int,
    ) -> _ObjectReader: ...
    def feed(self, data: bytes | bytearray | memoryview) -> list[Any]:
        """Return what `data` completes.

        That is lists of objects, and between them, as tuples of name, data, id and retry, the
        events that are none.
        """

    def close(self) -> None:
        """End the stream; an unfinished event is dropped."""

def _row_numbers(data: bytes, head: bytes, start: int) -> tuple[list[int], int]:
    """Return the numbers of the rows whose lines stand in `data` from `start`, and their end.

    A line is `head`, the number, a quotation mark and the rest, which ends in `}` and a line feed
    and holds no NUL. The first one that is otherwise ends the search.
    """

def _kept(item: object, /) -> _Kept | None:
    """Return the record that an object keeps, or None once the object is whole."""
