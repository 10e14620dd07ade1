"""AI Engine, a chat plugin that talks over WordPress's REST API."""
