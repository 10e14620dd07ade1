"""The software that the replica answers as."""
