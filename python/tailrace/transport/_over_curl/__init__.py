"""The transport over curl_cffi, which greets a server as a browser does.

Needs the extra ``impersonate``. Built on curl_cffi's `Curl` and `AsyncCurl` rather than on its
sessions: those queue a response without a limit, and can neither stop a response that has begun nor
take back a request that has not been answered. Here a transfer that is let go is taken out of
libcurl's hands at once, which closes its connection, and a reader that is busy stops the socket.

`transport` holds the transport, its sessions and its responses; `options` says a request in
libcurl's options; `transfer` is one request in libcurl's hands; `failures` says libcurl's error
codes in our errors.
"""

from __future__ import annotations

from tailrace.transport._over_curl.transport import ImpersonateTransport

__all__ = ["ImpersonateTransport"]
