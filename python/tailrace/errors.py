"""Every way a call can fail, as one tree.

::

    TailraceError
    ├── InvalidRequestError (ValueError)      the caller's input cannot be sent
    │   ├── ModelNotFoundError
    │   │   └── ModelNotSupportedError
    │   ├── ArchiveError                      a file of a kept reply that cannot be unpacked
    │   ├── BatchFolderError                  a batch's output folder belongs to another run
    │   │   └── BatchLockedError              another process is writing it
    │   ├── BatchInputError                   a batch's input cannot be read, or has bad rows
    │   ├── ProfileError                      a file of site profiles: file, key, what was expected
    │   └── RecordingError                    no recording, or one that grows too large
    ├── BatchTableError                       a batch ran, and its table failed: error, report
    ├── BatchWorkersError                     a batch's workers died, or could not start
    ├── BatchWriteError                       a batch's output cannot be written (a full disk)
    ├── ProviderNotFoundError
    ├── ProviderNotWorkingError
    ├── StreamNotSupportedError
    ├── MissingRequirementsError              an extra is not installed
    ├── RetryProviderError                    every provider of a list failed
    ├── RetryNoProviderError                  the list of providers is empty
    ├── NetworkError (ConnectionError)        the connection failed
    │   ├── ConnectError                      name not found, refused, unreachable
    │   ├── ProxyError
    │   │   └── InvalidProxyError (ValueError)  no URL of a proxy, or of an unknown kind
    │   ├── TLSError
    │   └── ReplyBrokenError                  a reply began and broke off
    ├── TimeoutError (builtins.TimeoutError)  phase: connect, first byte, idle, total
    └── ResponseError                         a reply came, and it is not an answer
        ├── TokenNotFoundError (RuntimeError) the page holds no usable nonce or post id
        ├── WidgetNotFoundError               the page does not show the requested bot
        ├── RedirectError                     a redirect this client does not follow
        ├── EndpointError                     the page names an endpoint on another server
        ├── ToolArgumentsError (ValueError)   the arguments of a tool call are not JSON
        └── StreamError                       kind, message, status, code, raw
            ├── LimitExceeded                 kind "limit"
            ├── NonceRefusedError             the site refused a nonce it had just issued
            ├── ConversationLimitError        the site's quota for this visitor is used up
            └── ResponseStatusError           status >= 400
                ├── MissingAuthError          401: a password or key is missing or wrong
                ├── PaymentRequiredError      402
                ├── RateLimitError            429
                ├── ModelNotServedError (ModelNotFoundError)  the server has no such model
                └── CloudflareError
                    └── ChallengeError        kind "challenge": a page meant for a browser

The names gpt4free's callers know are kept. This module imports nothing of ours, so that every other
module, the Rust bindings included, can import it.

A message is one line of at most 300 characters, whoever wrote it; `TailraceError.raw` keeps what
did not fit. No message built here holds a nonce, a key, a cookie, a password or a prompt, and what
a message quotes loses the user and password of its URLs and the values of their secret fields. What
a call has sent as a secret is left out of all texts of its errors: ``[secret]`` stands there.
"""

from __future__ import annotations

import builtins
import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = [
    "ArchiveError",
    "BatchFolderError",
    "BatchInputError",
    "BatchLockedError",
    "BatchTableError",
    "BatchWorkersError",
    "BatchWriteError",
    "ChallengeError",
    "CloudflareError",
    "ConnectError",
    "ConversationLimitError",
    "EndpointError",
    "InvalidProxyError",
    "InvalidRequestError",
    "LimitExceeded",
    "MissingAuthError",
    "MissingRequirementsError",
    "ModelNotFoundError",
    "ModelNotServedError",
    "ModelNotSupportedError",
    "NetworkError",
    "NonceRefusedError",
    "PaymentRequiredError",
    "ProfileError",
    "ProviderNotFoundError",
    "ProviderNotWorkingError",
    "ProxyError",
    "RateLimitError",
    "RecordingError",
    "RedirectError",
    "ReplyBrokenError",
    "ResponseError",
    "ResponseStatusError",
    "RetryNoProviderError",
    "RetryProviderError",
    "StreamError",
    "StreamNotSupportedError",
    "TLSError",
    "TailraceError",
    "TimeoutError",
    "TokenNotFoundError",
    "ToolArgumentsError",
    "WidgetNotFoundError",
]

