"""Live windows = panes summed = a naive recount, after any history; the rings are what the panes say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given

from schemas.scores import TeamScores
from stream.domain import keys, values
from stream.domain.minutes import WINDOWS
from tests.unit.stream.fakes import PARTITION, FakeState, Record, Run, play
from tests.unit.stream.logs import PROPERTY, cut_logs
from tests.unit.stream.recount import Counts, Recount, tally

Log = list[Record]
FAR = 3 * 365 * 24 * 60  # minutes; a score with no due minute holds for ever


def panes_of(state: FakeState) -> Iterator[tuple[str, int, list[int]]]:
    """(team, minute, 22 counts) of every stored pane."""
    for key, raw in state.data.items():
        if key[:1] == b"p":
            yield key[3:-8].decode(), keys.pane_minute(key), values.PANE.unpack(raw)


def teams_of(state: FakeState) -> dict[str, values.Team]:
    return {key[3:].decode(): values.TEAM.unpack(raw) for key, raw in state.data.items() if key[:1] == b"w"}


def summed(panes: Iterable[tuple[int, list[int]]], policy: str) -> Counts:
    part = [score for _, pane in panes for score in range(11) for _ in range(pane[score + 11 * (policy == "latest")])]
    return tally(part)


def minutes_to_try(scores: TeamScores) -> set[int]:
    last = scores.as_of + FAR if scores.valid_until is None else scores.valid_until - 1
    return {scores.as_of, (scores.as_of + last) // 2, last}


@PROPERTY
@given(cut_logs())
def test_live_windows_equal_panes_summed_equal_a_recount_at_every_minute_they_are_valid_for(
    drawn: tuple[Log, list[int]],
) -> None:
    log, cuts = drawn
    for end in {len(log), *cuts[:1]}:
        run = play(log[:end], [cut for cut in cuts if cut < end])
        truth = Recount.of(log[:end], PARTITION)
        panes = list(panes_of(run.state))
        for team, scores in run.scores.items():
            own = [(minute, pane) for name, minute, pane in panes if name == team]
            live = -(-truth.stream_ms // 60_000)
            assert scores.as_of <= live
            assert scores.valid_until is None or live < scores.valid_until
            for t in minutes_to_try(scores):
                for window in scores.windows:
                    inside = [pane for pane in own if t - window.minutes < pane[0] <= t]
                    for policy, shown in (("all", window.all), ("latest", window.latest)):
                        counted = truth.counts(team, policy, t, window.minutes)
                        assert (shown.detractors, shown.passives, shown.promoters) == counted, (team, t, window, policy)
                        assert summed(inside, policy) == counted, (team, t, window.minutes, policy)


@PROPERTY
@given(cut_logs())
def test_every_pane_and_every_published_pane_equals_a_recount_of_its_minute(drawn: tuple[Log, list[int]]) -> None:
    log, cuts = drawn
    run = play(log, cuts)
    truth = Recount.of(log, PARTITION)
    stored = {(team, minute): pane for team, minute, pane in panes_of(run.state)}
    expected = {
        (answer.team, -(-answer.event_ms // 60_000))
        for answer in truth.answers.values()
        if answer.counted and not answer.history
    }
    assert expected <= stored.keys()
    assert {at: [*pane.all, *pane.latest] for at, pane in run.panes.items()} == stored
    for (team, minute), pane in stored.items():
        span = (minute - 1) * 60_000, minute * 60_000
        chosen = truth.all_of(team, *span), truth.latest_of(team, *span, 1 << 62)
        for part, answers in enumerate(chosen):
            histogram = [sum(answer.score == score for answer in answers) for score in range(11)]
            assert pane[part * 11 : part * 11 + 11] == histogram


def assert_rings_are_what_panes_say(run: Run) -> None:
    """Every ring of every team derived again from the panes, and the due keys from the teams."""
    teams = teams_of(run.state)
    for name, team in teams.items():
        inner = 0
        due = []
        for ring, window in zip(team.rings, WINDOWS, strict=True):
            inside = sorted(
                (minute, pane)
                for of, minute, pane in panes_of(run.state)
                if of == name and inner <= team.t - minute < window
            )
            assert ring[0] == (inside[0][0] if inside else 0)
            assert ring[1:] == [*summed(inside, "all"), *summed(inside, "latest")]
            due += [inside[0][0] + window] if inside else []
            inner = window
        assert team.due == min(due, default=0)
    stored = {keys.split_due(key) for key in run.state.data if key[:1] == b"x"}
    assert stored == {(team.due, name) for name, team in teams.items() if team.due}


@PROPERTY
@given(cut_logs())
def test_rings_and_due_keys_derived_again_from_panes_are_equal(drawn: tuple[Log, list[int]]) -> None:
    log, cuts = drawn
    assert_rings_are_what_panes_say(play(log, cuts))


@pytest.mark.parametrize("policy", ["all", "latest"])
def test_the_helper_sums_a_pane_by_bands(policy: str) -> None:
    pane = [1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 2, *([0] * 10), 5]
    assert summed([(1, pane)], policy) == ((2, 2, 2) if policy == "all" else (0, 0, 5))
