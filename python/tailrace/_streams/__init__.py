"""The reading of a reply as it arrives: bytes in, deltas out, and an outcome at the end."""
