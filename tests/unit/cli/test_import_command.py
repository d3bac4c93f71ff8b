"""`pulse import` as it is typed: what is refused before anything is sent, what is printed, how it ends."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from services.cli.codes import Exit
from tests.unit.cli.conftest import Pulse

MAP = "team=Team,score=Score,answered_at=When"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "answers.csv"
    path.write_text("Team;Score;When\na;9,0;2026-01-01\na;;2026-01-01\nb;3;2026-01-01\n")
    return str(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--timezone", "Europe/Copenhague"], "no zone 'Europe/Copenhague', did you mean 'Europe/Copenhagen'?"),
        (["--timezone", "../etc/passwd"], "there is no zone"),
        (["--date-format", "%Q"], "--date-format: 'Q' is a bad directive"),
        (["--default-team", "Team A"], "--default-team must be 1 to 64 of"),
        (["--delimiter", "ab"], "--delimiter must be one character"),
        (["--encoding", "klingon"], "there is no encoding 'klingon'"),
        (["--map", "scor=X"], "there is no field 'scor', did you mean 'score'?"),
    ],
)
def test_a_wrong_option_is_refused_by_name(pulse: Pulse, file: str, options: list[str], message: str) -> None:
    given = options if "--map" in options else [*options, "--map", MAP]
    result = pulse("import", file, *given, "--dry-run")
    assert result.exit_code == Exit.USAGE
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "message"), [("none.csv", "there is no file"), (".", "is no file")])
def test_a_file_that_is_none_is_refused(pulse: Pulse, name: str, message: str) -> None:
    result = pulse("import", name, "--map", MAP, "--dry-run")
    assert result.exit_code == Exit.USAGE
    assert message in result.stderr


def test_a_missing_column_is_refused_with_those_there_are(pulse: Pulse, file: str) -> None:
    result = pulse("import", file, "--map", "team=Team,score=Scores,answered_at=When", "--dry-run")
    assert result.exit_code == Exit.USAGE
    assert "there is no column 'Scores', did you mean 'Score'?; the file has: Team, Score, When" in result.stderr


def test_a_dry_run_needs_no_instance_and_tells_everything(pulse: Pulse, file: str) -> None:
    result = pulse("import", file, "--map", MAP, "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "answers.csv: 3 rows, 2 would be sent, 1 rejected",
        "  counted    2: promoters 1 (50 %), passives 0 (0 %), detractors 1 (50 %); NPS 0.00",
        "  rejected   1 score_blank",
        "  see        answers.rejects.csv",
        "  teams      2",
    ]
    assert Path("answers.rejects.csv").exists()


def test_json_is_one_document(pulse: Pulse, file: str) -> None:
    document = json.loads(pulse("import", file, "--map", MAP, "--dry-run", "--json").stdout)
    assert (document["rows"], document["accepted"], document["delimiter"], document["dry_run"]) == (3, 2, ";", True)
    assert document["rejects_file"] == "answers.rejects.csv"


def test_an_import_that_accepts_nothing_has_failed_and_still_tells_why(pulse: Pulse, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("Team,Score,When\na,ten,2026-01-01\n")
    result = pulse("import", str(path), "--map", MAP, "--dry-run", "--json")
    assert result.exit_code == Exit.FAILED
    assert json.loads(result.stdout)["rejected_by_reason"] == {"score_not_a_number": 1}
    assert "no row of" in result.stderr


def test_without_an_instance_nothing_is_read(pulse: Pulse, file: str) -> None:
    assert pulse("import", file, "--map", MAP).exit_code == Exit.UNREACHABLE
    assert not Path("answers.rejects.csv").exists()


def test_an_instance_that_does_not_run_is_told_at_once(pulse: Pulse, file: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    result = pulse("import", file, "--map", MAP, "--url", url, "--key", "k", env={"XDG_STATE_HOME": "state"})
    assert result.exit_code == Exit.UNREACHABLE
    assert "does not answer" in result.stderr