StreamErrorKind = Literal["upstream", "truncated", "not_a_stream", "challenge", "empty", "limit"]
TimeoutPhase = Literal["connect", "first byte", "idle", "total"]
TokenProblem = Literal[
    "missing_nonce", "missing_post_id", "missing_both", "invalid_nonce", "invalid_post_id"
]


LONGEST_MESSAGE = 300
"""The most characters of an error's message, and of its `str`."""

LONGEST_CODE = 100
"""The most characters of an error's `code`."""

MAX_RAW_BYTES = 64 * 2**10
"""The most bytes that an error's `raw` takes as UTF-8."""

SECRET_FIELD: re.Pattern[str] = re.compile(
    r"nonce|pass|pwd|sign|token(?!s)|secret|key|cookie|auth|session|client_id|uuid|credential"
    r"|bearer|jwt|csrf|xsrf|email|(?<![a-z])(?:sig|sid|hmac|t?otp|pin|mfa|2fa)(?![a-z])",
    re.IGNORECASE,
)
"""What the name of a query's or form's field says where its value is nobody else's business."""


class TailraceError(Exception):
    """The root of the tree: the errors that this package raises on purpose are all subclasses.

    All can be copied and pickled. The message is one line of at most 300 characters. `raw`: the
    whole of a message that had to be cut, and of a `StreamError` what was received; at most 64 KiB
    as UTF-8. `attempts`: the failures that came before this one and were followed by another try,
    in their order.
    """

    raw: str = ""
    attempts: tuple[TailraceError, ...] = ()

    def __init__(self, *arguments: object) -> None:
        shown = [one_line(each) if isinstance(each, str) else each for each in arguments]
        if shown and _is_cut(shown[0], arguments[0]):
            whole = str(arguments[0])
            # What was received may have been cut before its message was.
            self.raw = first_bytes(whole) if len(self.raw) < len(whole) else self.raw
        super().__init__(*shown)

    def __reduce__(self) -> tuple[Callable[..., TailraceError], tuple[object, ...]]:
        return _restored, (type(self), self.args, vars(self))


def _restored(
    kind: type[TailraceError], arguments: tuple[object, ...], state: dict[str, object]
) -> TailraceError:
    """Make an error anew without its `__init__`, whose parameters are not its `args`."""
    error = kind.__new__(kind)
    error.args = arguments  # which an OSError sets in its `__init__` alone
    vars(error).update(state)
    return error


