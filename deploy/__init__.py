"""Bringing Pulse up: local engines and their supervisor, topics, tables, images."""
