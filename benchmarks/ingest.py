"""Single POSTs that the log acknowledges, against an empty FastAPI POST, in one run.

The server has one core to itself; `wrk` (Debian package) with 64 connections and Kafka have the rest, for both sides
alike. Each side is measured three times in turn; the median counts. Every POST has an id of its own.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from benchmarks.broker import broker
from benchmarks.machine import cores, ended, pinned, plain_environment
from deploy.local.ports import free_base
from services.common.keys import key_hash

CONNECTIONS: Final = 64
SECONDS: Final = 6
WARM_UP_SECONDS: Final = 8  # Kafka compiles its hot paths while it works
RUNS: Final = 3
START_S: Final = 60.0
END_WITHIN_S: Final = 30.0
KEY: Final = "bench"
SCRIPT: Final = Path(__file__).with_name("post.lua")
# name of the figure → (side, what each POST carries)
SIDES: Final = {
    "empty_per_s": ("empty", "plain"),
    "ingest_per_s": ("ingest", "plain"),
    "ingest_with_comment_per_s": ("ingest", "comment"),
}


def run() -> dict[str, float]:
    """The figures; none when `wrk` is missing, which is said on stderr."""
    if shutil.which("wrk") is None:
        _say("skipped: wrk is missing; install Debian's package wrk")
        return {}
    if shutil.which("taskset") is None:
        _say("taskset is missing: nothing is pinned, so trust the ratio only")
    server_core, other_cores = cores()
    with tempfile.TemporaryDirectory(prefix="pulse-bench-") as folder, broker(Path(folder), other_cores) as kafka:
        base = free_base()
        empty = [sys.executable, "-m", "benchmarks.empty_app", str(base)]
        door = [sys.executable, "-m", "services.cli", "ingest"]
        environment = {
            **plain_environment(),
            "PULSE_KAFKA": kafka,
            "PULSE_INGEST_PORT": str(base + 1),
            "PULSE_RESPONDENT_SECRET": "bench",
            "PULSE_KEY_HASHES": json.dumps({"write": [key_hash(KEY)]}),
        }
        log = Path(folder) / "ingest.log"
        with (
            _served(pinned(server_core, empty), environment, f"http://127.0.0.1:{base}/docs", log) as one,
            _served(pinned(server_core, door), environment, f"http://127.0.0.1:{base + 1}/readyz", log) as other,
        ):
            servers = {"empty": (one, base), "ingest": (other, base + 1)}
            return _medians(servers, other_cores)


def _medians(servers: dict[str, tuple[psutil.Process, int]], wrk_cores: str) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in SIDES}
    for name, (side, load) in SIDES.items():
        _load(*servers[side], load, wrk_cores, WARM_UP_SECONDS, name)
    for _ in range(RUNS):
        for name, (side, load) in SIDES.items():
            found[name].append(_load(*servers[side], load, wrk_cores, SECONDS, name))
    figures = {name: statistics.median(runs) for name, runs in found.items()}
    figures["ingest_ratio"] = figures["ingest_per_s"] / figures["empty_per_s"]
    return figures


def _load(server: psutil.Process, port: int, load: str, wrk_cores: str, seconds: int, name: str) -> float:
    """One run of wrk; acknowledged requests a second. Raises RuntimeError if any was refused or broke."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"]
    seed = str(time.time_ns() // 1_000_000 % 2**31)
    before = server.cpu_times()
    ended = subprocess.run(
        pinned(wrk_cores, [*command, "--", KEY, load, seed]), capture_output=True, text=True, check=True
    )
    after = server.cpu_times()
    told = json.loads(ended.stdout.strip().splitlines()[-1])
    if told["refused"] or told["broken"]:
        raise RuntimeError(f"{name}: {told['refused']} refused and {told['broken']} broken of {told['requests']}")
    rate = float(told["requests"] / told["seconds"])
    used_s = after.user + after.system - before.user - before.system
    _say(
        f"{name}: {rate:,.0f}/s, p50 {told['p50_ms']:.1f} ms, p99 {told['p99_ms']:.1f} ms, "
        f"server {100 * used_s / told['seconds']:.0f} % of its core, {1e6 * used_s / told['requests']:.0f} us a request"
    )
    return rate


@contextmanager
def _served(command: list[str], environment: dict[str, str], ready: str, log: Path) -> Iterator[psutil.Process]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    with ended(process, END_WITHIN_S):
        deadline = time.monotonic() + START_S
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[-1]} did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield psutil.Process(process.pid)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 (our own address)
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
