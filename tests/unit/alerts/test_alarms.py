"""Score alarms in the service: raised once, said to everybody, ended, and none the wiser for a crash."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from services.alerts.alarms.counts import Unreachable
from services.alerts.alarms.records import DAY_MS, Alarm, Note, NoteKind, alarm_id
from services.alerts.alarms.store import FILE, AlarmsFile
from services.alerts.alarms.watch import Watch
from services.alerts.alarms.work import Alarms
from services.alerts.deliveries import Silence, silent_until
from services.alerts.retries import LAST_WITHIN_MS, Outcome
from services.alerts.store_file import NotOurFile
from stream.domain.scores import Tally
from tests.unit.alerts.builders import until

TODAY: Final = 20_000
NOON: Final = TODAY * DAY_MS + DAY_MS // 2
USUAL, LOW = Tally(2, 3, 5), Tally(6, 2, 2)  # 30 and -40 points
TIMEOUT = Outcome("retry", "timeout")


class FakeCounts:
    """Plays ClickHouse: days by team. A change of a team's days gives it another version."""

    def __init__(self) -> None:
        self.teams: dict[str, dict[int, Tally]] = {}
        self.asked: list[str] = []
        self.down = False
        self._versions: dict[str, int] = {}
        self._next = itertools.count(1)

    def fell(self, team: str, since: int, until: int = TODAY, a_day: Tally = LOW) -> None:
        """180 days of what is usual, then the low score from day `since` to `until`."""
        days = dict.fromkeys(range(since - 180, since), USUAL) | dict.fromkeys(range(since, until + 1), a_day)
        self.set(team, self.teams.get(team, {}) | days)

    def set(self, team: str, days: dict[int, Tally]) -> None:
        self.teams[team] = days
        self._versions[team] = next(self._next)

    async def versions(self, since: int) -> Mapping[str, int]:
        if self.down:
            raise Unreachable("OperationalError")
        return {team: self._versions[team] for team, days in self.teams.items() if max(days) >= since}

    async def days(self, teams: Sequence[str], since: int) -> Mapping[str, Mapping[int, Tally]]:
        self.asked += teams
        return {team: {day: c for day, c in self.teams[team].items() if day >= since} for team in teams}


class FakeSpeaker:
    """A channel that answers as it is told to, and remembers."""

    def __init__(self, name: str, *outcomes: Outcome) -> None:
        self.name = name
        self.outcomes = list(outcomes)
        self.said: list[Note] = []

    def says(self, kind: NoteKind) -> bool:
        return True

    async def say(self, note: Note) -> Outcome:
        self.said.append(note)
        return self.outcomes.pop(0) if self.outcomes else Outcome("delivered", "204")


