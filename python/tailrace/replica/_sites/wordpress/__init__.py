"""WordPress with the chat plugin, in both of its lines: AI Power 1.x and AIPKit 2.x."""
