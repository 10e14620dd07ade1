"""The transport over curl_cffi, which greets a server as a browser does.

The extra ``impersonate`` installs curl_cffi. The transport is built on its `Curl` and `AsyncCurl`
rather than on its sessions, which queue a response without a limit, and can neither stop a response
that has begun nor take back a request that has not been answered. A transfer of this package that
is given up is removed from libcurl at once, which closes its connection, and a busy reader pauses
the socket.

`transport` holds the transport, its sessions and its responses; `options` translates a request into
libcurl's options; `transfer` is one request under way in libcurl; `failures` translates libcurl's
error codes into our errors.
"""

from __future__ import annotations

from tailrace.transport._over_curl.transport import ImpersonateTransport

__all__ = ["ImpersonateTransport"]
