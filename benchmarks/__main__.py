"""`python -m benchmarks` (`make bench`): every benchmark, one table; with `--json` or JSON=1 one JSON line at the end.

Exit code 1 when a benchmark that was asked for gave no figure; the reason stands on stderr.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError

from benchmarks import report
from deploy.errors import DeployError

NAMES: Final = ("ingest", "alerts", "latency", "failover", "memory", "engine")
FAILURES: Final = (
    ImportError,
    OSError,
    RuntimeError,
    AssertionError,
    subprocess.SubprocessError,
    KafkaError,
    DeployError,
)


def main() -> int:
    """Run what is asked for, one after another: they would take each other's processor time."""
    options = _options()
    # A broker that has just started refuses some requests; aiokafka logs each and tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    title = report.machine()
    found: dict[str, float] = {}
    failed = False
    for name in options.only or NAMES:
        print(f"benchmark: {name}", file=sys.stderr, flush=True)
        try:
            found |= _run_of(name, options)()
        except FAILURES as error:
            failed = True
            print(f"{name}: no figures: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    report.print_table(found, title)
    if options.json:
        print(report.json_line(found), flush=True)
    return int(failed)


def _run_of(name: str, options: argparse.Namespace) -> Callable[[], dict[str, float]]:
    """The `run` of `benchmarks.NAME`, imported only now: one that cannot be does not keep the others from running."""
    run = importlib.import_module(f"benchmarks.{name}").run
    if name == "engine":
        return partial(
            run,
            records=options.records,
            runs=options.runs,
            profile=options.profile,
            peer_seconds=options.peer_seconds,
        )
    return partial(run)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"which to run; default all: {', '.join(NAMES)}")
    parser.add_argument("--json", action="store_true", default=os.environ.get("JSON") == "1", help="end with JSON")
    parser.add_argument("--records", type=int, default=2_000_000, help="answers of the engine's log")
    parser.add_argument("--runs", type=int, default=3, help="runs of the engine; the median counts")
    parser.add_argument("--peer-seconds", type=float, default=30, help="seconds of each peer; 0: no peers")
    parser.add_argument("--profile", type=Path, help="py-spy records the engine's runs into this folder")
    options = parser.parse_args()
    if unknown := set(options.only) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
