"""The rules that all transports obey, as tables."""

from __future__ import annotations

import errno
import os
import ssl
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import InvalidRequestError, ProxyError, RedirectError
from tailrace.transport import _rules as rules


@pytest.mark.parametrize(
    ("given", "sent", "authorization"),
    [
        ("http://Site.Test", "http://site.test/", None),
        ("https://site.test:443/a b/ü?q=ö#x", "https://site.test/a%20b/%C3%BC?q=%C3%B6", None),
        ("http://site.test:443/", "http://site.test:443/", None),
        ("http://site.test/%20%zz?a=%26", "http://site.test/%20%zz?a=%26", None),
        ("http://me:a%3Ab@site.test/", "http://site.test/", "Basic bWU6YTpi"),
        ("http://me@site.test/", "http://site.test/", "Basic bWU6"),
        ("http://[::1]:80/", "http://[::1]/", None),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x", None),
        ("http://bücher.test/", "http://xn--bcher-kva.test/", None),
        ("http://site.test?x=1", "http://site.test/?x=1", None),
    ],
)
def test_urls(given: str, sent: str, authorization: str | None) -> None:
    target = rules.checked_url(given)
    assert (target.url, target.authorization) == (sent, authorization)
    assert "Basic" not in repr(target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "site.test",
        "//site.test/",
        "ftp://site.test/",
        "file:///x",
        "http:///x",
        "http://a:0/",
        "http://a:b/",
        "http://a:65536/",
        "http://[::1/",
        "http://a b/",
        "http://a\x00/",
        "http://a/\r\nX",
        "http://" + "ü" * 80 + "/",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError):
        rules.checked_url(url)


@pytest.mark.parametrize(
    ("here", "location", "there"),
    [
        ("http://a.test/x/y", "z", "http://a.test/x/z"),
        ("http://a.test/x", "?q", "http://a.test/x?q"),
        ("http://a.test/", "http://www.a.test/", "http://www.a.test/"),
        ("http://www.a.test/", "http://a.test/", "http://a.test/"),
        ("http://a.test/", "https://a.test/", "https://a.test/"),
        ("http://a.test/", "https://www.a.test:443/", "https://www.a.test/"),
        ("http://a.test:8080/", "https://a.test:8080/", "https://a.test:8080/"),
        ("http://a.test:8080/", "/x", "http://a.test:8080/x"),
        ("https://a.test/", "//A.TEST/x", "https://a.test/x"),
        ("http://a.test/", " /x ", "http://a.test/x"),
        ("http://a.test/", "http://a.test/ü", "http://a.test/%C3%BC"),
        ("http://a.test/", "/\udcff", "http://a.test/%FF"),
    ],
)
def test_redirects_that_are_followed(here: str, location: str, there: str) -> None:
    for status in (301, 302, 303, 307, 308):
        assert rules.redirect_target(here, status, location) == there


@pytest.mark.parametrize(
    ("here", "location", "shown"),
    [
        ("http://a.test/", "http://b.test/?secret", "http://b.test/"),
        ("http://a.test/", "http://me:secret@b.test/x?secret#secret", "http://b.test/x"),
        ("http://a.test/", "http://b.a.test/", "http://b.a.test/"),
        ("http://a.test/", "http://www.www.a.test/", "http://www.www.a.test/"),
        ("https://a.test/", "http://a.test/", "http://a.test/"),
        ("https://a.test/", "http://www.a.test/", "http://www.a.test/"),
        ("http://a.test/", "http://a.test:8080/", "http://a.test:8080/"),
        ("http://a.test:8080/", "https://a.test/", "https://a.test/"),
        ("http://a.test:8080/", "http://a.test/", "http://a.test/"),
        ("http://a.test/", "https://a.test:8443/", "https://a.test:8443/"),
        ("https://a.test/", "https://a.test:80/", "https://a.test:80/"),
        ("http://a.test/", "ftp://a.test/secret", ""),
        ("http://a.test/", "javascript:secret", ""),
        ("http://a.test/", "http://[secret", ""),
        ("http://a.test/", "http://:80/secret", ""),
        ("http://a.test/?secret", None, ""),
    ],
)
def test_redirects_that_are_not_followed(here: str, location: str | None, shown: str) -> None:
    with pytest.raises(RedirectError) as caught:
        rules.redirect_target(here, 302, location)
    assert caught.value.target == shown
    assert shown in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [300, 304, 305, 306, 309, 399])
def test_statuses_that_are_not_followed(status: int) -> None:
    assert rules.is_redirect(status)
    with pytest.raises(RedirectError):
        rules.redirect_target("http://a.test/", status, "/x")


@pytest.mark.parametrize("status", [100, 200, 299, 400, 500])
def test_statuses_that_are_no_redirect(status: int) -> None:
    assert not rules.is_redirect(status)


def test_a_long_target_is_cut_in_the_message() -> None:
    error = rules.refused_redirect("http://a.test/", 302, "http://b.test/" + "x" * 10_000)
    assert len(str(error)) < 400
    assert len(error.target) > 10_000


@pytest.mark.parametrize(
    ("value", "is_challenge"),
    [("challenge", True), (" Challenge ", True), ("", False), ("none", False)],
)
def test_challenges(value: str, is_challenge: bool) -> None:
    assert rules.is_challenge({"cf-mitigated": value}) is is_challenge
    assert not rules.is_challenge({})


@pytest.mark.parametrize(
    "name", ["", "a b", "a:", "a\n", "ü", "Cookie", "HOST", "Content-Length", "transfer-encoding"]
)
def test_names_of_headers_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        rules.checked_headers({name: "secret"})


