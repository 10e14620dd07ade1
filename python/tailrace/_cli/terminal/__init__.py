"""Answers and conversations on a terminal: Markdown as it arrives, questions as they are typed."""
