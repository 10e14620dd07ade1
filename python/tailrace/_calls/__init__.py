"""A call to a site: what an exchange is, and how one is repeated, throttled and given its tokens."""
