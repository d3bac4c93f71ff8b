"""`pulse replay` against a whole instance: while it runs, when it is stopped, and when a state is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas import topics
from services.cli.codes import Exit
from stream.checkpoints import Checkpoints
from stream.state import folder_of
from tests.e2e.instances import Instance, pulse, running
from tests.engines import wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

ROWS = 3_000


def fill(instance: Instance, folder: Path) -> dict[int, int]:
    """Import answers of twenty teams; the position to wait for of each partition."""
    lines = [f"team-{n % 20},{n % 11},2026-10-{1 + n % 28:02d}T10:{n % 60:02d}:00Z,p{n % 50}" for n in range(ROWS)]
    file = folder / "rows.csv"
    file.write_text("\n".join(["team,score,at,who", *lines]) + "\n")
    fields = "team=team,score=score,answered_at=at,respondent=who"
    told = instance.says("import", str(file), "--map", fields, "--rejects", str(folder / "rejects.csv"))
    positions: dict[str, int] = told["positions"]
    instance.says("score", "--at-least", ",".join(f"{n}:{offset}" for n, offset in positions.items()))
    return {int(partition): offset for partition, offset in positions.items()}


def test_a_replay_finds_an_instance_equal_and_a_broken_state_not_and_mends_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, PULSE_CHECKPOINT_EVERY="PT1S") as instance:
        positions = fill(instance, tmp_path)
        copies = Checkpoints(data / "checkpoints", data)

        def copied() -> bool:
            return all(any(one.position > offset for one in copies.of(number)) for number, offset in positions.items())

        wait_for(copied, 60, "a checkpoint of everything")
        told = instance.says("replay", "--verify")
        assert told["ok"]
        assert sum(each["records"] for each in told["partitions"]) >= ROWS
        assert sum(each["outputs"]["compared"] for each in told["partitions"]) > ROWS
        assert {each["partition"] for each in told["partitions"]} >= positions.keys()
        refused = instance.pulse("replay", "--rebuild")
        assert refused.returncode == Exit.USAGE
        assert "stop it first" in refused.stderr
    busiest = max(positions, key=lambda number: positions[number])
    state = folder_of(data / "state" / "worker-0", busiest)
    said = verified(data)  # Kafka is started for it
    assert said["ok"]
    assert len(said["partitions"]) <= topics.PARTITIONS
    (state / "CURRENT").write_text("broken")
    rebuilt = pulse("replay", "--rebuild", "--partition", str(busiest), "--data", str(data))
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "rebuilt:" in rebuilt.stdout
    assert verified(data, "--partition", str(busiest))["ok"]
    with running(data) as instance:
        assert instance.says("score")["n"] is not None
        assert "checkpoint_restored" not in (data / "logs" / "worker-0.log").read_text()


def verified(data: Path, *more: str) -> dict[str, list[object]]:
    done = pulse("replay", "--verify", "--data", str(data), "--json", *more)
    assert done.returncode == 0, done.stderr + done.stdout
    document: dict[str, list[object]] = json.loads(done.stdout)
    return document
