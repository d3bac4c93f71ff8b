"""`pulse repartition`: what it refuses before it does anything, and what it says came of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from deploy.generations import Found
from schemas.generations import FIRST, Generation
from schemas.scores import Counts, WindowScore
from services.cli.codes import Exit, Fail
from services.cli.repartition.command import _may_begin, run_repartition
from services.cli.repartition.shown import Outcome, document, show
from stream.copying import Copied, Seen
from stream.facts import Compared, Facts
from stream.merging import Command

SECOND = Generation(2, 5)


@pytest.mark.parametrize(
    ("partitions", "undo", "drop_old"), [(None, False, False), (5, True, False), (5, False, True), (None, True, True)]
)
def test_one_thing_has_to_be_asked_for(partitions: int | None, undo: bool, drop_old: bool) -> None:
    with pytest.raises(Fail, match="say one of") as refused:
        run_repartition(partitions=partitions, generation=None, undo=undo, drop_old=drop_old, data=None, as_json=False)
    assert refused.value.code == Exit.USAGE


@pytest.mark.parametrize("generation", [1, 128])
def test_the_new_generation_is_a_later_one(generation: int, data: Path) -> None:
    with pytest.raises(Fail, match="--generation must be from 2 to 127"):
        run_repartition(partitions=5, generation=generation, undo=False, drop_old=False, data=data, as_json=False)


@pytest.mark.parametrize(
    ("old", "found", "why"),
    [
        (FIRST, [], "no whole generation 1"),
        (SECOND, [Found(FIRST, True), Found(SECOND, False)], "no whole generation 2"),
        (FIRST, [Found(Generation(1, 8), True)], "has 8 partitions: set PULSE_PARTITIONS"),
        (FIRST, [Found(FIRST, True), Found(SECOND, True)], "whole already: start everything with PULSE_GENERATION=2"),
        (FIRST, [Found(FIRST, True), Found(Generation(4, 5), False)], "generation 4 is being made"),
    ],
)
def test_what_would_not_come_to_a_right_copy_is_refused(old: Generation, found: list[Found], why: str) -> None:
    with pytest.raises(Fail, match=why):
        _may_begin(old, Generation(old.number + 1, 5), found)


def test_a_first_try_and_one_after_a_copy_that_was_cut_short_may_begin() -> None:
    _may_begin(FIRST, SECOND, [Found(FIRST, True)])
    _may_begin(FIRST, SECOND, [Found(FIRST, True), Found(Generation(2, 7), False)])


def facts(answers: int, promoters: int) -> Facts:
    counts = Counts(0, 0, promoters)
    return Facts(answers, 1, 2, [WindowScore(minutes, counts, counts) for minutes in (60, 10_080)], "digest")


def outcome(new: Facts) -> Outcome:
    seen = Seen({}, [Command(1, b"", {0: 1}), Command(2, b"", dict.fromkeys(range(16), 1))], 0)
    teams = [Compared("blue", facts(3, 2), facts(3, 2)), Compared("red", facts(4, 4), new)]
    return Outcome(FIRST, SECOND, seen, Copied(records=7, commands=2, misplaced=1, texts=3), teams)


def test_an_equal_copy_says_what_everything_has_to_be_started_with(capsys: pytest.CaptureFixture[str]) -> None:
    same = outcome(facts(4, 4))
    told = document(same)
    assert told["ok"]
    assert told["settings"] == {"PULSE_GENERATION": "2", "PULSE_PARTITIONS": "5"}
    assert told["answers"] == {"old": 7, "new": 7}
    assert told["copied"]["commands_completed"] == 1
    assert told["teams"][0]["new"]["windows"]["7d"]["all"] == [0, 0, 2]
    assert msgspec.json.encode(told)
    show(same)
    said = capsys.readouterr().out
    assert "2 teams, 0 differ; 7 answers in generation 1, 7 in generation 2" in said
    assert "PULSE_GENERATION=2 PULSE_PARTITIONS=5" in said
    assert "commands that stood in some partitions only, and now in all: 1" in said
    assert "left behind, as they lay in a wrong partition and were rejected: 1" in said


def test_a_copy_that_differs_names_the_team_with_both_sides_and_is_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    other = outcome(facts(5, 4))
    assert document(other)["settings"] is None
    assert [team["team"] for team in document(other)["teams"] if not team["equal"]] == ["red"]
    show(other)
    said = capsys.readouterr().out
    assert "DIFFERS" in said
    assert "NOT equal: generation 2 is not used" in said
    assert "Start everything" not in said


def test_a_team_that_one_side_does_not_have_differs(capsys: pytest.CaptureFixture[str]) -> None:
    lost = Outcome(FIRST, SECOND, Seen({}, [], 0), Copied(), [Compared("red", facts(4, 4), None)])
    assert not lost.equal
    show(lost)
    assert "–" in capsys.readouterr().out
