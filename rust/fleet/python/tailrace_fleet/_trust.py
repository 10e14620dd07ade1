"""The authorities of Python's `ssl`, for a TLS that is not Python's."""

from __future__ import annotations

import re
import ssl
from functools import lru_cache
from pathlib import Path

from tailrace.errors import InvalidRequestError
from tailrace_fleet._native import Trust

__all__ = ["trust_of"]


def trust_of(context: ssl.SSLContext | None) -> Trust:
    """Return the trust of `context`: its authorities, and the versions of TLS that it allows.

    None: what Python trusts by default. Raises `InvalidRequestError` for a context that does not
    verify servers, that asks for lists of revoked certificates, or that shows no authority.
    """
    if context is None:
        paths = ssl.get_default_verify_paths()
        return _default_trust(paths.cafile, paths.capath)
    if not isinstance(context, ssl.SSLContext):
        raise InvalidRequestError(f"tls must be an ssl.SSLContext, not {type(context).__name__}")
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise InvalidRequestError(
            "tls does not verify servers (verify_mode, check_hostname): a fleet always does, so "
            "load the server's certificate into the context"
        )
    if context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF:
        raise InvalidRequestError(
            "tls wants certificates looked up in lists of revoked ones (verify_flags), which a "
            "fleet cannot do"
        )
    authorities = context.get_ca_certs(binary_form=True)
    if not authorities:
        raise InvalidRequestError(
            "tls shows no authority to trust: load them from a file (cafile), for those of a "
            "folder (capath) are OpenSSL's alone, or give no context for what Python trusts"
        )
    return Trust(authorities, _versions_of(context))


def _versions_of(context: ssl.SSLContext) -> tuple[bool, bool]:
    """Tell whether `context` allows TLS 1.2, and 1.3."""
    oldest, newest = context.minimum_version, context.maximum_version
    unbounded = {ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.MAXIMUM_SUPPORTED}
    allowed = [
        (oldest in unbounded or oldest <= version) and (newest in unbounded or version <= newest)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    ]
    return allowed[0], allowed[1]


_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]{1,9}")
"""The names by which OpenSSL finds an authority in a folder; those without are not trusted."""


@lru_cache(maxsize=4)  # to read hundreds of files takes a while, and the paths hardly change
def _default_trust(file: str | None, folder: str | None) -> Trust:
    """Return what Python trusts by default, where its authorities are in these two places."""
    del file  # which the default context has read
    context = ssl.create_default_context()
    # OpenSSL looks into a folder of authorities when it needs one of them, and not before.
    for each in _authorities_in(folder) if folder else ():
        try:
            context.load_verify_locations(each)
        except OSError:  # what holds no certificate; ssl.SSLError is one
            continue
    return Trust(context.get_ca_certs(binary_form=True), (True, True))


def _authorities_in(folder: str) -> list[Path]:
    """Return the files of a folder that OpenSSL would find; of one that it cannot read, none."""
    try:
        return sorted(each for each in Path(folder).iterdir() if _HASHED.fullmatch(each.name))
    except OSError:
        return []
