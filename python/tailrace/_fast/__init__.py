"""Streams of other packages' clients, read by the core."""
