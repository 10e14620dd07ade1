"""Anthropic's API: messages, their tokens counted, and the list of models."""
