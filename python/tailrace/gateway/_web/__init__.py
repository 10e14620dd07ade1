"""The gateway's page for people."""
