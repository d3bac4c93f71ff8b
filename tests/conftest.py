"""Fixtures that every test may use. The real engines start once a session, and only if a test asks for them."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.engines import Engines

QUICK = bool(os.environ.get("TESTS_QUICK"))  # `make quick`
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own there

# The same examples each time, however slow the machine is: a test that fails must fail again.
settings.register_profile(
    "pulse",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=15 if QUICK else 50,
)
settings.load_profile("pulse")

# Half of the time of many small databases goes into waiting for a disk.
if QUICK and "TMPDIR" not in os.environ and IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > 1 << 30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """The session's engines. Only tests that ask for them pay for them, and for what they import."""
    from tests.engines import temporary

    with temporary() as running:
        yield running


def pytest_collection_finish() -> None:
    """The tests stand until the end: the collector need not look at thousands of them again and again."""
    gc.collect()
    gc.freeze()


if "PYTEST_XDIST_WORKER" in os.environ:

    def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """As pytest does it, but of a test that passed one message goes to the process that prints, not five."""
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.when == "call" or not report.passed:
                item.ihook.pytest_runtest_logreport(report=report)
        return True
