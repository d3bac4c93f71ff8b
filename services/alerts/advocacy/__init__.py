"""Promoters who agreed to be asked: team-changes.v1 → SQLite → the channels that can say it, once a person."""
