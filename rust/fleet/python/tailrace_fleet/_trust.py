"""The authorities of Python's `ssl`, for a TLS that is not Python's."""

from __future__ import annotations

import ssl
from pathlib import Path

from tailrace.errors import InvalidRequestError

__all__ = ["roots_of", "versions_of"]


def roots_of(context: ssl.SSLContext | None) -> list[bytes]:
    """Return the certificates of the authorities that `context` trusts, in DER.

    None: those that Python trusts by default. Raises `InvalidRequestError` for a context that does
    not verify servers.
    """
    if context is None:
        return _default_roots()
    if not isinstance(context, ssl.SSLContext):
        raise InvalidRequestError(f"tls must be an ssl.SSLContext, not {type(context).__name__}")
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise InvalidRequestError(
            "tls does not verify servers (verify_mode, check_hostname): a fleet always does, so "
            "load the server's certificate into the context"
        )
    return context.get_ca_certs(binary_form=True)


def versions_of(context: ssl.SSLContext | None) -> tuple[bool, bool]:
    """Tell whether `context` allows TLS 1.2, and 1.3."""
    if context is None:
        return True, True
    oldest, newest = context.minimum_version, context.maximum_version
    unbounded = {ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.MAXIMUM_SUPPORTED}
    allowed = [
        (oldest in unbounded or oldest <= version) and (newest in unbounded or version <= newest)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    ]
    return allowed[0], allowed[1]


def _default_roots() -> list[bytes]:
    context = ssl.create_default_context()
    # OpenSSL looks into a folder of authorities when it needs one of them, and not before.
    folder = ssl.get_default_verify_paths().capath
    for file in sorted(Path(folder).iterdir()) if folder else ():
        try:
            context.load_verify_locations(file)
        except OSError:  # what holds no certificate; ssl.SSLError is one
            continue
    return context.get_ca_certs(binary_form=True)
