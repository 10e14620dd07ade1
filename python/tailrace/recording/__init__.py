"""A call as it went over the wire, in a file.

The file holds what was sent, each read with its moment, and how the call ended, one JSON object a
line: a head that names the format, then for each exchange its ``request``, the response's ``head``,
one ``read`` for each piece that came off the network (seconds since the start, decoded bytes in
base64), and its ``end``.

Secrets never reach the file. Of a request stays what is known to be harmless: headers and fields
of a query by lists of names, fields of forms and JSON bodies unless their name or what they hold is
secret. A secret value that stands elsewhere (a nonce in a page, a key that the site says again,
also percent-encoded, escaped as in HTML or JSON, or in base64) is replaced by a stand-in of the
same length, the same one everywhere, so that read boundaries hold. Secret are nonces, cookies, the
values of unknown headers, credentials and unknown query fields of URLs, ids of visitors and
conversations, and environment variables with names that say so. A value of less than 6 bytes is
replaced in requests alone: in a response it is a word like others.
"""

from __future__ import annotations

from tailrace.recording._model import (
    RecordedEnd,
    RecordedExchange,
    RecordedHead,
    RecordedRead,
    RecordedRequest,
    Recording,
)
from tailrace.recording._reading import read_recording
from tailrace.recording._secrets import REDACTED
from tailrace.recording._writing import ExchangeWriter, RecordingWriter

__all__ = [
    "REDACTED",
    "ExchangeWriter",
    "RecordedEnd",
    "RecordedExchange",
    "RecordedHead",
    "RecordedRead",
    "RecordedRequest",
    "Recording",
    "RecordingWriter",
    "read_recording",
]
