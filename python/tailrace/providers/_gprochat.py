"""gprochat.com: a deployment of GeminiProChat."""

from __future__ import annotations

from tailrace.providers._geminiprochat import GeminiProChatProvider

__all__ = ["GPROChat"]


class GPROChat(GeminiProChatProvider):
    """Streams from gprochat.com, or from any deployment of the app through `url=`.

    The signing key is the user's to set: `secret_key` on the class or as an argument, or the
    environment variable ``GPROCHAT_SECRET_KEY``. Without one, the app's own default is used: the
    empty string.
    """

    label = "GPROChat"
    url = "https://gprochat.com"
    api_endpoint = "https://gprochat.com/api/generate"
    default_model = "gemini-1.5-pro"
    secret_variable = "GPROCHAT_SECRET_KEY"  # noqa: S105 - the variable's name
