"""Figures of a running gateway: counted, shared by its workers, and shown by two routes."""
