"""OpenAI's API: chat completions, Responses, legacy completions and embeddings."""
