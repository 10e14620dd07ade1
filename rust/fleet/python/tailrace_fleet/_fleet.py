"""A fleet as its callers see it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from tailrace.errors import InvalidProxyError, InvalidRequestError
from tailrace.transport import Limits
from tailrace.transport._rules import checked_proxy, checked_seconds
from tailrace_fleet._batches import Batches, Taking
from tailrace_fleet._faults import Circumstances
from tailrace_fleet._native import Engine
from tailrace_fleet._requests import Heads, Request, checked_dialect
from tailrace_fleet._trust import trust_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType

    from tailrace.transport._rules import Proxy
    from tailrace_fleet._native import Ticket

__all__ = ["Fleet"]

Keep = Literal["counts", "text", "all", "body"]
Stamps = Literal["read", "kernel"]

_KEEPS = ("counts", "text", "all", "body")
_STAMPS = ("read", "kernel")
_MOST_THREADS = 64
_LONGEST_WAIT = 3600.0
_LONGEST_REST = 0.1
_MOST_ROWS = 2**32
_MOST_BYTES = 2**63  # nobody has so many


class Fleet:
    """A fleet of chat streams, held by threads that are not Python's.

    They send the requests, read and decode the replies, and take the time of each read, while
    Python does something else. `submit` gives a request to them; `batches` hands over what came.
    It is a context manager, with ``async`` and without; leaving it closes it.

    `threads`: how many read; one reads thousands of streams. `keep`: what is kept of the replies
    besides the rows: nothing (``counts``), their ``text``, ``all`` that their rows tell, or their
    ``body``, undecoded. `max_rows`: rows that wait to be taken; when there are so many, or 64 MiB
    of kept text, nothing more is read until some were taken, so that the servers wait. `stamps`:
    where the times of the rows are taken, behind the ``read``, or in the ``kernel`` when the packet
    came in, which Linux alone knows (None: in the kernel where that can be). `coalesce`: seconds,
    up to 0.1, for which a busy thread may rest before it reads again, so that it is woken once for
    many streams. What comes of one stream within a rest has the time of its last packet; other
    times of the kernel get no later by it, and nothing rests while a stream connects (None: 0.001
    with times of the kernel, 0.0001 with others; 0: it never rests).
    `dialect`: of the replies, one of `tailrace.DIALECTS` or ``auto``.

    `connect_timeout`, `first_byte_timeout`, `idle_timeout`, `total_timeout`: the clocks of each
    stream in seconds, None for no clock, those of `tailrace.transport.Timeouts`.
    `max_reply_bytes`: decoded bytes of one reply (None: no cap). `proxy`: URL of a proxy, ``http``
    or ``https``, that may hold a user and password. `tls`: an `ssl.SSLContext` whose authorities,
    and versions of TLS, are trusted (None: those that Python trusts by default, which are read
    when the first https URL is submitted); all else of it, such as a client's certificate, cannot
    be read out of it, and is not used.

    Raises `InvalidRequestError` for what is none of this, `InvalidProxyError` for another proxy,
    `TailraceError` where the system has no thread or descriptor left.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        keep: Keep = "counts",
        max_rows: int = 1_000_000,
        stamps: Stamps | None = None,
        coalesce: float | None = None,
        dialect: str = "openai",
        connect_timeout: float | None = 10.0,
        first_byte_timeout: float | None = 120.0,
        idle_timeout: float | None = 60.0,
        total_timeout: float | None = None,
        max_reply_bytes: int | None = 64 * 2**20,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        seconds = {
            "connect": checked_seconds("connect_timeout", connect_timeout),
            "first byte": checked_seconds("first_byte_timeout", first_byte_timeout),
            "idle": checked_seconds("idle_timeout", idle_timeout),
            "total": checked_seconds("total_timeout", total_timeout),
        }
        rest = None if coalesce is None else _seconds_up_to("coalesce", coalesce, _LONGEST_REST)
        checked_dialect(dialect)
        cap = Limits(max_reply_bytes=max_reply_bytes).max_reply_bytes
        around = Circumstances(_fleets_proxy(proxy), seconds, cap)
        self._engine = Engine(
            threads=_within("threads", threads, _MOST_THREADS),
            keep=_one_of("keep", keep, _KEEPS),
            max_rows=_within("max_rows", max_rows, _MOST_ROWS),
            stamps=None if stamps is None else _one_of("stamps", stamps, _STAMPS),
            coalesce=rest,
            timeouts=(
                seconds["connect"], seconds["first byte"], seconds["idle"], seconds["total"]
            ),
            max_reply_bytes=None if cap is None else min(cap, _MOST_BYTES),
            proxy=_given_proxy(around.proxy),
            trust=trust_of(tls) if tls is not None or _is_https(around.proxy) else None,
        )  # fmt: skip
        self._heads = Heads(self._engine, dialect)
        self._taking = Taking(self._engine, around)

    def submit(
        self,
        url: str,
        *,
        json: object = None,
        data: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        tag: int = 0,
        at: int | None = None,
        dialect: str | None = None,
    ) -> Ticket:
        """Post a request to `url` and return its ticket at once.

        `json`: its body as an object, or `data`: as bytes or text; one of the two. `headers`, a
        Content-Type among them, override the default ones. `tag`: a number of the caller's for its
        rows. `at`: when to send it, in nanoseconds as `time.monotonic_ns` counts them, a year ahead
        at most (None, or a time that is past: at once). `dialect`: of its reply, in place of the
        fleet's.

        Raises `InvalidRequestError` for what cannot be sent, on a closed fleet, and in a process
        that was forked from the fleet's.
        """
        request = Request(url, json, data, headers, tag, at, dialect)
        return self._engine.submit([self._heads.prepared(request)])[0]

    def submit_many(self, requests: Iterable[Request]) -> list[Ticket]:
        """Post requests as `submit` does, all or none of them, and return their tickets in order.

        Raises `InvalidRequestError` for the first that cannot be sent.
        """
        if not isinstance(requests, Iterable):
            raise InvalidRequestError(
                f"submit_many takes many requests, not one {type(requests).__name__}"
            )
        return self._engine.submit([self._heads.prepared(each) for each in requests])

    def batches(self, max_wait: float = 0.05) -> Batches:
        """Return the batches as they come, for ``for`` and for ``async for``.

        They end when nothing is under way and all was taken; another call goes on from there. A
        batch is handed over when its first row has waited `max_wait` seconds, when a stream has
        ended, or when half of `max_rows` wait. One consumer at a time: for a second one
        `InvalidRequestError` is raised, and for a `max_wait` below 0, and on a closed fleet. One
        that waits while the fleet is closed sees the end.
        """
        wait = _seconds_up_to("max_wait", max_wait, _LONGEST_WAIT)
        self._engine.check()
        return Batches(self._taking, wait, self)

    @property
    def stamps(self) -> Stamps:
        """Where the times of the rows are taken: behind the ``read``, or in the ``kernel``."""
        return "kernel" if self._engine.stamps == "kernel" else "read"

    @property
    def under_way(self) -> int:
        """The number of streams that have not ended."""
        return self._engine.under_way

    def close(self) -> None:
        """Drop the streams that run, and end the threads; closing twice is allowed.

        Their ends are not handed over any more. In a process that was forked from the fleet's
        nothing happens.
        """
        self._engine.close()
        self._taking.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # One whose arguments were refused has no engine.
        engine: Engine | None = getattr(self, "_engine", None)
        if engine is not None and not engine.is_closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a fleet has threads: it cannot be copied or pickled")

    def __repr__(self) -> str:
        state = "closed" if self._engine.is_closed else f"{self._engine.under_way} under way"
        return f"<Fleet {state}>"