@pytest.mark.parametrize(
    "value",
    ["secret\r\n", "secret\n", "secret\x00", "\x7fsecret", "\udc80secret", b"secret", None, 5],
)
def test_values_of_headers_that_are_refused(value: object) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        rules.checked_headers({"X-A": value})  # type: ignore[dict-item]
    assert "secret" not in str(caught.value)
    assert "X-A" in str(caught.value)


def test_headers_are_merged_whatever_their_case() -> None:
    merged = rules.merged_headers(
        {"X-A": "1", "x-b": "1"}, rules.checked_headers({"x-A": "2\t", "X-C": "ü"})
    )
    assert merged == {"X-A": "2\t", "X-B": "1", "X-C": "ü"}


@pytest.mark.parametrize(
    "cookies",
    [{"": "x"}, {"a=b": "x"}, {"a": "x;"}, {"a": "x\n"}, {"ü": "x"}, {"a": "\udcfc"}, {"a": 1}],
)
def test_cookies_that_are_refused(cookies: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        rules.checked_cookies(cookies)


def test_cookies_are_kept() -> None:
    cookies = {"a": 'x"{},%7C=|', "b": "", "c": "x y", "d[e]@": "grün 日本"}
    assert rules.checked_cookies(cookies) == cookies
    assert rules.checked_cookies(None) == {}


@pytest.mark.parametrize(
    ("url", "name", "credentials"),
    [
        ("http://host:8080", "http://host:8080", (None, None)),
        ("HTTP://Host", "http://host:80", (None, None)),
        ("https://me:secret@host", "https://host:443", ("me", "secret")),
        ("socks5h://me:s%40%3A@127.0.0.1", "socks5h://127.0.0.1:1080", ("me", "s@:")),
        ("socks4://me@[::1]:9", "socks4://[::1]:9", ("me", None)),
    ],
)
def test_proxies(url: str, name: str, credentials: tuple[str | None, str | None]) -> None:
    proxy = rules.checked_proxy(url)
    assert proxy is not None
    assert (proxy.name, (proxy.username, proxy.password)) == (name, credentials)
    assert proxy.is_socks is url.startswith("socks")
    assert "secret" not in repr(proxy)


def test_no_proxy() -> None:
    assert rules.checked_proxy(None) is None
    assert rules.checked_proxy("") is None


@pytest.mark.parametrize(
    "url",
    [
        "host:8080",
        "host",
        "ftp://secret@host",
        "http://secret@",
        "http://host:secret",
        "http://[secret",
        "http://secret%0a@h",
        "http://%E2%82%ACsecret@h",
        "http://a b:1",
        "socks6://secret@h",
        "http://secret@h:0",
    ],
)
def test_proxies_that_are_refused(url: str) -> None:
    with pytest.raises(ProxyError) as caught:
        rules.checked_proxy(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, "connection refused"),
        (errno.ECONNRESET, "connection reset by peer"),
        (errno.EHOSTUNREACH, "no route to host"),
        (errno.ENETUNREACH, "network is unreachable"),
        (errno.ETIMEDOUT, "connection timed out"),
        (errno.EPIPE, os.strerror(errno.EPIPE).lower()),
    ],
)
def test_the_reason_of_an_error_is_the_same_on_every_system(number: int, reason: str) -> None:
    assert rules.system_reason(number) == reason


# What a caller or a peer may write in the place of a URL, with halves of surrogate pairs.
_ANY_URL = st.builds(
    "".join,
    st.lists(
        st.sampled_from(
            ["http://", "https://", "socks5://", "//", "a.test", "@", ":", "/", "[", "]", "?", "#"]
        )
        | st.text(st.characters(categories=["Cs", "Cc", "Lu", "Nd", "Zs", "Po"]), max_size=3),
        max_size=8,
    ),
)


@given(_ANY_URL)
def test_any_url_is_read_or_refused(url: str) -> None:
    with suppress(InvalidRequestError):
        target = rules.checked_url(url)
        assert target.url.isascii()
        assert rules.checked_url(target.url).url == target.url
    with suppress(ProxyError):
        rules.checked_proxy(url)
    with suppress(RedirectError):
        rules.redirect_target("http://site.test/a", 302, url)
    error = rules.refused_redirect("http://site.test/a", 302, url)
    f"{error}{error.target}".encode()


@pytest.mark.parametrize("value", [1, b"http://a.test/", ["http://a.test/"], 0, False])
def test_what_is_no_text_is_no_url(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        rules.checked_url(value)
    with pytest.raises(ProxyError):
        rules.checked_proxy(value)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.test/\ud800",
        "http://\udcff:x@a.test/",
        "http://a.test/?q=\udfff",
        "http://a\ud800.test/",
        "http://me:\ud800@a.test/",
    ],
)
def test_half_a_surrogate_pair_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="malformed"):
        rules.checked_url(url)


def test_an_untrusted_issuer_has_a_remedy_and_an_old_certificate_none() -> None:
    def failure(code: int, message: str) -> ssl.SSLCertVerificationError:
        error = ssl.SSLCertVerificationError()
        error.verify_code, error.verify_message = code, message
        return error

    distrusted = rules.certificate_reason(failure(20, "unable to get local issuer certificate"))
    assert distrusted.startswith("unable to get local issuer certificate; ")
    assert "SSL_CERT_FILE" in distrusted
    assert rules.certificate_reason(failure(10, "certificate has expired")).endswith("expired")
