"""The service that tells people: `followups.v1` in, signed webhooks out. Order of effects: `flow.Flow.take`."""
