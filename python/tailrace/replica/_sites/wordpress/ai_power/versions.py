"""Differences between versions of AI Power 1.x, as measured (captures ``ai-power/1.8.*``).

This module depends on no site.
"""

from __future__ import annotations

from typing import NamedTuple


class Version(NamedTuple):
    """A version of the plugin; the properties tell its behavior where later versions differ."""

    major: int
    minor: int
    patch: int

    @property
    def appends_the_json(self) -> bool:
        """Whether a stream ends with the JSON of a success (``1.8.79/stream_post_ok``)."""
        return self <= (1, 8, 85)

    @property
    def refuses_nonces_with_200(self) -> bool:
        """Whether a refused nonce is 200 and JSON (``1.8.90/json_nonce_wrong``), not 403."""
        return self <= (1, 8, 90)

    @property
    def takes_get(self) -> bool:
        """Whether the fields may come in the URL (``1.8.79/stream_get_eventsource_ok``)."""
        return self <= (1, 8, 90)

    @property
    def keeps_lines(self) -> bool:
        """Whether the message keeps its line ends (not in ``1.8.79/json_ok``)."""
        return self > (1, 8, 95)

    @property
    def history_ends_with_the_message(self) -> bool:
        """Whether browsers post the current message as the last turn of the history too."""
        return self <= (1, 8, 95)

    @property
    def page_is_old(self) -> bool:
        """Whether a widget's tag has avatars, and no assistants (``1.8.79/page_stream``)."""
        return self <= (1, 8, 95)


NEWEST = Version(1, 9, 18)
