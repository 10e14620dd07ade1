"""The facts of a stream that failed, told by the errors of every transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tailrace import errors
from tailrace.transport import _rules as rules
from tailrace.transport._answers import check_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tailrace_fleet._native import Facts

__all__ = ["Circumstances", "failure_of"]


class Circumstances(NamedTuple):
    """The settings of a fleet that its errors tell: `seconds` of the clocks by their names."""

    proxy: rules.Proxy | None
    seconds: Mapping[str, float | None]
    max_reply_bytes: int | None

    @property
    def proxy_name(self) -> str:
        """Name of the proxy in messages."""
        return "" if self.proxy is None else self.proxy.name


def failure_of(facts: Facts, around: Circumstances) -> errors.TailraceError | None:
    """Make the error of a stream's fault, as the transport over aiohttp words it; None without."""
    if facts.fault is None:
        return None
    return _MADE_BY[facts.fault](facts, around)


def _timeout(facts: Facts, around: Circumstances) -> errors.TailraceError:
    where = {"connect": "connect", "first byte": "first byte", "idle": "idle"}
    phase: errors.TimeoutPhase = where.get(facts.fault_text or "", "total")  # type: ignore[assignment]
    site = rules.origin(facts.url) if phase in {"connect", "first byte"} else ""
    return errors.TimeoutError(phase, around.seconds[phase] or 0.0, site)


def _name(facts: Facts, around: Circumstances) -> errors.TailraceError:
    return _unreachable_for(facts, around, "its name was not found")


def _unreachable(facts: Facts, around: Circumstances) -> errors.TailraceError:
    number = facts.fault_number
    reason = "the connection failed" if number is None else rules.system_reason(number)
    return _unreachable_for(facts, around, reason)


def _unreachable_for(facts: Facts, around: Circumstances, reason: str) -> errors.TailraceError:
    if facts.is_proxys:
        return errors.ProxyError(f"the proxy {around.proxy_name} could not be reached: {reason}")
    return errors.ConnectError(f"{rules.origin(facts.url)} could not be reached: {reason}")


def _tls(facts: Facts, around: Circumstances) -> errors.TailraceError:
    reason = f"{facts.fault_text}{rules.TRUST_ADVICE if facts.is_distrusted else ''}"
    if facts.is_proxys:
        return errors.ProxyError(f"TLS with the proxy {around.proxy_name} failed: {reason}")
    return errors.TLSError(f"TLS with {rules.origin(facts.url)} failed: {reason}")


def _refused(facts: Facts, around: Circumstances) -> errors.TailraceError:
    return errors.ProxyError(
        f"the proxy {around.proxy_name} refused to connect to {rules.origin(facts.url)}: "
        f"status {facts.fault_number}"
    )


def _tunnel_broken(facts: Facts, around: Circumstances) -> errors.TailraceError:
    site = rules.origin(facts.url)
    return errors.ProxyError(
        f"the proxy {around.proxy_name} broke off when it was asked to connect to {site}"
    )


def _tunnel_no_http(facts: Facts, around: Circumstances) -> errors.TailraceError:
    return errors.ProxyError(
        f"the proxy {around.proxy_name} answered with what is no HTTP when it was asked to connect "
        f"to {rules.origin(facts.url)}"
    )


def _no_answer(facts: Facts, around: Circumstances) -> errors.TailraceError:
    status, headers = facts.status or 0, facts.headers()
    try:
        check_answer(facts.url, status, headers, around.proxy)
    except errors.TailraceError as refused:
        return refused
    return _redirected(facts.url, status, headers.get("location"))


def _redirected(url: str, status: int, location: str | None) -> errors.TailraceError:
    """Make the error of a redirect, which names the origin of its target alone."""
    why = "a message is not sent on"
    target = rules.refused_redirect(url, status, location, why).target
    return rules.refused_redirect(url, status, rules.origin(target) if target else None, why)


def _no_http(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del around
    return errors.NetworkError(f"{rules.origin(facts.url)} answered with what is no HTTP")


def _head(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del around
    site = rules.origin(facts.url)
    return errors.LimitExceeded(f"{site} sent headers of more than 131072 bytes, or of 256 fields")


def _interim_heads(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del around
    return errors.LimitExceeded(rules.too_many_interim_heads(rules.origin(facts.url)))


def _broken_before(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del around
    site = rules.origin(facts.url)
    return errors.NetworkError(f"the connection to {site} broke before a reply came")


def _broken(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del around
    return errors.ReplyBrokenError(f"the reply of {rules.origin(facts.url)} broke off")


def _unknown_coding(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del around
    return errors.ReplyBrokenError(
        f"the reply is compressed with {facts.fault_text!r}, which was not offered"
    )


def _codings(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del facts, around
    return errors.ReplyBrokenError("the reply is compressed more than once over")


def _other_coding(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del facts, around
    return _of_coding("the reply's body is not gzip, the coding that its header names")


def _bad_coding(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del facts, around
    return _of_coding("the reply's gzip data makes no sense")


def _of_coding(message: str) -> errors.TailraceError:
    error = errors.ReplyBrokenError(message)
    error.bad_coding = True
    return error


def _cut_coding(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del facts, around
    return errors.ReplyBrokenError("the reply's compressed data ends before its end")


def _too_large(facts: Facts, around: Circumstances) -> errors.TailraceError:
    return errors.LimitExceeded(
        f"the reply is larger than {around.max_reply_bytes} bytes", status=facts.status
    )


def _panicked(facts: Facts, around: Circumstances) -> errors.TailraceError:
    del around
    return errors.NetworkError(
        f"the request to {rules.origin(facts.url)} failed: a fault of the fleet itself"
    )


_MADE_BY: dict[str, Callable[[Facts, Circumstances], errors.TailraceError]] = {
    "timeout": _timeout,
    "name": _name,
    "unreachable": _unreachable,
    "tls": _tls,
    "refused": _refused,
    "tunnel_broken": _tunnel_broken,
    "tunnel_no_http": _tunnel_no_http,
    "no_http": _no_http,
    "head": _head,
    "interim_heads": _interim_heads,
    "broken_before": _broken_before,
    "broken": _broken,
    "no_answer": _no_answer,
    "unknown_coding": _unknown_coding,
    "codings": _codings,
    "other_coding": _other_coding,
    "bad_coding": _bad_coding,
    "cut_coding": _cut_coding,
    "too_large": _too_large,
    "panicked": _panicked,
}
