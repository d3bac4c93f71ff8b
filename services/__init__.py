"""The doors: ingest takes answers, query shows scores, alerts tells people; `cli` puts everything together."""
