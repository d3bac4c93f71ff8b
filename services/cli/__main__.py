"""`python -m services.cli` is `pulse`."""

from services.cli import app

app(prog_name="pulse")
