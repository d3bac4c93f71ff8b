"""A real export into a real instance: counted once, however often and in whatever length it is imported."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.instances import REPO, Instance, running

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

EXPORT = REPO.parent / "shared" / "data" / "instructor-training.csv"
MAP = "team=MemberSite,score=LikelyToRecommend,answered_at=Date"
OPTIONS = ("--date-format", "%m/%d/%y %H:%M", "--timezone", "UTC", "--slugify", "--default-team", "none")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("import")) as started:
        yield started


@pytest.fixture
def export() -> Path:
    """The export of instructor trainings, which is no part of the repository."""
    if not EXPORT.exists() and not os.environ.get("CI"):
        pytest.skip(f"NOT PROVED HERE: there is no {EXPORT}; CI has it")
    assert EXPORT.exists(), f"CI must have {EXPORT}"
    return EXPORT


def imported(instance: Instance, file: Path, rejects: Path, *options: str) -> dict[str, Any]:
    """Import; wait until what was sent can be read; the summary."""
    summary: dict[str, Any] = instance.says("import", str(file), *options, "--rejects", str(rejects))
    positions = ",".join(f"{partition}:{offset}" for partition, offset in summary["positions"].items())
    instance.says("score", "--at-least", positions)
    return summary


def everything(instance: Instance) -> dict[str, Any]:
    found: dict[str, Any] = instance.says("score", "--window", "all")
    return found


def test_the_instructor_training_export_counts_once(instance: Instance, export: Path, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    summary = imported(instance, export, rejects, "--map", MAP, *OPTIONS)
    assert (summary["rows"], summary["counted"], summary["rejected"]) == (967, 889, 78)
    assert summary["rejected_by_reason"] == {"score_blank": 78}
    with rejects.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 78
    assert all(row["reject_reason"] == "score_blank" and row["LikelyToRecommend"] == "" and row["Date"] for row in rows)

    score = everything(instance)
    assert (score["promoters"], score["passives"], score["detractors"], score["n"]) == (501, 317, 71, 889)
    assert score["nps"] == pytest.approx(48.37, abs=0.005)
    assert instance.says("followups")["items"] == []

    # Again: nothing new.
    assert imported(instance, export, rejects, "--map", MAP, *OPTIONS)["accepted"] == 889
    assert everything(instance)["n"] == 889

    # A longer export: ten rows at the top, three of them like rows that are there.
    lines = export.read_text(encoding="utf-8").splitlines(keepends=True)
    new = [f'{number},9/10/18 10:{number:02d},,"A new site",,,,,10,\n' for number in range(7)] + lines[1:4]
    longer = tmp_path / "longer.csv"
    longer.write_text("".join([lines[0], *new, *lines[1:]]), encoding="utf-8")
    assert imported(instance, longer, rejects, "--map", MAP, *OPTIONS)["accepted"] == 899
    assert everything(instance)["n"] == 899
    assert instance.says("score", "a-new-site", "--window", "all")["n"] == 7
    assert instance.says("followups")["items"] == []


def test_a_recent_export_from_a_spreadsheet_is_in_the_live_windows_and_raises_follow_ups(
    instance: Instance, tmp_path: Path
) -> None:
    """Semicolons, a legacy encoding, decimal commas, local times, a person to call."""
    file = tmp_path / "svar.csv"
    at = (datetime.now(UTC) - timedelta(hours=2)).strftime("%d.%m.%Y %H:%M")
    rows = [
        ("Kundeservice Øst", "10,0", "Søren", "dejligt"),
        ("kundeservice øst", " 3 ", "Åse", "for langsomt"),
        ("", "6,9", "", ""),
    ]
    text = "Hold;Score;Tid;Navn;Kommentar\r\n" + "".join(f"{t};{s};{at};{n};{c}\r\n" for t, s, n, c in rows)
    file.write_bytes(text.encode("cp1252"))
    columns = "team=Hold,score=Score,answered_at=Tid,name=Navn,comment=Kommentar"
    options = ("--map", columns, "--date-format", "%d.%m.%Y %H:%M", "--slugify")
    summary = imported(instance, file, tmp_path / "rejects.csv", *options)
    assert (summary["encoding"], summary["delimiter"]) == ("cp1252", ";")
    assert (summary["accepted"], summary["rejected_by_reason"]) == (2, {"team_blank": 1})
    score = instance.says("score", "kundeservice-ost", "--window", "24h")
    assert (score["n"], score["promoters"], score["detractors"]) == (2, 1, 1)
    [case] = instance.says("followups", "--team", "kundeservice-ost")["items"]
    assert (case["score"], case["state"], case["comment"]) == (3, "open", "for langsomt")
    assert case["contact"]["name"] == "Åse"