def one_line(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return `text` as one line of at most `longest` characters, as a message shows it.

    Lines are joined by a space, a lone surrogate is U+FFFD. The user and password of a URL and the
    values of secret fields in a query are replaced by ``***``. A text that is too long ends with
    an ellipsis.
    """
    # More of a text cannot be shown, and what looks at a stranger's text has a limit.
    start = _encodable(text[: longest + _MOST_LOOKED_AT])
    line = " ".join(filter(None, map(str.strip, start.splitlines())))
    for pattern in _CREDENTIALS:
        line = pattern.sub("***@", line)
    line = _QUERY_FIELD.sub(_without_secret, line)
    if len(line) <= longest and len(text) <= longest + _MOST_LOOKED_AT:
        return line
    return line[: longest - 1].rstrip() + _ELLIPSIS


_MOST_LOOKED_AT = 4096  # characters
_ELLIPSIS = "…"
# The user and password of a URL; and without its scheme, where there is a password.
_CREDENTIALS = (
    re.compile(r"(?<=://)[^\s/?#\"'<>]{1,512}@"),
    re.compile(r"(?<![^\s\"'<>(=])[^\s/?#@:\"'<>]{1,128}:[^\s/?#@\"'<>]{1,256}@(?=[\w\[])"),
)
_QUERY_FIELD = re.compile(r"([?&;])([\w.%\[\]-]{1,64})=([^\s&;#\"'<>]{1,4096})")


def _without_secret(field: re.Match[str]) -> str:
    return f"{field[1]}{field[2]}=***" if SECRET_FIELD.search(field[2]) else field[0]


def _encodable(text: str) -> str:
    """Return `text` with each pair of surrogates joined and each lone one as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_cut(shown: object, text: object) -> bool:
    return isinstance(shown, str) and shown.endswith(_ELLIPSIS) and shown != text


def first_bytes(text: str) -> str:
    """Return as much of `text`, from its beginning, as `MAX_RAW_BYTES` hold."""
    start = _encodable(text[:MAX_RAW_BYTES]).encode()
    return start[:MAX_RAW_BYTES].decode("utf-8", "ignore")


class InvalidRequestError(TailraceError, ValueError):
    """The caller's input cannot be sent.

    An empty message list, a message of an unknown shape, a wrong option.
    """


class ModelNotFoundError(InvalidRequestError):
    """No model of that name is known."""


class ModelNotSupportedError(ModelNotFoundError):
    """The provider lists its models, and the requested one is not among them."""


class ArchiveError(InvalidRequestError):
    """A file of a kept reply whose compressed data breaks off or makes no sense."""


class BatchFolderError(InvalidRequestError):
    """A batch's output folder cannot be used for this run.

    Another run has it, or it holds the output of another input, of other options or of another
    number of shards; the message says which.
    """


class BatchLockedError(BatchFolderError):
    """A batch's output is being written by another process."""


class BatchInputError(InvalidRequestError):
    """A batch's input cannot be read, or has rows that cannot be sent.

    `problems`: lines for people, one a bad row, the first 100; `count`: how many bad rows there
    are, 0 where the input as a whole cannot be read.
    """

    def __init__(self, message: str, problems: Iterable[str] = (), count: int = 0) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        self.count = count
        super().__init__(message)


class ProfileError(InvalidRequestError):
    """A file of site profiles cannot be used.

    `file`: its path; `key`: the TOML key with the wrong value, empty where the file as a whole is
    wrong; `problem`: the expected value, in words. The message holds all three.
    """

    def __init__(self, file: str, key: str, problem: str) -> None:
        self.file = file
        self.key = key
        super().__init__(f"{file}: {f'{key}: ' if key else ''}{problem}")


class RecordingError(InvalidRequestError):
    """A file that is no recording, or a recording larger than its limit.

    The message names the line.
    """


class BatchTableError(TailraceError):
    """A batch's run ended, and the table of its answers could not be written.

    `error`: what failed at the table, such as an InvalidRequestError for a column that no row has;
    `report`: the run's, a `tailrace.batch.Report`. All rows are kept: the same run with another
    table asks none of them again.
    """

    def __init__(self, error: TailraceError, report: Any) -> None:
        self.error = error
        self.report = report  # its class is above this module
        self.raw: str = error.raw
        super().__init__(f"the run has ended, and its table failed: {error}")


class BatchWorkersError(TailraceError):
    """A batch's workers on other machines died too often, or could not be started.

    All rows that were written are kept, and the run can go on later.
    """


class BatchWriteError(TailraceError):
    """A batch's output cannot be written: the disk is full, or fails.

    All rows that were written are kept, and the run can go on later.
    """


class ProviderNotFoundError(TailraceError):
    """No provider of that name exists."""


class ProviderNotWorkingError(TailraceError):
    """The provider is marked as not working."""


class StreamNotSupportedError(TailraceError):
    """The provider cannot stream."""


class MissingRequirementsError(TailraceError):
    """A package that an extra installs is missing; the message names the extra."""


class RetryProviderError(TailraceError):
    """Every provider of a list failed.

    `errors`: pairs of a provider's name and its error, in the order in which they were called.
    """

    def __init__(self, errors: Iterable[tuple[str, TailraceError]]) -> None:
        self.errors: tuple[tuple[str, TailraceError], ...] = tuple(errors)
        start = "every provider failed: "
        failures = [f"{name}: {type(error).__name__}: {error}" for name, error in self.errors]
        if len("; ".join([start, *failures])) > LONGEST_MESSAGE:
            # Each gets its share, so that no provider is missing in the message.
            share = (LONGEST_MESSAGE - len(start)) // len(failures) - len("; ")
            failures = [one_line(each, max(share, 1)) for each in failures]
        super().__init__(start + "; ".join(failures))


class RetryNoProviderError(TailraceError):
    """The list of providers to try is empty."""


class NetworkError(TailraceError, ConnectionError):
    """The connection failed: before a reply came or, as `ReplyBrokenError` says, within one."""


class ConnectError(NetworkError):
    """The host's name was not found, or it refused the connection or could not be reached."""


class ProxyError(NetworkError):
    """The proxy could not be reached, or refused the request.

    TLS that fails with an https proxy, too.
    """


class InvalidProxyError(ProxyError, ValueError):
    """The text given for a proxy is no URL of a proxy, or one of an unknown kind.

    Nothing was sent.
    """


class TLSError(NetworkError):
    """The TLS handshake failed, or the certificate is not valid for the host."""


class ReplyBrokenError(NetworkError):
    """The reply began and broke off.

    A reset, an early end, a chunk or a compressed body that makes no sense. The bytes decoded
    before that were delivered. `bad_coding`: whether the body is not in the coding that its
    Content-Encoding names.
    """

    bad_coding: bool = False


class TimeoutError(TailraceError, builtins.TimeoutError):  # noqa: A001 - gpt4free's name, and it is one
    """A clock ran out.

    `phase`: which one, ``connect``, ``first byte``, ``idle`` or ``total``; `seconds`: its length.
    `where`: the URL or the host that the message names, empty for none.
    """

    def __init__(self, phase: TimeoutPhase, seconds: float, where: str = "") -> None:
        self.phase: TimeoutPhase = phase
        self.seconds = seconds
        super().__init__(f"{phase} timeout after {seconds:g} s{f' at {where}' if where else ''}")


class ResponseError(TailraceError):
    """A reply came, and it is not an answer."""


class TokenNotFoundError(ResponseError, RuntimeError):
    """The page holds no usable nonce or post id.

    `reason`: ``missing_nonce``, ``missing_post_id``, ``missing_both``, ``invalid_nonce`` or
    ``invalid_post_id``. `where`: the page's URL, which the message names, empty for none;
    `content_type`: of a page that is not HTML, and so named in the message, empty for others. A
    RuntimeError too, for callers that catch one.
    """

    def __init__(self, reason: TokenProblem, where: str = "", content_type: str = "") -> None:
        self.reason: TokenProblem = reason
        self.content_type = content_type
        is_other = f"the page is {content_type}, not HTML: " if content_type else ""
        super().__init__(f"{is_other}{_TOKEN_PROBLEMS[reason]}{f' at {where}' if where else ''}")


_TOKEN_PROBLEMS: dict[TokenProblem, str] = {
    "missing_nonce": (
        "the page holds no chat nonce: "
        "is the chat widget on this page, and is the page its public one"
    ),
    "missing_post_id": "the page holds a chat nonce but no post id",
    "missing_both": (
        "the page holds neither a chat nonce nor a post id: is there a chat widget on this page"
    ),
    "invalid_nonce": "the page's chat nonce is not 1 to 256 visible ASCII characters",
    "invalid_post_id": "the page's post id is not a number",
}


class WidgetNotFoundError(ResponseError):
    """The page does not show the requested bot; the message names those it shows."""


class RedirectError(ResponseError):
    """A redirect that this client does not follow.

    `target`: the URL that the redirect named, without query and credentials; `message`: the text of
    the error.
    """

    def __init__(self, message: str, target: str) -> None:
        self.target = target
        super().__init__(message)


class EndpointError(ResponseError):
    """The page names an endpoint that is not on its own server; the message names both.

    It is on another host, port or scheme, or has a user name, or is no http or https URL.
    """


class ToolArgumentsError(ResponseError, ValueError):
    """The arguments of a tool call are not JSON, as `tailrace.ToolCall.parsed` finds.

    `tool`: the tool's name; `problem`: the trouble, in the words of Python's `json`; `position`:
    the index of the character where it is, None where that is not known; `breaks_off`: whether the
    arguments are the beginning of JSON, as they are where the reply was cut or the model reached
    its limit of tokens; `raw`: the arguments, at most 64 KiB. A ValueError too, as the errors of
    `json` are.
    """

    def __init__(
        self,
        tool: str,
        problem: str,
        arguments: str,
        position: int | None = None,
        breaks_off: bool = False,  # noqa: FBT001, FBT002 - the bindings make it
    ) -> None:
        self.tool = tool
        self.problem = problem
        self.position = position
        self.breaks_off = breaks_off
        self.raw: str = first_bytes(arguments)
        name = f" {one_line(tool, _LONGEST_NAME)}" if tool else ""
        if breaks_off:
            trouble = (
                f"break off after {len(arguments)} characters: the reply was cut, or the model "
                "reached its limit of tokens"
            )
        else:
            where = "" if position is None else f" at character {position}"
            trouble = f"are not JSON{where}: {one_line(problem, _LONGEST_NAME)}"
        begin = one_line(arguments, _LONGEST_BEGINNING)
        super().__init__(f"the arguments of the tool{name} {trouble}; they begin with {begin}")


_LONGEST_NAME = 60  # characters
_LONGEST_BEGINNING = 60


class StreamError(ResponseError):
    """A fault that the decoder of a reply found in it.

    `kind`: ``upstream`` (the site or the model behind it reported an error), ``truncated`` (the
    reply broke off), ``not_a_stream`` (not a reply of this dialect), ``challenge`` (a page meant
    for a browser), ``empty`` (no answer in it), ``limit`` (a buffer's limit was passed). `message`
    is the site's own text where it gave one, as one line of at most 300 characters; `status` the
    reply's HTTP status; `code` the site's error code, at most 100 characters; `raw` what was
    received and not delivered, at most 64 KiB.
    """

    def __init__(
        self,
        kind: StreamErrorKind,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        raw: str = "",
    ) -> None:
        self.kind: StreamErrorKind = kind
        self.status = status
        self.code: str | None = None if code is None else one_line(code, LONGEST_CODE)
        self.raw: str = first_bytes(raw)
        super().__init__(message)
        self.message: str = str(self.args[0])

    def __str__(self) -> str:
        status = (
            f" (HTTP {self.status})"
            if self.status is not None and self.status >= FIRST_ERROR_STATUS
            else ""
        )
        return one_line(f"{_KINDS[self.kind]}{status}: {self.message}")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(kind={self.kind!r}, status={self.status!r}, code={self.code!r})"
        )


