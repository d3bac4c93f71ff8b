"""The command `pulse`: the composition root. It may import everything, and does so only when a command needs it."""

from services.cli.main import app

__all__ = ["app"]
