"""Makes a Kafka and a ClickHouse ready for the services: topics, database, tables.

`python -m deploy.prepare` does it once for the clusters of PULSE_KAFKA and PULSE_CLICKHOUSE, as compose and Helm need
it before the services start; `pulse up` calls the same function for its own engines. Doing it twice changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from functools import partial

import structlog

from deploy.errors import DeployError
from deploy.generations import check_generation
from deploy.local.probes import clickhouse_answers, kafka_answers, until
from deploy.migrate import migrate_tables
from deploy.topics import migrate_topics
from schemas.generations import FIRST, Generation, generation_of

log = structlog.get_logger()


async def prepare(
    kafka: str, clickhouse: str, *, replication: int | None = None, generation: Generation = FIRST
) -> None:
    """Bring topics and tables up to date. Raises DeployError; EngineUnavailable is worth another try."""
    await check_generation(kafka, generation)
    topics = await migrate_topics(kafka, generation.topics(), replication=replication)
    tables = await asyncio.to_thread(migrate_tables, clickhouse)
    log.info("prepared", topics_created=topics.created, topics_altered=topics.altered, tables_applied=tables)


async def _wait_and_prepare(
    kafka: str, clickhouse: str, replication: int | None, within_s: float, generation: Generation
) -> None:
    await until(partial(kafka_answers, kafka), "kafka", kafka, within_s)
    await until(partial(clickhouse_answers, clickhouse), "clickhouse", clickhouse.rpartition("@")[2], within_s)
    await prepare(kafka, clickhouse, replication=replication, generation=generation)


def main() -> None:
    """Exit code 0 when everything is ready, 1 with the reason on stderr when it is not."""
    parser = argparse.ArgumentParser(prog="python -m deploy.prepare", description=__doc__)
    parser.add_argument("--replication", type=int, help="replicas of new topics; default 3, or the number of brokers")
    parser.add_argument("--within", type=float, default=120.0, help="seconds to wait for both to answer")
    options = parser.parse_args()
    missing = [name for name in ("PULSE_KAFKA", "PULSE_CLICKHOUSE") if not os.environ.get(name)]
    if missing:
        sys.exit(f"{' and '.join(missing)} must be set")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a line for every refused connection
    try:
        asyncio.run(
            _wait_and_prepare(
                os.environ["PULSE_KAFKA"],
                os.environ["PULSE_CLICKHOUSE"],
                options.replication,
                options.within,
                generation_of(os.environ),
            )
        )
    except ValueError as error:
        sys.exit(str(error))
    except DeployError as error:
        sys.exit(f"{error.code}: {error}")


if __name__ == "__main__":
    main()
