"""The way in, before a request is handled: connections, middleware, admission, quotas."""
