"""A request, translated into libcurl's options (curl_easy_setopt(3)).

`new_handle` sets the options common to all requests of a transport, `fill_in` those of one request.
Neither sends anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.errors import InvalidRequestError, MissingRequirementsError
from tailrace.transport import _rules as rules
from tailrace.transport._decoding import ACCEPT_ENCODING

if TYPE_CHECKING:
    from curl_cffi import Curl

    from tailrace.transport._session import Request, SessionOptions

__all__ = ["browser_named", "fill_in", "new_handle", "require_curl"]

_FOREVER = 2**31 - 1  # milliseconds: libcurl has no "never" for connecting


def require_curl() -> None:
    """Raise `MissingRequirementsError` where the extra is not installed."""
    try:
        import curl_cffi  # noqa: F401, PLC0415
    except ImportError:
        missing = True
    else:
        missing = False
    if missing:
        raise MissingRequirementsError(
            'talking like a browser needs curl_cffi: pip install "tailrace[impersonate]"',
        )


def browser_named(name: str) -> str:
    """Return curl_cffi's name, with a version, of a browser.

    Raises `InvalidRequestError` for a browser that curl_cffi does not know.
    """
    from curl_cffi import Curl  # noqa: PLC0415
    from curl_cffi.requests.impersonate import resolve_latest_browser_type  # noqa: PLC0415

    browser: str = resolve_latest_browser_type(name)  # type: ignore[no-untyped-call]
    probe = Curl()
    known = probe.impersonate(browser) == 0
    probe.close()
    if not known:
        raise InvalidRequestError(f"curl_cffi knows no browser {name!r}")
    return browser


def new_handle(browser: str, ca_file: str, *, trust_env: bool) -> Curl:
    """Make a handle with the TLS and HTTP habits of `browser`, without a request.

    `ca_file` and `trust_env` as `ImpersonateTransport` has them; an empty `ca_file` means the
    system's.
    """
    from curl_cffi import Curl, CurlOpt  # noqa: PLC0415

    handle = Curl(ca_file)
    handle.impersonate(browser, default_headers=True)
    handle.setopt(CurlOpt.ACCEPT_ENCODING, ACCEPT_ENCODING)
    handle.setopt(CurlOpt.HTTP_CONTENT_DECODING, 0)
    handle.setopt(CurlOpt.SUPPRESS_CONNECT_HEADERS, 1)
    handle.setopt(CurlOpt.FOLLOWLOCATION, 0)
    # Giving a transfer up must not wait for a slow look-up of its host.
    handle.setopt(CurlOpt.QUICK_EXIT, 1)
    if trust_env:
        handle.setopt(CurlOpt.NETRC, 1)
    else:
        handle.setopt(CurlOpt.PROXY, "")
        handle.setopt(CurlOpt.NOPROXY, "")
    return handle


def fill_in(
    handle: Curl, request: Request, options: SessionOptions, cookies: dict[str, str]
) -> None:
    """Set `request`, and the clocks and the proxy of `options`, in a handle.

    Raises `InvalidRequestError` for a value that libcurl refuses, and closes the handle then.
    """
    from curl_cffi import CurlError  # noqa: PLC0415

    refused = False
    try:
        _set_request(handle, request, options, cookies)
    except CurlError:  # its text holds the option's value
        refused = True
    if refused:
        handle.close()
        raise InvalidRequestError("libcurl refuses the URL, a header or the proxy")


def _set_request(
    handle: Curl, request: Request, options: SessionOptions, cookies: dict[str, str]
) -> None:
    from curl_cffi import CurlHttpVersion, CurlOpt  # noqa: PLC0415

    is_tls = request.url.startswith("https:")
    connect = options.timeouts.connect
    handle.setopt(CurlOpt.URL, request.url)
    if not is_tls:  # no browser asks a server to change from plain HTTP/1.1 to HTTP/2
        handle.setopt(CurlOpt.HTTP_VERSION, CurlHttpVersion.V2TLS)
    handle.setopt(
        CurlOpt.CONNECTTIMEOUT_MS, _FOREVER if connect is None else max(1, int(connect * 1000))
    )
    if request.body is not None:
        handle.setopt(CurlOpt.POST, 1)
        handle.setopt(CurlOpt.POSTFIELDSIZE_LARGE, len(request.body))
        handle.setopt(CurlOpt.POSTFIELDS, request.body)
    handle.setopt(CurlOpt.HTTPHEADER, _header_lines(request, cookies))
    if options.proxy is not None:
        _set_proxy(handle, options.proxy, is_tls=is_tls)


def _header_lines(request: Request, cookies: dict[str, str]) -> list[bytes]:
    """Write the headers in libcurl's form.

    "Name;" sends an empty value, "Name:" keeps libcurl from sending a header of its own.
    """
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    headers = rules.merged_headers(request.headers, {"cookie": cookie} if cookie else {})
    lines = [f"{name}: {value}" if value.strip() else f"{name};" for name, value in headers.items()]
    lines.append("Expect:")
    if request.body is not None and "Content-Type" not in headers:
        lines.append("Content-Type:")
    # A cookie's byte that is no UTF-8 goes back as it came.
    return [line.encode("utf-8", "surrogateescape") for line in lines]


def _set_proxy(handle: Curl, proxy: rules.Proxy, *, is_tls: bool) -> None:
    from curl_cffi import CurlOpt  # noqa: PLC0415

    handle.setopt(CurlOpt.PROXY, proxy.name)
    handle.setopt(CurlOpt.PROXY_CREDENTIAL_NO_REUSE, 1)
    if is_tls and not proxy.is_socks:
        handle.setopt(CurlOpt.HTTPPROXYTUNNEL, 1)
    if proxy.username is not None or proxy.password is not None:
        handle.setopt(CurlOpt.PROXYUSERNAME, (proxy.username or "").encode("latin-1"))
        handle.setopt(CurlOpt.PROXYPASSWORD, (proxy.password or "").encode("latin-1"))