FIRST_ERROR_STATUS = 400
"""The lowest HTTP status that is an error (RFC 9110, 15.5)."""

_KINDS: dict[StreamErrorKind, str] = {
    "upstream": "the site reported an error",
    "truncated": "the reply broke off",
    "not_a_stream": "the reply is not an answer",
    "challenge": "the site wants a browser",
    "empty": "the reply holds no answer",
    "limit": "a limit was passed",
}


class LimitExceeded(StreamError):  # noqa: N818 - the name outsiders rely on
    """A peer sent more than a buffer's limit allows; the object that raises this stays failed.

    `message`, `status`, `code` and `raw` are those of `StreamError`; `kind` is ``limit``.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        raw: str = "",
    ) -> None:
        super().__init__("limit", message, status=status, code=code, raw=raw)


class NonceRefusedError(StreamError):
    """The site refused a nonce that had just been fetched from its page.

    The usual cause is a page cache that serves an expired page.
    """


class ConversationLimitError(StreamError):
    """The site's quota for this visitor is used up."""


class ResponseStatusError(StreamError):
    """The site answered with an HTTP status of 400 or more.

    `retry_after`: the seconds that the reply's Retry-After header asks for, None where it has none.
    """

    retry_after: float | None = None


class MissingAuthError(ResponseStatusError):
    """401: the site wants a password or key, or the one given is wrong."""


