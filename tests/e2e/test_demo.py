"""`make demo`, but for making the environment: twice on one folder, the second time until Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.codes import Exit
from tests.e2e.instances import REPO, START_S, environment, pulse
from tests.engines import wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


def test_the_demo_proves_itself_and_a_second_one_goes_on_until_it_is_stopped(tmp_path: Path) -> None:
    data = tmp_path / "data"
    arguments = ("demo", "--data", str(data), "--port-base", "0")
    first = pulse(*arguments, "--once", "--json", timeout_s=START_S + 120)
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["ok"]
    assert (told["compared"], told["differences"], told["missing"]) == (60, [], [])
    assert told["followups_raised"] == told["followups_delivered"] > 0
    assert told["bad_signatures"] == 0

    command = [sys.executable, "-m", "services.cli", *arguments]
    said = tmp_path / "said"
    with said.open("wb") as output:
        second = subprocess.Popen(
            command, env=environment(PYTHONPATH=str(REPO)), cwd=REPO, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: "Ctrl-C ends" in said.read_text() or second.poll() is not None, START_S, "the second demo")
        text = said.read_text()
        assert second.poll() is None, text
        assert "60 scores compared with a recount of the log, 0 differ" in text
        assert "#key=pulse_read_" in text
        second.send_signal(signal.SIGINT)
        assert second.wait(timeout=90) == 0
    finally:
        second.kill()
        second.wait()
    assert json.loads((data / "client.json").read_text())["pid"] is None

    # Stopped, it says how to start it.
    stopped = pulse("teams", "--data", str(data))
    assert stopped.returncode == Exit.UNREACHABLE
    assert f"`pulse up --data {data}` starts it" in stopped.stderr
