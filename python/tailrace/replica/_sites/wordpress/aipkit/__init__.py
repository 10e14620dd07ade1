"""AIPKit 2.x: the chat plugin's newer line."""
