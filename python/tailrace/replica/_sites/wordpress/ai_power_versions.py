"""What changed from version to version of AI Power 1.x, as measured (captures ``ai-power/1.8.*``).

It knows no site.
"""

from __future__ import annotations

from typing import NamedTuple


class Version(NamedTuple):
    """A version of the plugin, and what it still did."""

    major: int
    minor: int
    patch: int

    @property
    def appends_the_json(self) -> bool:
        """After a stream's ``[DONE]`` the whole JSON of a success follows
        (``1.8.79/stream_post_ok``).
        """
        return self <= (1, 8, 85)

    @property
    def refuses_nonces_with_200(self) -> bool:
        """A nonce is refused with 200 and JSON (``1.8.90/json_nonce_wrong``), later with 403
        (``1.8.91``).
        """
        return self <= (1, 8, 90)

    @property
    def takes_get(self) -> bool:
        """The fields may come in the URL, as an EventSource sends them
        (``1.8.79/stream_get_eventsource_ok``).
        """
        return self <= (1, 8, 90)

    @property
    def keeps_lines(self) -> bool:
        """The message keeps its line ends (not in ``1.8.79/json_ok``)."""
        return self > (1, 8, 95)

    @property
    def history_ends_with_the_message(self) -> bool:
        """The browser posts the current message as the history's last turn too."""
        return self <= (1, 8, 95)

    @property
    def page_is_old(self) -> bool:
        """A widget's tag says other things: avatars, and nothing of assistants or leads
        (``1.8.79/page_stream``).
        """
        return self <= (1, 8, 95)


NEWEST = Version(1, 9, 18)
