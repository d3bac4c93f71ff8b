"""From the log to scores and follow-ups: a pure fold (`domain`), its state, and the Faust agents that drive it."""

from stream import compiled

compiled.use()