def _fleets_proxy(url: str | None) -> Proxy | None:
    proxy = checked_proxy(url)
    if proxy is not None and proxy.is_socks:
        raise InvalidProxyError(
            f"a fleet knows no proxies of kind {proxy.scheme!r}: use http or https"
        )
    return proxy


def _is_https(proxy: Proxy | None) -> bool:
    """Tell whether a proxy's own certificate is to be verified, whatever is asked through it."""
    return proxy is not None and proxy.scheme == "https"


def _given_proxy(proxy: Proxy | None) -> tuple[str, bytes | None] | None:
    """Return the proxy as the engine takes it: its address, and the header with its user."""
    if proxy is None:
        return None
    from base64 import b64encode  # noqa: PLC0415 - few have a proxy

    header = None
    if proxy.username is not None or proxy.password is not None:
        pair = f"{proxy.username or ''}:{proxy.password or ''}"
        header = b"Basic " + b64encode(pair.encode("latin-1"))
    return proxy.name, header


def _one_of(name: str, value: Any, words: tuple[str, ...]) -> str:
    if value not in words:
        raise InvalidRequestError(f"{name} must be one of {', '.join(words)}, not {value!r}")
    return str(value)


def _within(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidRequestError(f"{name} must be a whole number from 1 to {most}, not {value!r}")
    return value


def _seconds_up_to(name: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InvalidRequestError(f"{name} must be a number of seconds from 0 to {most:g}")
    return float(value)
