"""Gemini's API: contents, whole and streamed, counts, embeddings, and the list of models."""
