"""Where the log, the states and their checkpoints are: an instance's data folder, or a worker's own settings."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from deploy.errors import DataInUse, DeployError
from deploy.local.home import Home
from deploy.local.plan import make_plan
from deploy.local.ports import choose
from deploy.local.probes import kafka_answers
from deploy.local.supervisor import Supervisor
from schemas.generations import Generation
from services.cli.codes import Exit, Fail
from services.cli.configuration import load
from services.cli.instance import data_folder, generation_of, read_client_file
from stream.settings import WorkerSettings
from stream.state import root_of


@dataclass(frozen=True, slots=True)
class Place:
    """`states`: the state folders of the workers, at least one. `data`: the folder of a `pulse up`, if one is meant."""

    kafka: str
    generation: Generation
    states: tuple[Path, ...]
    checkpoints: Path | None
    data: Path | None


def find_place(data: Path | None, environ: Mapping[str, str] = os.environ) -> Place:
    """A data folder when one is named or no worker is set up in the environment. Fails when there is none."""
    if data is None and "PULSE_DATA" not in environ and "PULSE_STATE_DIR" in environ:
        loaded = load(WorkerSettings)
        if isinstance(loaded, list):
            raise Fail(Exit.USAGE, "; ".join(f"{item.variable} {item.problem}" for item in loaded))
        settings = cast(WorkerSettings, loaded)
        copies = settings.checkpoint_dir
        checkpoints = root_of(Path(copies), settings.log) if copies else None
        return Place(settings.kafka, settings.log, (root_of(settings.state_dir, settings.log),), checkpoints, None)
    folder = data_folder(data, environ)
    client = read_client_file(folder)
    states = sorted(path for path in (folder / "state").glob("worker-*") if path.is_dir())
    generation = generation_of(environ)
    return Place(
        client.kafka,
        generation,
        tuple(root_of(path, generation) for path in states or [folder / "state" / "worker-0"]),
        root_of(folder / "checkpoints", generation),
        folder,
    )


@asynccontextmanager
async def log_of(place: Place) -> AsyncIterator[str]:
    """The address of the Kafka that has the log. That of an instance which does not run is started for the while."""
    if await kafka_answers(place.kafka):
        yield place.kafka
        return
    if place.data is None or not (place.data / "kafka").is_dir():
        raise Fail(Exit.UNREACHABLE, f"no Kafka answers at {place.kafka}")
    home = Home(place.data)
    try:
        with home.locked():
            base = choose(None, home.last_port_base(), 1)
            engine = make_plan(home.root, base, 1, home.secrets()).engines[0]
            supervisor = Supervisor(home)
            supervisor.start([engine])
            try:
                await supervisor.ready([engine])
                yield engine.address
            finally:
                await supervisor.stop([[engine.name]])
    except DataInUse as error:
        raise Fail(Exit.NOT_READY, f"{error}, and its Kafka does not answer yet") from None
    except DeployError as error:
        raise Fail(Exit.UNREACHABLE, str(error)) from None
