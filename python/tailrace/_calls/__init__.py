"""Calls to a site: the protocol of one, and how it is repeated, throttled and given tokens."""
