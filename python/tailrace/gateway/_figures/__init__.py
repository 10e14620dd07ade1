"""Figures counted while the gateway runs, shared by its workers, and shown by two routes."""
