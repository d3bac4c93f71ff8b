"""Brings the tables of a ClickHouse up to date with `deploy/clickhouse/*.sql`.

The work is done by clickhouse-migrations, over HTTP: it applies files named `0001_name.sql`, … in order, records
each with its checksum in the table `schema_versions`, and refuses a file that was changed after it was applied.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import urlsplit

from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from clickhouse_migrations.clickhouse_cluster import ClickhouseCluster
from clickhouse_migrations.connection import CLICKHOUSE_CONNECT
from clickhouse_migrations.exceptions import MigrationException

from deploy.errors import EngineUnavailable, MigrationRefused


def migrate_tables(url: str, folder: Path | None = None) -> list[int]:
    """Create the database of `url` if need be and apply what is missing. Applying twice changes nothing.

    `url`: http://[user:password@]host:port/database. `folder`: other files than the packaged ones.

    Returns: the numbers of the files applied now; empty when all were.
    Raises: EngineUnavailable; MigrationRefused when a file has changed since, is unknown here, or fails.
    """
    database = urlsplit(url).path.strip("/") or "default"
    if folder is None:
        with as_file(files("deploy") / "clickhouse") as packaged:
            return migrate_tables(url, packaged)
    try:
        cluster = ClickhouseCluster(db_url=url, driver=CLICKHOUSE_CONNECT)
        applied = cluster.migrate(database, folder, migration_log_format="compact")
    except OperationalError as error:
        address = f"{urlsplit(url).hostname}:{urlsplit(url).port}"
        raise EngineUnavailable("clickhouse", address, 0) from error
    except (MigrationException, ClickHouseError) as error:
        raise MigrationRefused(database, str(error).splitlines()[0]) from error
    return [migration.version for migration in applied]
