"""`pulse doctor`: everything in order, the cheap and basic first; exit code 1 when anything is bad."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from pathlib import Path
from typing import Final

import typer

from services.cli import output
from services.cli.codes import Exit
from services.cli.doctor import doors, engines, folder, machine
from services.cli.doctor.findings import Finding
from services.cli.instance import data_folder, generation_of

_SIGNS: Final = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "bad": ("✗", "red")}


def run_doctor(data: Path | None, port_base: int | None, *, as_json: bool) -> None:
    """Look, print what was seen, and exit with 1 when something is bad."""
    place = data_folder(data)
    findings = examine(place, port_base)
    good = not any(finding.level == "bad" for finding in findings)
    if as_json:
        output.print_json({"ok": good, "data": str(place), "findings": [dataclasses.asdict(each) for each in findings]})
    else:
        _print(findings)
    if not good:
        raise typer.Exit(Exit.FAILED)


def examine(data: Path, port_base: int | None) -> list[Finding]:
    """All findings about this machine and the instance in `data`."""
    findings = [machine.python(), machine.packages(), machine.disk(data)]
    seen, client = folder.look(data)
    if client is None:
        return [*findings, machine.memory(), *machine.ports(port_base), *seen]

    async def ask() -> list[Finding]:
        parts = await asyncio.gather(
            engines.kafka(client.kafka, generation_of()),
            engines.clickhouse(client.clickhouse),
            doors.services(client, data),
        )
        return [finding for part in parts for finding in part]

    return [*findings, *seen, *asyncio.run(ask())]


def _print(findings: list[Finding]) -> None:
    from rich.text import Text

    console = output.console()
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        sign, colour = _SIGNS[finding.level]
        console.print(Text.assemble((sign, colour), f" {finding.what:<{width}}  {finding.saw}"), soft_wrap=True)
        if finding.do:
            console.print(Text.assemble(" " * (width + 4), ("→ ", colour), finding.do), soft_wrap=True)
    worst = sum(finding.level == "bad" for finding in findings)
    sys.stdout.write(f"{'everything is well' if not worst else f'{worst} thing(s) to mend'}\n")
