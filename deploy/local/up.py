"""`pulse up`: everything on one machine, started in order, kept running, drained at the end.

Exit codes: 0 stopped by SIGTERM or SIGINT · 1 something could not be started or died too often · 2 the data
directory is in use.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from deploy.errors import DataInUse, DeployError, EngineUnavailable
from deploy.local.home import Home, Secrets
from deploy.local.plan import DATABASE, Plan, make_plan
from deploy.local.ports import choose
from deploy.local.supervisor import Supervisor
from deploy.prepare import prepare
from schemas.generations import generation_of

log = structlog.get_logger()


def up(
    data: Path,
    port_base: int | None,
    workers: int,
    as_json: bool,
    kafka: str | None,
    clickhouse: str | None,
    teams: Path | None = None,
) -> int:
    """Run an instance in `data` until SIGTERM or SIGINT; the process's exit code.

    `port_base`: None for the usual ports, or others when those are taken; 0 for any free ones. `kafka`,
    `clickhouse`: clusters to use instead of engines of our own (else PULSE_KAFKA, PULSE_CLICKHOUSE). `teams`: a file
    of teams to keep in force.
    With `as_json` one line on stdout tells when everything is ready, and where.
    """
    _log_to_stderr()
    home = Home(data)
    try:
        generation_of(os.environ)  # before anything is started
        with home.locked():
            secrets = home.secrets()
            kafka = kafka or os.environ.get("PULSE_KAFKA") or None
            clickhouse = with_database(clickhouse or os.environ.get("PULSE_CLICKHOUSE") or None)
            elsewhere = [*(["kafka", "kafka-controller"] if kafka else []), *(["clickhouse"] if clickhouse else [])]
            base = choose(port_base, home.last_port_base(), workers, frozenset(elsewhere))
            plan = make_plan(home.root, base, workers, secrets, kafka, clickhouse, teams)
            home.remember_port_base(base)
            asyncio.run(_supervise(home, plan, secrets, as_json))
    except ValueError as error:
        log.error("wrong_setting", error=str(error))
        return 1
    except DeployError as error:
        log.error(error.code, error=str(error))
        return 2 if isinstance(error, DataInUse) else 1
    return 0


def with_database(url: str | None) -> str | None:
    """A ClickHouse address with our database's name when it names none."""
    if url is None or urlsplit(url).path.strip("/"):
        return url
    return f"{url.rstrip('/')}/{DATABASE}"


async def _supervise(home: Home, plan: Plan, secrets: Secrets, as_json: bool) -> None:
    """From the first process to the last. Raises DeployError when it ended for another reason than a signal."""
    supervisor = Supervisor(home, on_start=lambda: home.update_client(pids=supervisor.pids))
    home.update_client(**_addresses(plan), pid=os.getpid())
    asked_to_stop = asyncio.Event()

    def on_signal() -> None:
        if asked_to_stop.is_set():
            supervisor.hurry()  # asked twice
        asked_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    running = asyncio.create_task(_run(home, plan, secrets, supervisor, as_json))
    stop = asyncio.create_task(asked_to_stop.wait())
    try:
        await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        running.cancel()
        stop.cancel()
        log.info("stopping")
        await supervisor.stop(plan.stop_order)
        home.update_client(pid=None, pids={})
    log.info("stopped")


async def _run(home: Home, plan: Plan, secrets: Secrets, supervisor: Supervisor, as_json: bool) -> None:
    supervisor.start(plan.engines)
    await _prepare(plan, supervisor)
    supervisor.start(plan.services)
    await supervisor.ready(plan.services)
    _announce(home, plan, secrets, supervisor, as_json)
    await supervisor.failed


async def _prepare(plan: Plan, supervisor: Supervisor, tries: int = 5) -> None:
    """Bring topics and tables up to date; again when an engine died meanwhile."""
    for left in reversed(range(tries)):
        await supervisor.ready(plan.engines)
        try:
            await prepare(plan.kafka, plan.clickhouse, generation=generation_of(os.environ))
        except EngineUnavailable as error:
            if not left:
                raise
            log.warning("prepare_interrupted", error=str(error))
            await asyncio.sleep(1)
        else:
            return


def _addresses(plan: Plan) -> dict[str, str]:
    doors = {name: plan.service(name) for name in ("ingest", "query", "alerts")}
    return doors | {"kafka": plan.kafka, "clickhouse": plan.clickhouse}


def _announce(home: Home, plan: Plan, secrets: Secrets, supervisor: Supervisor, as_json: bool) -> None:
    if as_json:
        ready = {"ready": True, **_addresses(plan), "keys": secrets.keys, "pids": supervisor.pids}
        sys.stdout.write(json.dumps(ready) + "\n")
    else:
        sys.stdout.write(announcement(home, plan, secrets, to_person=sys.stdout.isatty()))
    sys.stdout.flush()


def announcement(home: Home, plan: Plan, secrets: Secrets, *, to_person: bool) -> str:
    """Where everything is, a line each. The page's address signs in by itself, but only on a terminal.

    Elsewhere the output is kept, by a service manager or in a file, and a key has no place there.
    """
    page = f"{plan.service('query')}/"
    rows = [
        ("page", f"{page}#key={secrets.keys['read']}" if to_person else page),
        ("answers go to", f"{plan.service('ingest')}/v1/responses"),
        ("widget demo", f"{plan.service('ingest')}/demo"),
        ("API", f"{page}docs"),
        ("keys, addresses", str(home.client_file)),
        ("logs", str(home.logs)),
    ]
    return "Pulse is up. Ctrl-C ends it.\n" + "".join(f"  {what:<16} {where}\n" for what, where in rows)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # A line for every refused connection while an engine starts; the supervisor says what matters.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
