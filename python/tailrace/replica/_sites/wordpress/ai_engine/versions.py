"""Differences between versions of AI Engine, as measured (captures ``ai-engine/*``).

This module depends on no site.
"""

from __future__ import annotations

from typing import NamedTuple


class Version(NamedTuple):
    """A version of the plugin; the properties tell its behavior where other versions differ."""

    major: int
    minor: int
    patch: int

    @property
    def wants_a_nonce(self) -> bool:
        """Whether a message without a nonce is refused."""
        return self >= (2, 0, 1)

    @property
    def shows_the_nonce(self) -> bool:
        """Whether the page holds the nonce (``2.0.9/page-elements``)."""
        return (2, 0, 1) <= self < (2, 4, 4)

    @property
    def has_sessions(self) -> bool:
        """Whether ``start_session`` is there, and gives the nonce."""
        return self >= (2, 4, 4)

    @property
    def has_session_ids(self) -> bool:
        """Whether sessions have ids and cookies, and old nonces are answered with new ones."""
        return self >= (2, 8, 5)

    @property
    def shows_the_session(self) -> bool:
        """Whether the page holds the session's id (``3.0.1/page-elements``)."""
        return (2, 8, 5) <= self < (3, 5, 2)

    @property
    def counts_characters(self) -> bool:
        """Whether a message longer than the bot's limit is refused."""
        return self >= (2, 3, 0)

    @property
    def falls_back(self) -> bool:
        """Whether the default bot answers for one that is not there."""
        return self >= (3, 0, 3)

    @property
    def has_page_parts(self) -> bool:
        """Whether answers have actions, shortcuts and blocks (``2.8.0/shortcuts-stream``)."""
        return self >= (2, 5, 0)

    @property
    def has_response_ids(self) -> bool:
        """Whether answers have the id of the model's response, and events have subtypes."""
        return self >= (2, 8, 4)

    @property
    def refuses_to_stream_late(self) -> bool:
        """Whether it does not stream once something was printed (``3.6.2/bom-before-stream``)."""
        return self >= (3, 0, 0)

    @property
    def upstream(self) -> str:
        """The name by which errors call the model's service."""
        if self < (2, 1, 0):
            return "From OpenAI"
        return "OpenAI" if self < (3, 0, 0) else "OpenAI (Responses API)"
