"""The way of a request to its handler: connections, middleware, admission, quotas."""
