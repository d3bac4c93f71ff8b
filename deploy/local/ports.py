"""Which ports an instance uses: fixed distances from a base, so that one number says them all."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path
from typing import Final

from deploy.errors import PortTaken

DEFAULT_BASE: Final = 8600
STEP: Final = 40
WORKER_OFFSET: Final = 10
MAX_WORKERS: Final = STEP - WORKER_OFFSET
OFFSETS: Final = {
    "ingest": 0,
    "query": 1,
    "alerts": 2,
    "kafka": 3,
    "kafka-controller": 4,
    "clickhouse": 5,
    "sink": 6,
}
# A process that has just been killed holds its port a moment longer.
RELEASE_S: Final = 3.0


def ports_of(base: int, workers: int) -> dict[str, int]:
    """Name of every process with a port → its port, for `workers` workers from `base` on."""
    offsets = OFFSETS | {f"worker-{i}": WORKER_OFFSET + i for i in range(workers)}
    return {name: base + offset for name, offset in offsets.items()}


def choose(base: int | None, remembered: int | None, workers: int, unused: frozenset[str] = frozenset()) -> int:
    """The base to use. `unused`: names whose ports need not be free, as another cluster takes their place.

    A base that was asked for is used or refused. With none (`None`) or any (0), the one this data directory used
    last is kept when it is free; then `None` tries 8600, 8640, …, and 0 draws a free block.

    Raises: PortTaken.
    """

    def needed(of: int) -> dict[str, int]:
        return {name: port for name, port in ports_of(of, workers).items() if name not in unused}

    if base:
        _wait_until_free(needed(base))
        return base
    if remembered:
        try:
            _wait_until_free(needed(remembered))
        except PortTaken:
            pass
        else:
            return remembered
    if base is None:
        for candidate in range(DEFAULT_BASE, DEFAULT_BASE + 10 * STEP, STEP):
            if first_taken(needed(candidate)) is None:
                return candidate
    return free_base(workers)


def free_base(workers: int = 1, tries: int = 200) -> int:
    """A base whose ports are all free now, drawn at random so that two instances rarely draw the same.

    Below the range the kernel gives to outgoing connections: else a client that dials a broker that is being
    restarted may be given the broker's own port.
    """
    low, high = 10_000, max(_first_ephemeral_port(), 20_000) - STEP
    for _ in range(tries):
        base = random.randrange(low, high, STEP)  # noqa: S311  not a secret
        if first_taken(ports_of(base, workers)) is None:
            return base
    raise PortTaken("any of a block", base)


def first_taken(ports: dict[str, int]) -> str | None:
    """Name of the first port that cannot be listened on; None when all are free."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                probe.listen(1)
            except OSError:
                return name
    return None


def _wait_until_free(ports: dict[str, int]) -> None:
    deadline = time.monotonic() + RELEASE_S
    while (taken := first_taken(ports)) is not None:
        if time.monotonic() > deadline:
            raise PortTaken(taken, ports[taken])
        time.sleep(0.05)


def _first_ephemeral_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return 32_768
