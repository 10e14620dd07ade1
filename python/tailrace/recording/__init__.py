"""A call as it went over the wire, in a file.

The file holds what was sent, each read with its moment, and how the call ended, one JSON object a
line: a head that names the format, then for each exchange its ``request``, the response's ``head``,
one ``read`` for each piece that came off the network (seconds since the start, decoded bytes in
base64), and its ``end``.

Secrets never reach the file. Of a request stays what is known to be harmless: headers by a list of
names, fields of forms, queries and JSON bodies unless their name or what they hold is secret. A
secret value that a response repeats (a nonce in a page) is replaced by a stand-in of the same
length, the same one everywhere, so that read boundaries hold.
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
