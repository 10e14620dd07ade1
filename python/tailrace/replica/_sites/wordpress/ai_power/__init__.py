"""AI Power 1.x: the chat plugin's older line."""
