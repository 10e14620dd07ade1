"""The gateway: an OpenAI-compatible server over all providers and the sites of ``tailrace.toml``."""
