"""A gateway's settings, checked when they are made: unsafe ones are refused at the start."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from tailrace.errors import InvalidRequestError
from tailrace.gateway._keys import KeyRing, check_limits
from tailrace.transport._rules import checked_seconds

if TYPE_CHECKING:
    from tailrace.gateway._keys import Key

__all__ = ["LogFormat", "Settings", "Unsupported"]

LogFormat = Literal["text", "json"]
Unsupported = Literal["refuse", "drop"]

_HIGHEST_PORT = 65_535
_CLOCKS = ("header_timeout", "body_timeout", "idle_timeout", "send_timeout", "keep_alive_interval")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A gateway's settings; every time is in seconds.

    `host`, `port`: the address to listen on; port 0 takes a free one. `keys`: those of the clients;
    without one only loopback is served. `allowed_hosts`: names a request's Host may have beside the
    address bound and, on loopback, localhost (``name`` for any port, ``name:port`` for one).
    `cors_origins`: other origins whose pages may send requests from a browser. `max_body_bytes`: of
    a request, decompressed. `header_timeout`: for a request's head, from its first byte (or the
    connection's beginning); `body_timeout`: for its body; `idle_timeout`: between two requests of a
    connection; `send_timeout`: for a client that does not read. `max_connections`: open at once, of
    each worker. `keep_alive_interval`: of a stream's silence, after which a comment goes out.
    `unsupported`: what becomes of a request's fields that a site has no place for, unless the site
    says it: ``refuse`` or ``drop``. `rate`: requests a minute and `concurrency`: requests under
    way, of each key that has no limit of its own (those without a key count as one). `grace`: for
    streams to finish when the gateway stops. `workers`: processes on the port. `log_format`:
    ``text`` for warnings alone, ``json`` for a line of each request, too.

    Raises InvalidRequestError for settings that cannot be used.
    """

    host: str = "127.0.0.1"
    port: int = 8780
    keys: tuple[Key, ...] = field(default=(), repr=False)
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 4 * 2**20
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    send_timeout: float = 60.0
    max_connections: int = 4096
    keep_alive_interval: float = 15.0
    unsupported: Unsupported = "refuse"
    rate: float | None = None
    concurrency: int | None = None
    grace: float = 30.0
    workers: int = 1
    log_format: LogFormat = "text"
    ring: KeyRing = field(init=False, repr=False)
    hosts: frozenset[str] = field(init=False, repr=False)
    """All names that a request's Host may have, in lower case."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ring", KeyRing(self.keys))
        _check_number("port", self.port, 0, _HIGHEST_PORT)
        _check_number("max_body_bytes", self.max_body_bytes, 1, 2**40)
        _check_number("max_connections", self.max_connections, 1, 1_000_000)
        _check_number("workers", self.workers, 1, 256)
        for name in _CLOCKS:
            if checked_seconds(name, getattr(self, name)) is None:
                raise InvalidRequestError(
                    f"{name} must be a number of seconds above 0: every one of these clocks runs"
                )
        if not (math.isfinite(self.grace) and self.grace >= 0):
            raise InvalidRequestError(
                f"grace must be a number of seconds of 0 or more, not {self.grace!r}"
            )
        if self.unsupported not in ("refuse", "drop"):
            raise InvalidRequestError(
                f"unsupported must be 'refuse' or 'drop', not {self.unsupported!r}"
            )
        check_limits(self.rate, self.concurrency)
        for origin in self.cors_origins:
            _check_origin(origin)
        for host in self.allowed_hosts:
            _check_host(host)
        if not self.keys and not is_loopback(self.host):
            raise InvalidRequestError(
                f"{self.host!r} can be reached from other machines: without a key it is not "
                "served. Give keys (a file, or the environment), or listen on 127.0.0.1"
            )
        object.__setattr__(self, "hosts", self._hosts())

    def _hosts(self) -> frozenset[str]:
        bound = f"[{self.host}]" if ":" in self.host else self.host
        local = _LOCAL_NAMES if is_loopback(self.host) else ()
        named = () if _is_any_address(self.host) else (bound,)
        return frozenset(name.lower() for name in (*local, *named, *self.allowed_hosts))


def is_loopback(host: str) -> bool:
    """Tell whether `host` is an address that this machine alone can reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_any_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _check_number(name: str, value: object, lowest: int, highest: int) -> None:
    if type(value) is not int or not lowest <= value <= highest:
        raise InvalidRequestError(
            f"{name} must be a whole number from {lowest} to {highest}, not {value!r}"
        )


def _check_origin(origin: str) -> None:
    """Check an origin, which browsers write as scheme, host and a port other than the default."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = (
        f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    )
    written = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not host
        or written != origin
        or port == _DEFAULT_PORTS[parts.scheme]
    ):
        raise InvalidRequestError(
            "an origin is written as a browser does, https://app.example or "
            f"http://127.0.0.1:5173, not {origin!r}"
        )


def _check_host(host: str) -> None:
    try:
        parts = urlsplit(f"//{host}")
        fine = (
            bool(parts.hostname)
            and parts.netloc == host
            and "@" not in host
            and (parts.port or 1) > 0
        )
    except ValueError:
        fine = False
    if not fine or "*" in host:
        raise InvalidRequestError(f"an allowed host is a name, or a name and a port, not {host!r}")
