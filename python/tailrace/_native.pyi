"""The Rust core as Python sees it."""

from collections.abc import Iterable
from typing import Final, Literal, final

from tailrace.errors import StreamError

__all__ = [
    "DIALECTS",
    "ChatWidget",
    "ChunkEncoder",
    "DecodedReply",
    "Delta",
    "DeltaDecoder",
    "Page",
    "PageScanner",
    "PageTokens",
    "SSEDecoder",
    "ServerSentEvent",
    "Usage",
    "__version__",
    "decode_many",
    "scan_page",
    "sign_request",
]

__version__: str

DIALECTS: Final[tuple[str, ...]]
"""The dialects that `DeltaDecoder` knows."""

@final
class ServerSentEvent:
    """One dispatched server-sent event (WHATWG HTML 9.2.6)."""

    @property
    def event(self) -> str:
        """Its type; ``message`` where the block named none."""
    @property
    def data(self) -> str:
        """Its data lines, joined by newlines."""
    @property
    def id(self) -> str:
        """The last event id in force when it was dispatched."""
    @property
    def retry(self) -> int | None:
        """The reconnection time its own block set, in milliseconds."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class SSEDecoder:
    """Bytes of an event stream in, events out. Chunk boundaries never change the events."""

    def __new__(cls, *, max_event_bytes: int = 8388608) -> SSEDecoder:
        """`max_event_bytes`: the most bytes one event's fields may take; InvalidRequestError unless
        above 0.
        """
    def feed(self, data: bytes | bytearray | memoryview) -> list[ServerSentEvent]:
        """The events that `data` completes.

        After a limit has been passed: LimitExceeded from the next call on.
        """
    def close(self) -> list[ServerSentEvent]:
        """The end of the stream: an unfinished event is dropped, as the specification says."""
    @property
    def last_event_id(self) -> str:
        """The last event id in force."""
    @property
    def retry(self) -> int | None:
        """The reconnection time in force, in milliseconds."""

@final
class Usage:
    """The token counts a stream reported; 0 where it left one out."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
    @property
    def completion_tokens(self) -> int:
        """Tokens of the answer."""
    @property
    def total_tokens(self) -> int:
        """Both."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Delta:
    """One thing that a reply adds: text of the answer, or what else there is."""

    @property
    def kind(self) -> Literal["text", "reasoning", "refusal", "tool_call"]:
        """What it adds to: ``text``, ``reasoning``, ``refusal`` or ``tool_call``."""
    @property
    def text(self) -> str:
        """What is added; for a tool call, to its arguments, and it may be empty.

        Otherwise it never is.
        """
    @property
    def index(self) -> int | None:
        """Which of the reply's tool calls it belongs to, as the API numbers them: not always from 0
        on.
        """
    @property
    def id(self) -> str | None:
        """What the tool call is to be answered by; most APIs say so with a call's first piece only."""
    @property
    def name(self) -> str | None:
        """The tool's name, with a call's first piece."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class DeltaDecoder:
    """Bytes of one chat reply in, text deltas out. Chunk boundaries never change the joined text or
    the end.

    What a peer sends never raises: `end` and `error` say what was wrong, once the text before it
    has been returned.
    """

    def __new__(
        cls,
        dialect: str = "openai",
        *,
        content_type: str | None = None,
        status: int = 200,
        failure_tail: str | None = None,
        max_event_bytes: int = 8388608,
        max_body_bytes: int = 8388608,
    ) -> DeltaDecoder:
        """A decoder for one HTTP reply.

        `dialect`: one of `DIALECTS`. `content_type` and `status` are the reply's. `failure_tail`
        (dialect ``text``): a literal that, at the very end, means that the answer failed. Limits
        are in bytes. InvalidRequestError for an unknown dialect, a status outside 100 to 999, or a
        limit that is not above 0.
        """
    def feed(self, data: bytes | bytearray | memoryview) -> list[str]:
        """The deltas that `data` completes, none of them empty."""
    def feed_text(self, data: bytes | bytearray | memoryview) -> str:
        """The same deltas, joined."""
    def close(self, *, complete: bool = True) -> list[str]:
        """The end of the reply; `complete=False`: the transport broke.

        Returns what was held back.
        """
    def feed_events(self, data: bytes | bytearray | memoryview) -> list[Delta]:
        """The same deltas of text, and in their places reasoning, refusals and pieces of tool
        calls.

        It can be mixed with the other two. What they passed over is gone.
        """
    def close_events(self, *, complete: bool = True) -> list[Delta]:
        """The end of the reply, as `close`, with deltas of every kind."""
    @property
    def done(self) -> bool:
        """The dialect's end marker was seen."""
    @property
    def end(self) -> Literal["open", "done", "stopped", "truncated", "failed"]:
        """How the reply ended."""
    @property
    def framing(self) -> Literal["open", "sse", "ndjson", "array", "json", "text"]:
        """What the reply's first bytes made of it; ``open`` while that is undecided."""
    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, in its own word."""
    @property
    def usage(self) -> Usage | None:
        """The last token counts the stream reported."""
    @property
    def ids(self) -> dict[str, str]:
        """What the stream says of itself: thread_id, message_id, openai_response_id, id, model."""
    @property
    def error(self) -> StreamError | None:
        """What was wrong; the same object every time."""
    @property
    def events(self) -> int:
        """Events seen."""
    @property
    def bad_events(self) -> int:
        """Events skipped because their data was not what the dialect promises."""

@final
class DecodedReply:
    """One whole reply, decoded: its text, and how it ended. Nothing in it changes any more."""

    @property
    def text(self) -> str:
        """All of its text; of a reply that failed or broke off, what came before that."""
    @property
    def end(self) -> Literal["done", "stopped", "truncated", "failed"]:
        """How it ended."""
    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, in its own word."""
    @property
    def usage(self) -> Usage | None:
        """The last token counts it reported."""
    @property
    def ids(self) -> dict[str, str]:
        """What it says of itself, as `DeltaDecoder.ids`."""
    @property
    def error(self) -> StreamError | None:
        """What was wrong, as `DeltaDecoder.error`: there when `end` is ``truncated`` or ``failed``,
        and only then.
        """
    @property
    def events(self) -> int:
        """Events seen."""
    @property
    def bad_events(self) -> int:
        """Events skipped because their data was not what the dialect promises."""

