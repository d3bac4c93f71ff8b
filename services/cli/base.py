"""The command line itself: what all commands share."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from services.cli import output
from services.cli.codes import Exit, Fail

_FIRST = {"up": 0, "demo": 1, "import": 2}


class Commands(TyperGroup):
    """Turns an expected failure into one line on stderr and its exit code, never a traceback."""

    def list_commands(self, ctx: Any) -> list[str]:
        """What a newcomer looks for comes first."""
        return sorted(super().list_commands(ctx), key=lambda name: _FIRST.get(name, len(_FIRST)))

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except Fail as fail:
            if output.wants_json(ctx):
                output.print_json(fail.document)
            output.note(f"pulse: {fail.message}")
            raise typer.Exit(fail.code) from None


# \b keeps the lines as they are.
_EXIT_CODES = "\b\nExit codes:\n" + "\n".join(f"  {code.value:<4} {code.about}" for code in Exit)

app = typer.Typer(
    name="pulse",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Rolling Net Promoter Score and owned follow-ups, in real time.",
    epilog=_EXIT_CODES,
)
