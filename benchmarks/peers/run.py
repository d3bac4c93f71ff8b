"""What others make of the same topic: four frameworks, each as its own documentation would have it.

Their job is the simpler one: three hopping windows of counts per team, no duplicates, no edits, nothing published.
Each is one process, alone beside the broker on all cores, and is given a warm-up and so many seconds; its
rate is what it did in them. A peer that cannot run here gives no figure, and its reason stands on stderr.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from aiokafka.errors import KafkaError

from benchmarks.broker import create_compacted
from benchmarks.machine import Measured, pinned, plain_environment
from benchmarks.peers.meter import WINDOWS
from deploy.errors import DeployError
from deploy.local.jars import cache_dir, class_path, read_lock

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).parent
STREAMS_VERSION: Final = "4.1.0"
STREAMS_MAIN: Final = "KafkaStreamsWindows"
WARM_UP_S: Final = 10.0  # a JVM compiles its hot paths meanwhile
SECONDS: Final = 30.0
START_WITHIN_S: Final = 120.0


class NotRun(Exception):
    """A peer gave no figure; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """`figure`: of the report. `command`: what starts it, given a folder of its own; raises NotRun.

    `tables`: topics that must be there before it starts.
    """

    figure: str
    about: str
    command: Callable[[Path], list[str]]
    tables: Sequence[str] = ()


def run(kafka: str, cores: str, records: int, folder: Path, seconds: float = SECONDS) -> dict[str, float]:
    """Answers a second of each peer that ran, by the name of its figure."""
    found: dict[str, float] = {}
    for peer in PEERS:
        try:
            measured = _measure(peer, kafka, cores, records, folder / peer.figure, seconds)
        except (NotRun, OSError, subprocess.SubprocessError, DeployError, KafkaError, msgspec.DecodeError) as error:
            _say(f"{peer.about}: not run: {error}")
        else:
            _say(f"{peer.about}: {measured}")
            found[peer.figure] = measured.per_s
    return found


def _measure(peer: Peer, kafka: str, cores: str, records: int, folder: Path, seconds: float) -> Measured:
    folder.mkdir(parents=True)
    result, log = folder / "result.json", folder / "peer.log"
    environment = plain_environment() | {
        "PYTHONPATH": str(ROOT),
        "PEER_KAFKA": kafka,
        "PEER_FOLDER": str(folder),
        "PEER_RESULT": str(result),
        "PEER_RECORDS": str(records),
        "PEER_WARM_UP_S": str(WARM_UP_S),
        "PEER_SECONDS": str(seconds),
    }
    command = pinned(cores, peer.command(folder))
    if peer.tables:
        asyncio.run(create_compacted(kafka, peer.tables))
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=file)
        try:
            deadline_s = time.monotonic() + START_WITHIN_S + WARM_UP_S + seconds
            while process.poll() is None and not result.exists() and time.monotonic() < deadline_s:
                time.sleep(0.1)
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            pass  # what it has written counts, however it ends
        finally:
            process.kill()
            process.wait()
    if not result.exists():
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise NotRun(f"exit code {process.returncode}; {' | '.join(said[-3:]) or 'it said nothing'}")
    return msgspec.json.decode(result.read_bytes(), type=Measured)


def _faust(_: Path) -> list[str]:
    """Faust is here anyway: it is the one that Pulse stands on."""
    return [sys.executable, "-m", "benchmarks.peers.faust_tables", "worker", "-l", "warn", "--without-web"]


def _quix(_: Path) -> list[str]:
    return [_python(), "-m", "benchmarks.peers.quix_windows"]


def _bytewax(_: Path) -> list[str]:
    return [_python(), "-m", "bytewax.run", "benchmarks.peers.bytewax_windows"]


def _python() -> str:
    """The interpreter of the environment that `make bench` has made for the peers."""
    python = ROOT / ".venv-peers" / "bin" / "python"
    if not python.exists() or not (ROOT / ".venv-peers" / ".ready").exists():
        raise NotRun("there is no .venv-peers; `make bench` makes it")
    return str(python)


def _streams(folder: Path) -> list[str]:
    """Compiled at every run, which takes two seconds."""
    javac, java = _jdk()
    lock = (HERE / "kafka-streams-jars.lock").read_text(encoding="utf-8")
    jars = class_path(cache_dir().with_name(f"kafka-streams-{STREAMS_VERSION}"), read_lock(lock))
    path = ":".join(map(str, jars))
    source = HERE / f"{STREAMS_MAIN}.java"
    done = subprocess.run(
        [javac, "-cp", path, "-d", str(folder), str(source)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotRun(f"javac refused it: {done.stderr.strip()[-500:]}")
    return [java, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{folder}:{path}", STREAMS_MAIN]


def _jdk() -> tuple[str, str]:
    """(javac, java) of JAVA_HOME or of the search path."""
    home = os.environ.get("JAVA_HOME")
    where = str(Path(home) / "bin") if home else None
    javac, java = shutil.which("javac", path=where), shutil.which("java", path=where)
    if javac is None or java is None:
        raise NotRun("there is no JDK; on Debian: apt-get install default-jdk-headless")
    return javac, java


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


PEERS: Final = (
    Peer("kafka_streams_per_s", "Kafka Streams", _streams),
    Peer("bytewax_per_s", "Bytewax", _bytewax),
    Peer("quix_per_s", "Quix Streams", _quix),
    # At its very first start Faust takes a changelog that it has just created for one without partitions, and stops.
    Peer(
        "faust_tables_per_s",
        "Faust tables",
        _faust,
        [f"peer-faust-tables-counts-{name}-changelog" for name, *_ in WINDOWS],
    ),
)
