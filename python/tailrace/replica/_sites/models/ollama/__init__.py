"""Ollama's own API: chats, and what the server has."""
