"""The signed apps: GeminiProChat and chatgpt-demo."""
