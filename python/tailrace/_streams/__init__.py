"""A reply read as it arrives: bytes in, deltas out, and an outcome at the end."""
