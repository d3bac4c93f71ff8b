"""The data folder and its supervisor: is an instance there, does it run, are its keys kept?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from services.cli.codes import Fail
from services.cli.doctor.findings import Finding, bad, ok
from services.cli.instance import ClientFile, read_client_file


def look(data: Path) -> tuple[list[Finding], ClientFile | None]:
    """What is to be said of a data folder, and the instance when one runs there."""
    try:
        client = read_client_file(data)
    except Fail as fail:
        found, _, do = fail.message.partition(": ")
        return [bad("instance", found, do or f"start one with pulse up --data {data}")], None
    findings = list(_kept(data))
    running = client.pid is not None and psutil.pid_exists(client.pid)
    if not running:
        saw = f"nothing runs in {data}" if client.pid is None else f"its supervisor (pid {client.pid}) is gone"
        findings.append(bad("instance", saw, f"start it with pulse up --data {data}"))
        return findings, None
    findings.append(ok("instance", f"runs in {data}, supervised by pid {client.pid}"))
    findings += _processes(data, client)
    return findings, client


def _kept(data: Path) -> Iterator[Finding]:
    """client.json holds keys: nobody else may read it; and we must be able to write beside it."""
    file = data / "client.json"
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        yield bad("keys", f"{file} can be read by others (mode {mode:o})", f"chmod 600 {file}")
    else:
        yield ok("keys", f"{file} is readable by its owner only")
    if not os.access(data, os.W_OK):
        yield bad("data folder", f"{data} cannot be written by this user", "give it to this user with chown")


def _processes(data: Path, client: ClientFile) -> Iterator[Finding]:
    """The processes the supervisor says it runs."""
    gone = sorted(name for name, pid in client.pids.items() if not psutil.pid_exists(pid))
    if gone:
        logs = ", ".join(str(data / "logs" / f"{name}.log") for name in gone)
        yield bad("processes", f"not running: {', '.join(gone)}", f"wait for the supervisor to start them; see {logs}")
    elif client.pids:
        yield ok("processes", ", ".join(f"{name} {pid}" for name, pid in client.pids.items()))
