"""What `endtoend.py` sends, known to both of its sides.

W1, opened with a few events, then in writes of so many.
"""

from __future__ import annotations

import workloads

__all__ = ["Wire"]

CLOSING = 3  # events after the last text: finish reason, usage, sentinel


class Wire:
    """`opening` events at once, `events` more in writes of `per_write`, and the ending.

    Their bytes and their text.
    """

    def __init__(self, opening: int, events: int, per_write: int) -> None:
        reply = workloads.w1(opening + events - 1)  # the role is an event, too
        chunks, ending = reply.events[:-CLOSING], reply.events[-CLOSING:]
        self.text = reply.text
        self.opening = b"".join(chunks[:opening])
        self.writes = [
            b"".join(chunks[at : at + per_write]) for at in range(opening, len(chunks), per_write)
        ]
        self.ending = b"".join(ending)

    @property
    def body_bytes(self) -> int:
        """Bytes of the body without its ending."""
        return len(self.opening) + sum(map(len, self.writes))

    @property
    def chunked_bytes(self) -> int:
        """The same in Transfer-Encoding: chunked, a chunk a write."""
        sizes = [len(data) for data in (self.opening, *self.writes)]
        return sum(len(f"{size:x}\r\n") + size + len("\r\n") for size in sizes)
