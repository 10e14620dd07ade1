"""OpenAI's API as the gateway speaks it: routes, schema, completions, stop sequences."""