def decode_many(
    replies: Iterable[bytes | bytearray | memoryview],
    dialect: str = "openai",
    *,
    content_type: str | None = None,
    status: int = 200,
    failure_tail: str | None = None,
    max_event_bytes: int = 8388608,
    max_body_bytes: int = 8388608,
    threads: int | None = None,
) -> list[DecodedReply]:
    """Whole replies of one dialect, decoded by several threads; their records stand in the order of
    the replies.

    Each is what a `DeltaDecoder` with these options makes of the whole, fed at once. The
    interpreter is free meanwhile. `threads`: how many decode at once, this one included; as many as
    the process has cores unless given. An iterator is asked for about 64 MiB a thread at a time,
    and those are let go before the next; signals are heard in between.

    InvalidRequestError for options as `DeltaDecoder`, for a number of threads that is not above 0,
    and for a reply that is not bytes, with its index.
    """

@final
class ChatWidget:
    """One chat bot on a page."""

    @property
    def kind(self) -> Literal["ai-power", "aipkit"]:
        """Which line of the plugin shows it: ``ai-power`` or ``aipkit``."""
    @property
    def placement(self) -> Literal["inline", "popup"]:
        """Part of the page, or floating over it: ``inline`` or ``popup``."""
    @property
    def nonce(self) -> str:
        """Its nonce; empty where the tag has none that is valid. Not shown in the repr."""
    @property
    def post_id(self) -> str:
        """The page's post id, digits; empty where the tag has none that is valid."""
    @property
    def bot_id(self) -> str:
        """The bot; ``0`` is the site's default bot."""
    @property
    def name(self) -> str | None:
        """The bot's name, where the page shows one."""
    @property
    def url(self) -> str | None:
        """The page's URL as the bot reports it."""
    @property
    def ajax_url(self) -> str | None:
        """Where messages are posted, where the page says so before the scan stopped."""
    @property
    def streams(self) -> bool | None:
        """Whether it streams; None: the page does not say."""
    @property
    def assistant(self) -> bool:
        """Whether an OpenAI assistant answers."""
    @property
    def memory_limit(self) -> int | None:
        """How many earlier turns its own page sends."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class PageTokens:
    """What posting a message needs. The repr does not show the nonce."""

    @property
    def nonce(self) -> str:
        """1 to 256 visible ASCII characters."""
    @property
    def post_id(self) -> str:
        """Digits."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Page:
    """What a page shows of chat bots."""

    @property
    def widgets(self) -> list[ChatWidget]:
        """The bots up to where the scan stopped; never raises."""
    @property
    def tokens(self) -> PageTokens:
        """The tokens of the most trusted place.

        Raises TokenNotFoundError, ChallengeError or LimitExceeded.
        """
    @property
    def challenge(self) -> bool:
        """Whether this is a page meant for a browser, and no bot's."""
    @property
    def title(self) -> str | None:
        """The page's title."""
    def widget(self, bot_id: str | None = None, name: str | None = None) -> ChatWidget:
        """The bot of that id or name, or the first one.

        Raises WidgetNotFoundError naming what was there.
        """

@final
class PageScanner:
    """Chunks of an HTML page in, bots and tokens out; it can stop early.

    Chunk boundaries never change the result.
    """

    def __new__(
        cls,
        *,
        bot_id: str | None = None,
        everything: bool = False,
        endpoint: bool = False,
        max_page_bytes: int = 4194304,
    ) -> PageScanner:
        """`bot_id`: stop at that bot; `everything`: stop at the end only; `endpoint`: wait for the
        endpoint, too.

        `max_page_bytes`: how many bytes are looked at; InvalidRequestError unless above 0.
        """
    def feed(self, data: bytes | bytearray | memoryview) -> bool:
        """True: stop reading, the page has given what was asked for."""
    def close(self) -> Page:
        """What the page gave."""

def scan_page(html: bytes | bytearray | memoryview) -> Page:
    """Everything on a page that is at hand."""

def sign_request(timestamp_ms: int, message: str, secret: str) -> str:
    """The lower-case hex SHA-256 of ``{timestamp_ms}:{message}:{secret}``, as GeminiProChat checks
    it.
    """

@final
class ChunkEncoder:
    """Text in, the events of one streamed chat completion out, as OpenAI's clients read them. It
    keeps no state.

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
        """Prepare what all events share.

        `created`: seconds since 1970; `include_usage`: a usage chunk will follow.
        """
    def role(self) -> bytes:
        """The first event: who speaks."""
    def deltas(self, deltas: list[str]) -> bytes:
        """One event a delta."""
    def finish(self, reason: str) -> bytes:
        """The event that says why the answer ends."""
    def usage(self, prompt: int, completion: int, *, estimated: bool = True) -> bytes:
        """The event with token counts and no choices; `estimated` stands beside them as
        ``usage_estimated``.
        """
    def done(self) -> bytes:
        """The last event of a stream that ended well: the [DONE] sentinel."""
    def error(
        self, message: str, *, kind: str, param: str | None = None, code: str | None = None
    ) -> bytes:
        """The last event of a stream that failed:

        OpenAI's error object, whose ``type`` is `kind`.
        """