class PaymentRequiredError(ResponseStatusError):
    """402: the site wants money."""


class RateLimitError(ResponseStatusError):
    """429: too many requests."""


class ModelNotServedError(ResponseStatusError, ModelNotFoundError):
    """The server answered that it has no model of that name, each API in its own way.

    A `ModelNotFoundError` too, as where the model's name is refused before anything is sent.
    """


class CloudflareError(ResponseStatusError):
    """A guard in front of the site answered instead of it."""


class ChallengeError(CloudflareError):
    """The site wants a browser to solve a challenge, which this client does not do.

    `message`, `status`, `code` and `raw` are those of `StreamError`; `kind` is ``challenge``.
    """

    def __init__(
        self,
        message: str = (
            "it answered with a challenge page; "
            "open it in a browser, or ask its owner to let clients in"
        ),
        *,
        status: int | None = None,
        code: str | None = None,
        raw: str = "",
    ) -> None:
        super().__init__("challenge", message, status=status, code=code, raw=raw)


_QUOTA_CODES = frozenset({"tokenLimitReached", "quota_notice", "limit_reached"})
"""What AI Power, AIPKit and AI Engine call a quota that is used up."""

_STATUS_ERRORS: dict[int, type[ResponseStatusError]] = {
    401: MissingAuthError,
    402: PaymentRequiredError,
    429: RateLimitError,
}


