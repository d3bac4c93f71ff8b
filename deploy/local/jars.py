"""The jars of the local Kafka: fetched once through jgo, checked against the lock file beside this module.

The lock names every jar with its sha256, so nothing is resolved at run time and nothing unknown is started.
`python -m deploy.local.jars` resolves again from the coordinates below and rewrites the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.errors import JarMismatch, JarUnavailable

KAFKA_VERSION: Final = "4.1.0"
# The second one binds slf4j to log4j: without it the broker logs nothing. Resolved alone and without its own
# dependencies: resolved together with Kafka, its bill of materials would downgrade kafka-clients.
KAFKA: Final = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
LOG_BINDING: Final = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
LOCK_FILE: Final = Path(__file__).with_name("kafka-jars.lock")


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: Maven coordinates and the sha256 (hex) of the file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


# Puts the jar's file somewhere below the given folder and returns where.
Fetch = Callable[[Jar, Path], Path]


def read_lock(text: str) -> tuple[Jar, ...]:
    """The jars a lock file names, in its order: lines `group:artifact:version  sha256`, `#` starts a comment."""
    jars = []
    for line in text.splitlines():
        entry = line.partition("#")[0].split()
        if entry:
            coordinate, sha256 = entry
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the jars live, shared by all data directories of a user."""
    base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nps-pulse" / f"kafka-{KAFKA_VERSION}"


def class_path(home: Path, jars: Sequence[Jar], fetch: Fetch | None = None) -> tuple[Path, ...]:
    """The jars' files below `home`, each verified; fetched first where missing.

    A stamp (size and time of each verified file) makes every later call cheap. Two first calls at the same time
    are safe: one works, the other waits.

    Raises: JarMismatch, naming the jar, when a file is not the one the lock names; JarUnavailable.
    """
    paths = tuple(home / jar.file_name for jar in jars)
    if _stamped(home, jars):
        return paths
    home.mkdir(parents=True, exist_ok=True)
    with locked(home):
        if _stamped(home, jars):
            return paths
        for left_over in home.glob("fetch-*"):  # of a fetch that was killed
            shutil.rmtree(left_over)
        missing = [jar for jar in jars if not (home / jar.file_name).exists()]
        if missing:
            with (
                tempfile.TemporaryDirectory(dir=home, prefix="fetch-") as below,
                ThreadPoolExecutor(6) as pool,
            ):

                def bring(jar: Jar) -> None:
                    path = (fetch or fetch_with_jgo)(jar, Path(below))
                    _verify(jar, path)
                    path.replace(home / jar.file_name)

                list(pool.map(bring, missing))
        for jar in jars:
            if jar not in missing:
                _verify(jar, home / jar.file_name)
        _write_stamp(home, jars)
    return paths


def fetch_with_jgo(jar: Jar, below: Path) -> Path:
    """Download one jar from where jgo looks by default. Raises JarUnavailable after three tries."""
    import stamina  # imported here: only a first start needs these, and they cost it 0.3 s
    from jgo.maven import MavenContext

    try:
        for attempt in stamina.retry_context(on=(RuntimeError, OSError), attempts=3):
            with attempt:
                # A folder for each try: jgo takes a file that a broken download left for the whole of it.
                context = MavenContext(repo_cache=Path(tempfile.mkdtemp(dir=below)), local_repos=[])
                artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
                return Path(artifact.resolve())
    except (RuntimeError, OSError) as error:
        raise JarUnavailable(jar.coordinate, f"{type(error).__name__}: {error}") from error
    raise AssertionError("unreachable")


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the cache folder's lock; the kernel releases it when the holder dies."""
    with (home / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(jar: Jar, path: Path) -> None:
    found = _sha256(path)
    if found != jar.sha256:
        raise JarMismatch(jar.coordinate, path, jar.sha256, found)


def _facts(path: Path, jar: Jar) -> list[str | int]:
    stat = path.stat()
    return [jar.sha256, stat.st_size, stat.st_mtime_ns]


def _stamped(home: Path, jars: Sequence[Jar]) -> bool:
    try:
        stamp = json.loads((home / "verified.json").read_bytes())
        return all(stamp.get(jar.file_name) == _facts(home / jar.file_name, jar) for jar in jars)
    except (OSError, ValueError):
        return False


def _write_stamp(home: Path, jars: Sequence[Jar]) -> None:
    fresh = home / "verified.json.new"
    fresh.write_text(json.dumps({jar.file_name: _facts(home / jar.file_name, jar) for jar in jars}))
    fresh.replace(home / "verified.json")


def _resolve_lock() -> str:
    """The text of a new lock file: Kafka with everything it needs, and the log binding."""
    import jgo

    artifacts = {
        (artifact.groupId, artifact.artifactId, artifact.version)
        for artifact in [*jgo.resolve(KAFKA), jgo.resolve(LOG_BINDING)[0]]
    }
    lines = [f"# {KAFKA} and {LOG_BINDING}; written by `python -m deploy.local.jars`"]
    with tempfile.TemporaryDirectory() as below:
        for group, artifact, version in sorted(artifacts):
            jar = Jar(group, artifact, version, "")
            lines.append(f"{jar.coordinate}  {_sha256(fetch_with_jgo(jar, Path(below)))}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    LOCK_FILE.write_text(_resolve_lock())
    sys.stderr.write(f"{LOCK_FILE} written\n")
