"""Who comes in, before a request is read: connections, middleware, admission, keys, quotas."""
