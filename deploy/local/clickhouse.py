"""The ClickHouse engine as a process of its own, behind ClickHouse's HTTP protocol.

`python -m deploy.local.clickhouse --data DIR --port P` keeps its data in DIR/clickhouse. SIGTERM ends it after the
queries that run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

import structlog

log = structlog.get_logger()


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exit code 1, with the reason in the log, when that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.clickhouse", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the instance; data is in DIR/clickhouse")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    options = parser.parse_args()
    # Times without a zone are UTC, whatever the machine's zone is. The engine looks when it is loaded: so before that.
    os.environ["TZ"] = "UTC"
    from deploy.local.clickhouse_engine import QueryFailed
    from deploy.local.clickhouse_front import serve

    try:
        asyncio.run(serve(options.data.resolve(), options.port))
    except (OSError, QueryFailed) as error:
        log.error("clickhouse_refused_to_start", error=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
