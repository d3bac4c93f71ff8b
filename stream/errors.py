"""Every error the stream raises on purpose.

StreamError
├── StateNotOfThisLog   the local state was folded from another log; ends the process
├── StateInUse          a worker has the state open that was to be replaced; nothing was done
├── Fenced              another process runs under the same name; the earlier one ends
├── LogMismatch         the log has another shape than this program was built for; ends the process
└── Revoked             the partition was taken away while work on it went on; the work is left as it is
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()
EXIT_FATAL: Final = 70  # EX_SOFTWARE


class StreamError(Exception):
    """Base class. `code` is a stable label for logs and metrics."""

    code = "stream_error"


class StateNotOfThisLog(StreamError):
    code = "state_not_of_this_log"

    def __init__(self, partition: int, position: int, why: str) -> None:
        super().__init__(
            f"the state of partition {partition} at position {position} was not made from this log: {why}; "
            "move the state folder away and start again: it is rebuilt from the log"
        )
        self.partition = partition
        self.position = position


class StateInUse(StreamError):
    code = "state_in_use"

    def __init__(self, partition: int, path: Path) -> None:
        super().__init__(f"a worker has the state of partition {partition} open ({path}); stop it first")
        self.partition = partition
        self.path = path


class Fenced(StreamError):
    code = "fenced"

    def __init__(self, name: str) -> None:
        super().__init__(f"another process has joined the group as {name}; each needs a name of its own")
        self.name = name


class LogMismatch(StreamError):
    code = "log_mismatch"


class Revoked(StreamError):
    code = "revoked"


@contextmanager
def fatal_on_error() -> Iterator[None]:
    """End the process at once, before any commit, on anything but cancellation and revocation.

    Faust acknowledges a batch whose handler raised, so nothing may escape an agent's body; a supervisor restarts us,
    and the position in the state makes sure that nothing is lost or counted twice.
    """
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit, Revoked):
        raise
    except BaseException as error:
        log.critical("fatal", error=type(error).__name__, code=getattr(error, "code", ""), exc_info=True)
        os._exit(EXIT_FATAL)
