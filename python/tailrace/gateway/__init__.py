"""The gateway: an OpenAI-compatible server over all providers and the sites of ``tailrace.toml``.

``tailrace serve`` runs it. From Python nothing of it is promised yet: its modules have underscores.
"""

__all__: list[str] = []
