"""`pulse config check alerts` reads the targets file as the service does."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import app


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "targets.toml"
    for name, value in (("KAFKA", "k:9092"), ("CLICKHOUSE", "http://c:8123/p"), ("ALERTS_DIR", "alerts")):
        monkeypatch.setenv(f"PULSE_{name}", value)
    monkeypatch.setenv("PULSE_ALERTS_CONFIG", str(file))
    return file


def test_a_targets_file_that_is_right_passes(environment: Path) -> None:
    environment.write_text('[targets.lines]\nkind = "log"\n')
    assert CliRunner().invoke(app, ["config", "check", "alerts"]).exit_code == 0


def test_a_targets_file_that_is_wrong_is_told_with_its_line(environment: Path) -> None:
    environment.write_text('[targets.lines]\nkind = "log"\nurl = "https://x"\n')
    result = CliRunner().invoke(app, ["config", "check", "alerts", "--json"])
    assert result.exit_code == 2
    assert "line 3: targets.lines.url is not known for this kind" in result.output
