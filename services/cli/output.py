"""What commands print: one JSON document with `--json`, tables for people otherwise. Diagnostics go to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_JSON = "pulse.json"
_PIPE_WIDTH = 200  # a table that nobody watches is not cut to 80 columns


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[_JSON] = value
    return value


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.", callback=_remember)]


def wants_json(ctx: typer.Context) -> bool:
    """Whether the command that runs in `ctx` was given `--json`."""
    return bool(ctx.meta.get(_JSON))


def print_json(document: Any) -> None:
    """One JSON document, one line, on stdout."""
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """A rich console: colours and live parts only on a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _PIPE_WIDTH, highlight=False)


def counted(n: int, thing: str) -> str:
    """How many of a thing whose plural ends in s.

    >>> counted(1, "answer"), counted(1200, "answer")
    ('1 answer', '1,200 answers')
    """
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), most: int | None = None
) -> None:
    """A table on stdout. `right` names the columns of numbers. Cells are text, never markup.

    `most`: how many columns of the screen it may take; what is longer goes on in the line below.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    screen = console()
    screen.print(table, width=None if most is None else min(most, screen.width))


def note(message: str) -> None:
    """One line for a person, on stderr."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def progress(*, quiet: bool) -> Progress:
    """A progress display on stderr, invisible unless a terminal watches and `quiet` is off."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
        console=console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
    )
