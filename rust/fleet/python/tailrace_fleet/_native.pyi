"""The engine: names and conversions only. What a user meets is in `tailrace_fleet`."""

from collections import deque
from typing import Final, final

__all__ = ["DIALECTS", "KINDS", "Engine", "Facts", "Head", "Rows", "Ticket", "Trust", "__version__"]

KINDS: Final[tuple[str, ...]]
DIALECTS: Final[tuple[str, ...]]
__version__: Final[str]

@final
class Trust:
    """Whom to trust over TLS: authorities in DER, and whether TLS 1.2, and 1.3, may be spoken."""

    def __new__(cls, roots: list[bytes], versions: tuple[bool, bool]) -> Trust: ...

@final
class Engine:
    """The threads of a fleet. All that it is given was checked."""

    def __new__(
        cls,
        *,
        threads: int,
        keep: str,
        max_rows: int,
        stamps: str | None,
        coalesce: float | None,
        timeouts: tuple[float | None, float | None, float | None, float | None],
        max_reply_bytes: int | None,
        proxy: tuple[str, bytes | None] | None,
        trust: Trust | None,
    ) -> Engine: ...
    @property
    def has_trust(self) -> bool:
        """Whether it was told whom to trust."""

    def trust(self, trust: Trust) -> None:
        """Trust these over TLS, unless it was told whom to."""

    def submit(self, requests: list[tuple[Head, bytes, int, int | None]]) -> list[Ticket]:
        """Send requests: head, body, tag, due time."""

    def check(self) -> None:
        """Raise `InvalidRequestError` where it is closed, or another process's."""

    def take(self, into: deque[tuple[Rows, list[Facts]]]) -> None:
        """Put what was read into a deque: of each thread, its rows and its ended streams."""

    def due(self, max_wait: float) -> float | None:
        """Return in how many seconds to take, unless the bell rings; `None` where nothing runs."""

    def wait(self, seconds: float) -> None:
        """Wait until the bell rings, at most so many seconds."""

    def bell(self) -> int:
        """Return the descriptor of a socket into which a byte comes whenever the bell rings."""

    @property
    def stamps(self) -> str:
        """Where the times of the rows are taken."""

    @property
    def under_way(self) -> int:
        """The number of streams that have not ended."""

    @property
    def is_ours(self) -> bool:
        """Whether this process made it, and not one that it was forked from."""

    @property
    def is_closed(self) -> bool:
        """Whether it is closed; in a forked process it is."""

    def close(self) -> None:
        """Drop all streams and end the threads."""

@final
class Head:
    """The head of requests: where they are sent, with which headers, and the dialect of replies."""

    def __new__(cls, url: str, headers: list[tuple[str, str]], dialect: str) -> Head: ...

@final
class Ticket:
    """A ticket of one request: by it the stream can be cancelled.

    `Fleet.submit` gives it.
    """

    @property
    def tag(self) -> int:
        """The request's own number, as it was submitted."""

    def cancel(self) -> None:
        """Cancel the stream: its end comes as `cancelled`, and its connection is closed.

        Nothing happens where it has ended, or was cancelled before. Raises `InvalidRequestError` in
        a process that was forked from the fleet's.
        """

@final
class Rows:
    """The columns of a batch, and the texts that were kept."""

    @property
    def tag(self) -> memoryview[int]: ...
    @property
    def at_ns(self) -> memoryview[int]: ...
    @property
    def kind(self) -> memoryview[int]: ...
    @property
    def tokens(self) -> memoryview[int]: ...
    @property
    def length(self) -> memoryview[int]: ...
    def __len__(self) -> int: ...
    def text(self, row: int) -> str:
        """Return the text of a row that exists."""

    def texts(self) -> list[str]:
        """Return the texts of all rows."""

@final
class Facts:
    """The facts of a stream that has ended."""

    @property
    def tag(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def end(self) -> str:
        """`unopened`, `cancelled`, or how the decoder says that the reply ended."""

    @property
    def error(self) -> tuple[str, str, int, str | None, str] | None:
        """The decoder's error: kind, message, status, code, raw."""

    @property
    def fault(self) -> str | None:
        """The name of the fault."""

    @property
    def fault_text(self) -> str | None:
        """What belongs to the fault: a clock's name, the reason, the coding."""

    @property
    def fault_number(self) -> int | None:
        """The number that belongs to the fault: of the system's reason, the proxy's status."""

    @property
    def is_proxys(self) -> bool:
        """Whether the fault lies with the proxy."""

    @property
    def is_distrusted(self) -> bool:
        """Whether nobody who is trusted has issued the certificate."""

    @property
    def status(self) -> int | None: ...
    def headers(self) -> dict[str, str]:
        """The reply's headers by their names in lower case, of repeated ones the first."""

    def sent_headers(self) -> dict[str, str]:
        """The request's headers, in the same way."""

    @property
    def usage(self) -> tuple[int, int, int, int | None, int | None] | None:
        """Tokens: of the prompt, of the answer, of both, from a cache, of reasoning."""

    @property
    def finish_reason(self) -> str | None: ...
    def ids(self) -> dict[str, str]: ...
    @property
    def times(self) -> tuple[int | None, int | None, int | None, int | None, int]:
        """Nanoseconds: begun, the head, the first text, the last bytes; the end."""

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Bytes, deltas, events, bad events."""

    def passed_over(self) -> dict[str, int]: ...
    @property
    def text(self) -> str | None: ...
    @property
    def body(self) -> bytes | None: ...
    def tool_calls(self) -> list[tuple[str | None, str, str, int | None, str | None]]:
        """Id, name, arguments, index and signature of each tool call."""

    def thinking_blocks(self) -> list[tuple[str, str | None, str | None, str | None]]:
        """Thinking, signature, data and id of each block of reasoning."""

    @property
    def reasoning(self) -> str: ...
    @property
    def refusal(self) -> str: ...
    @property
    def text_signature(self) -> str | None: ...