class Place:
    """One folder, and processes that come and go in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts = FakeCounts()
        self.speakers = [FakeSpeaker("webhook"), FakeSpeaker("log")]
        self.now_ms = NOON
        self.silences: list[Silence] = []
        self.start()

    def start(self) -> None:
        self.file = AlarmsFile(self.folder, lambda *_: dict.fromkeys((speaker.name for speaker in self.speakers), 0))
        self.watch = Watch(self.counts, self.file, 0.05)
        self.work = Alarms(
            self.watch, self.file, self.speakers, 0.01, lambda: self.now_ms, lambda: 0.0, silenced=self.silenced
        )

    def silenced(self, team: str, channel: str, now_ms: int) -> int:
        return silent_until(self.silences, team, channel, now_ms)

    def restart(self) -> None:
        """What a kill and a new start come to: nothing is left but the file."""
        self.file.close()
        self.start()

    async def look(self, day: int = TODAY) -> list[Alarm]:
        self.now_ms = day * DAY_MS + DAY_MS // 2
        return await self.watch.look(self.now_ms)

    def kinds(self) -> list[list[str]]:
        return [[note.kind for note in speaker.said] for speaker in self.speakers]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    yield place
    place.file.close()


async def test_a_fall_is_raised_once_and_said_once_to_everybody(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    place.counts.set("quiet", dict.fromkeys(range(TODAY - 200, TODAY + 1), USUAL))
    (alarm,) = await place.look()
    assert (alarm.team, alarm.since, alarm.teams) == ("support", TODAY - 9, 2)
    assert (alarm.before, alarm.after) == (Tally(360, 540, 900), Tally(60, 20, 20))
    assert alarm.alarm_id == alarm_id("support", TODAY - 9)
    assert await place.work.say_due() is None
    for _ in range(2):
        assert await place.look() == []
        place.restart()
    await place.work.say_due()
    assert place.kinds() == [["alarm.raised"], ["alarm.raised"]]
    ((listed, told),) = await place.file.listed(None, None, 10)
    assert listed == alarm
    assert sorted((one.channel, one.state, one.attempts) for one in told) == [
        ("log", "delivered", 1),
        ("webhook", "delivered", 1),
    ]


async def test_what_was_not_said_before_a_crash_is_said_after_it_under_the_same_id(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    await place.look()
    place.speakers[0].outcomes = [TIMEOUT]
    again_ms = await place.work.say_due()
    assert again_ms == place.now_ms + 1_000
    place.restart()
    assert await place.work.say_due() == again_ms
    place.now_ms = again_ms
    assert await place.work.say_due() is None
    first, second = place.speakers[0].said
    assert first == second
    assert len(place.speakers[1].said) == 1


async def test_the_same_fall_has_the_same_id_when_the_folder_is_lost(place: Place, tmp_path: Path) -> None:
    place.counts.fell("support", TODAY - 9)
    (alarm,) = await place.look()
    other = Place(tmp_path / "other")
    other.counts = place.counts
    other.watch = Watch(place.counts, other.file, 0.05)
    (again,) = await other.look()
    other.file.close()
    assert again == alarm


async def test_only_teams_whose_counts_changed_are_looked_at_and_all_of_them_once_a_day(place: Place) -> None:
    for team in ("a", "b"):
        place.counts.set(team, dict.fromkeys(range(TODAY - 100, TODAY + 1), USUAL))
    await place.look()
    await place.look()
    assert place.counts.asked == ["a", "b"]
    place.counts.fell("b", TODAY - 9)
    (alarm,) = await place.look()
    assert (alarm.team, place.counts.asked) == ("b", ["a", "b", "b"])
    await place.look(TODAY + 1)
    assert place.counts.asked == ["a", "b", "b", "a", "b"]


async def test_among_many_teams_a_fall_has_to_be_clearer(place: Place) -> None:
    place.counts.fell("support", TODAY - 4)
    for number in range(400):
        place.counts.set(f"quiet-{number}", {TODAY: USUAL})
    assert await place.look() == []
    place.counts.fell("support", TODAY - 9)
    assert [alarm.team for alarm in await place.look()] == ["support"]


async def test_an_alarm_whose_answers_are_excluded_is_withdrawn_and_comes_again_with_them(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    (raised,) = await place.look()
    place.counts.set("support", dict.fromkeys(range(TODAY - 189, TODAY + 1), USUAL))
    (ended,) = await place.look()
    assert (ended.alarm_id, ended.ending, ended.n) == (raised.alarm_id, "withdrawn", 2)
    assert ended.now == Tally(20, 30, 50)
    place.counts.fell("support", TODAY - 9)
    (again,) = await place.look()
    assert (again.alarm_id, again.ending, again.n) == (raised.alarm_id, None, 3)
    await place.work.say_due()
    assert place.kinds()[0] == ["alarm.raised", "alarm.ended", "alarm.raised"]
    assert len({note.note_id for note in place.speakers[0].said}) == 3


async def test_an_alarm_ends_when_the_score_is_back_and_the_next_fall_is_another(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    (first,) = await place.look()
    days = place.counts.teams["support"] | dict.fromkeys(range(TODAY + 1, TODAY + 31), USUAL)
    place.counts.set("support", days)
    (ended,) = await place.look(TODAY + 30)
    assert (ended.alarm_id, ended.ending) == (first.alarm_id, "recovered")
    assert await place.look(TODAY + 31) == []
    place.counts.set("support", days | {day: Tally(8, 1, 1) for day in range(TODAY + 35, TODAY + 46)})
    (second,) = await place.look(TODAY + 45)
    assert second.since >= TODAY + 35
    assert second.alarm_id != first.alarm_id
    assert [alarm.alarm_id for alarm, _ in await place.file.listed("support", True, 9)] == [second.alarm_id]
    assert [alarm.alarm_id for alarm, _ in await place.file.listed("support", False, 9)] == [first.alarm_id]


async def test_a_fall_that_stays_settles_and_is_not_raised_again(place: Place) -> None:
    place.counts.fell("support", TODAY - 9, TODAY + 180)
    (raised,) = await place.look()
    (settled,) = await place.look(raised.since + 90)
    assert settled.ending == "settled"
    for later in range(91, 181, 15):
        assert await place.look(raised.since + later) == []


async def test_numbers_of_an_open_alarm_follow_the_counts(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    (raised,) = await place.look()
    place.counts.fell("support", TODAY - 9, TODAY + 3)
    assert await place.look(TODAY + 3) == []
    ((alarm, _),) = await place.file.listed("support", None, 9)
    assert (alarm.after, alarm.now) == (raised.after, Tally(78, 26, 26))


async def test_a_database_that_is_away_costs_nothing_but_time(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    place.counts.down = True
    running = asyncio.create_task(place.work.run())
    with pytest.raises(TimeoutError):
        await until(lambda: place.speakers[0].said, 0.1)
    place.counts.down = False
    await until(lambda: all(speaker.said for speaker in place.speakers))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert place.kinds() == [["alarm.raised"], ["alarm.raised"]]


async def test_a_channel_that_is_gone_is_left_alone_until_the_next_start(place: Place) -> None:
    place.speakers[0].outcomes = [Outcome("gone", "410")]
    place.counts.fell("support", TODAY - 9)
    place.counts.fell("sales", TODAY - 9)
    assert len(await place.look()) == 2
    await place.work.say_due()
    assert [len(speaker.said) for speaker in place.speakers] == [1, 2]
    place.restart()
    place.now_ms += 60_000
    await place.work.say_due()
    assert [len(speaker.said) for speaker in place.speakers] == [3, 2]


async def test_what_nobody_took_for_four_days_is_given_up(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    await place.look()
    place.speakers.pop()  # not configured any more
    await place.work.say_due()
    place.now_ms += LAST_WITHIN_MS + 1
    place.restart()
    await place.work.say_due()
    ((_, told),) = await place.file.listed(None, None, 9)
    assert {(one.channel, one.state) for one in told} == {("webhook", "delivered"), ("log", "given_up")}


async def test_a_note_says_since_when_how_far_and_where_the_answers_are(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    await place.look()
    await place.work.say_due()
    (note,) = place.speakers[0].said
    assert note.headline == "NPS of support fell from 30 to -40"
    assert "2024-09-25" in note.lines[0]
    assert note.data["explain"] == "/v1/teams/support/score/explain?window=13680m&as_of=2024-10-04T12:00:00Z"
    assert note.data["before"]["nps"] == pytest.approx(30)
    assert note.data["change"]["low"] < note.data["change"]["points"] == -70 < note.data["change"]["high"] < 0


async def test_a_silence_holds_a_note_back_for_as_long_as_it_lasts_and_longer_than_any_age(place: Place) -> None:
    ends_ms = NOON + 30 * DAY_MS
    place.silences = [Silence("1", "support", "webhook", ends_ms, NOON, "")]
    place.counts.fell("support", TODAY - 9)
    await place.look()
    assert await place.work.say_due() == ends_ms
    place.restart()
    place.now_ms = ends_ms - 1
    assert await place.work.say_due() == ends_ms
    assert place.kinds() == [[], ["alarm.raised"]]
    place.now_ms = ends_ms
    assert await place.work.say_due() is None
    assert place.kinds() == [["alarm.raised"], ["alarm.raised"]]


async def test_a_silence_that_is_ended_lets_out_what_no_other_holds(place: Place) -> None:
    place.silences = [Silence("1", None, None, NOON + DAY_MS, NOON, ""), Silence("2", None, "log", NOON + 9, NOON, "")]
    place.counts.fell("support", TODAY - 9)
    await place.look()
    await place.work.say_due()
    place.silences.pop(0)
    assert await place.work.say_due() == NOON + DAY_MS  # nobody has said that it is over
    place.work.look()
    assert await place.work.say_due() == NOON + 9
    assert place.kinds() == [["alarm.raised"], []]


async def test_what_is_silenced_is_told_in_order_and_the_end_goes_to_who_was_told_of_the_alarm(place: Place) -> None:
    place.counts.fell("support", TODAY - 9)
    await place.look()
    place.speakers[0].outcomes = [TIMEOUT]
    await place.work.say_due()
    place.counts.set("support", dict.fromkeys(range(TODAY - 200, TODAY + 1), USUAL))
    place.speakers.append(FakeSpeaker("new"))
    place.restart()
    (over,) = await place.watch.look(place.now_ms)
    assert over.ending is not None
    await place.work.say_due()
    assert place.kinds() == [["alarm.raised"], ["alarm.raised", "alarm.ended"], []]
    place.now_ms += 2_000
    await place.work.say_due()
    assert place.kinds() == [["alarm.raised"] * 2 + ["alarm.ended"], ["alarm.raised", "alarm.ended"], []]


async def test_a_file_of_the_first_version_is_read_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.counts.fell("support", TODAY - 9)
    await place.look()
    place.file.close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.executescript(
            "ALTER TABLE notes DROP COLUMN since_ms; ALTER TABLE notes DROP COLUMN held; PRAGMA user_version = 1"
        )
    file.close()
    place.start()
    await place.work.say_due()
    assert place.kinds() == [["alarm.raised"]] * 2
    place.file.close()


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    file = AlarmsFile(tmp_path, lambda *_: {})
    file._file.execute("PRAGMA user_version = 9")  # noqa: SLF001
    file.close()
    with pytest.raises(NotOurFile, match="version 9"):
        AlarmsFile(tmp_path, lambda *_: {})
