"""What has been shown changes only by corrections, and they say exactly how."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from schemas.changes import Correction
from stream.domain.minutes import WINDOWS
from tests.unit.stream.fakes import PARTITION, Record, play
from tests.unit.stream.knowing import KnowingRecount
from tests.unit.stream.logs import PROPERTY, cut_logs
from tests.unit.stream.recount import Counted, Counts, tally

Log = list[Record]
OFFSETS = (1 << 48) - 1  # a version's lower bits are the offset


def moved(corrections: list[Correction], policy: str, after: int, until: int) -> Counts:
    """Net (D, N, P) of the deltas of one policy in minutes (after, until]."""
    net = [0, 0, 0]
    for correction in corrections:
        for delta in correction.deltas:
            if delta.policy == policy and after < delta.minute <= until:
                band = tally([delta.score])
                net = [total + delta.change * part for total, part in zip(net, band, strict=True)]
    return net[0], net[1], net[2]


def pane(answer: Counted) -> int:
    return -(-answer.event_ms // 60_000)


def minus(a: Counts, b: Counts) -> Counts:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@PROPERTY
@given(cut_logs(), st.data())
def test_what_was_shown_changes_by_exactly_the_deltas_of_the_corrections_since(
    drawn: tuple[Log, list[int]], data: st.DataObject
) -> None:
    """counts(T known K2) - counts(T known K1) = all deltas in (T - W, T] with position in (K1, K2].

    As far as the horizon at K2 reaches back: older panes change no more.
    """
    log, cuts = drawn
    k1 = data.draw(st.integers(0, len(log)), label="K1")
    k2 = data.draw(st.integers(k1, len(log)), label="K2")
    run = play(log, cuts)
    then, later = KnowingRecount.of(log[:k1], PARTITION), KnowingRecount.of(log[:k2], PARTITION)
    between = {record.offset for record in log[k1:k2]}
    shown_until = (then.stream_ms - 60_000) // 60_000  # the last minute whose end was at least a minute ago
    ages = data.draw(st.lists(st.integers(0, 3_000) | st.integers(0, 600_000), min_size=1, max_size=3), label="ages")
    for team in {team for team, _ in later.answers}:
        since = [item for of, item in run.corrections if of == team and item.version & OFFSETS in between]
        for t in {shown_until, *(shown_until - age for age in ages)}:
            for minutes in (*WINDOWS, None):
                after = max(later.closed - 1, -1 if minutes is None else t - minutes)
                for policy in ("all", "latest"):
                    change = minus(later.counts(team, policy, t, t - after), then.counts(team, policy, t, t - after))
                    assert moved(since, policy, after, t) == change, (team, t, minutes, policy)


@PROPERTY
@given(cut_logs())
def test_a_correction_shows_each_live_window_that_moved_right_before_and_after(drawn: tuple[Log, list[int]]) -> None:
    log, cuts = drawn
    index_of = {record.offset: index for index, record in enumerate(log)}
    # One record makes one correction of a team, but when it erases several answers: then they follow each other.
    of_record: dict[tuple[str, int], list[Correction]] = defaultdict(list)
    for team, correction in play(log, cuts).corrections:
        of_record[team, index_of[correction.version & OFFSETS]].append(correction)
    for (team, index), corrections in of_record.items():
        correction = corrections[0]
        if len(corrections) > 1:
            assert {item.cause for item in corrections} == {"erasure"}
        before, after = KnowingRecount.of(log[:index], PARTITION), KnowingRecount.of(log[: index + 1], PARTITION)
        t = correction.as_of
        assert correction.known_ms == after.stream_ms
        assert t == -(-after.stream_ms // 60_000)
        told: dict[tuple[int, str], tuple[Counts, Counts]] = {}
        for move in (move for item in corrections for move in item.windows):
            first, last = told.get((move.minutes, move.policy), (move.before, move.before))
            assert move.before == last
            told[move.minutes, move.policy] = first, move.after
        told = {name: moves for name, moves in told.items() if moves[0] != moves[1]}
        expected = {}
        for minutes in after.windows:
            for policy in ("all", "latest"):
                counts = before.counts(team, policy, t, minutes), after.counts(team, policy, t, minutes)
                if counts[0] != counts[1]:
                    expected[minutes, policy] = counts
        assert told == expected


@PROPERTY
@given(cut_logs())
def test_a_change_of_a_counted_answer_is_always_a_correction_and_a_duplicate_never(
    drawn: tuple[Log, list[int]],
) -> None:
    log, cuts = drawn
    corrected = Counter(correction.version & OFFSETS for _, correction in play(log, cuts).corrections)
    truth = KnowingRecount(PARTITION)
    for record in log:
        before = dict(truth.answers)
        truth.read(record)
        for name in truth.just_forgotten:
            del before[name]
        gone = [answer for name, answer in before.items() if name not in truth.answers]
        if gone:
            open_panes = [answer for answer in gone if not answer.history and pane(answer) >= truth.closed]
            assert corrected[record.offset] == sum(answer.counted for answer in open_panes)
            continue
        changed = [name for name, answer in truth.answers.items() if before.get(name) != answer]
        if not changed:
            assert record.offset not in corrected
            continue
        (name,) = changed
        old, new = before.get(name), truth.answers[name]
        if new.history or pane(new) < truth.closed:
            assert record.offset not in corrected
            continue
        counted = new.counted or (old is not None and old.counted)
        shown = pane(new) * 60_000 <= truth.stream_ms - 60_000
        if counted and (old is not None or shown):
            assert corrected[record.offset] == 1
        elif not counted:
            assert record.offset not in corrected
