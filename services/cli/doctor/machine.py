"""The machine: Python, packages, disk, memory, ports."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

import psutil

from deploy.local.ports import DEFAULT_BASE, STEP, first_taken, ports_of
from services.cli.doctor.findings import Finding, bad, ok, warn

DISTRIBUTION: Final = "nps-pulse"
LEAST_PYTHON: Final = (3, 11)
GIB: Final = 1 << 30
LEAST_DISK: Final = 1 * GIB  # below this Kafka and ClickHouse may stop writing any moment
ENOUGH_DISK: Final = 5 * GIB
ENOUGH_MEMORY: Final = 1.5 * GIB  # the broker, the engine and five services


def python() -> Finding:
    """Whether this Python is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < LEAST_PYTHON:
        return bad("python", version, "install Python 3.11 or newer and make the environment anew: make install")
    return ok("python", version)


def packages() -> Finding:
    """Whether every package the product needs is installed."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return warn("packages", f"{DISTRIBUTION} is not installed", "run make install, then .venv/bin/pulse")
    missing = []
    for requirement in required:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if "extra ==" in requirement:
            continue
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return bad("packages", f"missing: {', '.join(missing)}", "run make install")
    return ok("packages", f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)} and all it needs")


def disk(data: Path, free: int | None = None) -> Finding:
    """Room where the data folder is or will be. `free`: bytes, looked up when not given."""
    place = data.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free if free is None else free
    saw = f"{free / GIB:.1f} GiB free at {place}"
    if free < LEAST_DISK:
        return bad("disk", saw, "free some space, or move the data folder with --data")
    if free < ENOUGH_DISK:
        return warn("disk", saw, f"keep {ENOUGH_DISK // GIB} GiB free: the log keeps 430 days")
    return ok("disk", saw)


def memory(available: int | None = None) -> Finding:
    """Room for an instance that is still to be started. `available`: bytes, looked up when not given."""
    available = psutil.virtual_memory().available if available is None else available
    saw = f"{available / GIB:.1f} GiB available"
    if available < ENOUGH_MEMORY:
        return warn("memory", saw, f"an instance takes about {ENOUGH_MEMORY / GIB:g} GiB; end other programs")
    return ok("memory", saw)


def ports(base: int | None, workers: int = 1) -> Iterator[Finding]:
    """Whether the ports of an instance that is still to be started are free. None: the usual ones."""
    taken = first_taken(ports_of(base or DEFAULT_BASE, workers))
    block = f"{base or DEFAULT_BASE} to {(base or DEFAULT_BASE) + STEP - 1}"
    if taken is None:
        yield ok("ports", f"{block} are free")
    elif base:
        number = ports_of(base, workers)[taken]
        yield bad("ports", f"port {number} ({taken}) is taken by another program", "choose others with --port-base")
    else:
        yield ok("ports", f"{block} are partly taken; `pulse up` will use others")
