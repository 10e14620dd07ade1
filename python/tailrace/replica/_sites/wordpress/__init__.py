"""WordPress with the chat plugin, in both of its lines."""
