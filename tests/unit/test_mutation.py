"""What `make mutate` makes of mutmut's notes: the sample, the score, the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.mutation import __main__ as mutation

NAMES = [f"stream.domain.keys.x_text__mutmut_{number}" for number in range(100)]
DOMAIN = Path(__file__).parents[2] / "stream" / "domain"


def test_a_sample_is_the_same_whatever_order_the_names_come_in_and_never_more_than_there_are() -> None:
    drawn = mutation.sample(NAMES, 7)
    assert drawn == mutation.sample(NAMES[::-1], 7)
    assert len(set(drawn)) == 7
    assert drawn != mutation.sample(NAMES, 7, seed=1)
    assert mutation.sample(NAMES, None) == mutation.sample(NAMES, 1_000) == sorted(NAMES)


def test_a_score_is_the_share_of_the_tried_that_something_noticed() -> None:
    codes = {"failed": 1, "endless": 36, "passed": 0, "untested": 33, "not run": None, "not asked for": 0}
    found = mutation.score("keys", codes, ["failed", "endless", "passed", "untested", "not run"])
    assert (found.mutants, found.tried, found.percent) == (6, 4, 50.0)
    assert found.survivors == ["passed", "untested"]
    assert found.unknown == ["not run"]
    assert mutation.score("keys", codes, []).percent is None


def test_the_table_ends_with_the_sum() -> None:
    codes = {"a": 1, "b": 0}
    lines = mutation.table(
        [mutation.score("keys", codes, ["a", "b"]), mutation.score("ids", codes, ["a"])]
    ).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["keys", "2", "2", "1", "50", "%"],
        ["ids", "2", "1", "1", "100", "%"],
        ["all", "4", "3", "2", "67", "%"],
    ]


def test_every_module_with_functions_of_the_domain_can_be_asked_for() -> None:
    files = {path.stem for path in DOMAIN.glob("*.py")} - {"__init__", "view"}  # a port has nothing to change
    assert set(mutation.MODULES) == files


@pytest.mark.parametrize(("least", "code"), [("50", 0), ("51", 1)])
def test_the_exit_code_tells_a_score_below_the_least(
    least: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mutants" / "stream" / "domain"
    folder.mkdir(parents=True)
    left = folder / "left-over"
    left.touch()
    notes = {"exit_code_by_key": {"stream.domain.ids.x_a": 0, "stream.domain.ids.x_b": 1}}
    asked: list[tuple[str, ...]] = []

    def mutmut(*arguments: str) -> str:
        asked.append(arguments)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ids.py.meta").write_text(json.dumps(notes), encoding="utf-8")
        return "--- a.py\n+++ a.py\n-    return 1\n+    return 2\n"

    monkeypatch.setattr(mutation, "MUTANTS", folder)
    monkeypatch.setattr(mutation, "mutmut", mutmut)
    monkeypatch.setattr(sys, "argv", ["mutate", "ids", "--least", least])
    assert mutation.main() == code
    assert not left.exists(), "a run begins anew"
    assert asked[1][-2:] == ("stream.domain.ids.x_a", "stream.domain.ids.x_b")
    assert "survived: stream.domain.ids.x_a\n-    return 1\n+    return 2\n" in capsys.readouterr().out


def test_a_module_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mutate", "nothing"])
    with pytest.raises(SystemExit):
        mutation.main()
