"""Decoders as the conformance kit asks them. Each is fed as its own documentation says."""