def reply_error(
    kind: StreamErrorKind,
    message: str,
    status: int | None,
    code: str | None = None,
    raw: str = "",
) -> StreamError:
    """Make the most telling error for a fault that a decoder or a page scanner found.

    `kind`, `message`, `status`, `code` and `raw` are the attributes of `StreamError`. The bindings
    call this function by its name.
    """
    if kind == "challenge":
        return ChallengeError(status=status, code=code, raw=raw)
    if kind == "limit":
        return LimitExceeded(message, status=status, code=code, raw=raw)
    if code in _QUOTA_CODES:
        return ConversationLimitError(kind, message, status=status, code=code, raw=raw)
    if status is None or status < FIRST_ERROR_STATUS:
        return StreamError(kind, message, status=status, code=code, raw=raw)
    error = _STATUS_ERRORS.get(status, ResponseStatusError)
    is_plain = kind == "upstream" and error is ResponseStatusError
    if is_plain and _tells_no_model(status, code, message):
        error = ModelNotServedError
    return error(kind, message, status=status, code=code, raw=raw)


def tells_no_model(code: str | None) -> bool:
    """Tell whether a server's code of an error says that it has no such model."""
    return code is not None and _NOT_LETTERS.sub("", code.casefold()) in _NO_MODEL_CODES


def _tells_no_model(status: int, code: str | None, message: str) -> bool:
    """Tell whether a server says that it has no such model, in its code or in its words."""
    words = _NO_MODEL_WORDS.get(status)
    return tells_no_model(code) or (words is not None and words.search(message) is not None)


_NOT_LETTERS = re.compile("[^a-z]")
_NO_MODEL_CODES = frozenset(
    {
        *("modelnotfound", "modelnotfounderror", "modelnotavailable", "modelnotexist"),
        *("invalidmodel", "unknownmodel", "deploymentnotfound"),
    }
)
_NO_MODEL_WORDS: dict[int, re.Pattern[str]] = {
    # DeepSeek's "Model Not Exist", Mistral's "Invalid model: x", OpenRouter's "x is not a valid
    # model ID".
    400: re.compile(
        r"\bmodel not exist|\binvalid model\b(?! (?:param|output|request|response))"
        r"|\bnot a valid model\b",
        re.IGNORECASE,
    ),
    # Anthropic's "model: x", Gemini's "models/x is not found", Ollama's and vLLM's "model 'x'",
    # xAI's "The model x does not exist".
    404: re.compile(
        r"\bmodel(?:s/|: | ['\"`])|\bmodel \S{1,128} (?:does not|is not|not found)",
        re.IGNORECASE,
    ),
}
