"""From records of the output topics to rows: every type, every column."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from msgspec import structs

from schemas import topics
from schemas.changes import AnswerChange, Correction, PaneChange, PaneDelta, Position, TeamChanges, WindowMove
from schemas.feedback import Act, Policy
from schemas.followups import Case, FollowupEvent, Refused
from schemas.people import Person, person_key
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.scores import Counts, TeamScores, WindowScore
from stream.rows import ROWS_OF, TABLES, Row

MINUTE = 29_833_334
AT_MS = 1_790_000_040_123
GENERATION = 3
COMMAND = "0191b0a4-52f1-7a3e-8d6c-4b1e2f3a9c70"

CASE = Case(
    case_id="case",
    team="acme",
    response_id="a-1",
    score=3,
    state="open",
    n=2,
    raised_ms=AT_MS,
    changed_ms=AT_MS + 1,
    contact_due_ms=AT_MS + 2,
    resolve_due_ms=AT_MS + 3,
    answers=("a-1", "a-2"),
    version=7,
)


def rows(topic: str, record: msgspec.Struct, key: bytes | None = None, offset: int = 0) -> list[tuple[str, Row]]:
    return list(ROWS_OF[topic](key, msgspec.json.encode(record), offset, GENERATION))


def named(table: str, row: Row) -> dict[str, Any]:
    return dict(zip(TABLES[table], row, strict=True))


NOT_THE_SINKS = {"alarms"}  # written by the alerts service


class TestTables:
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Tables and their columns as the migrations make them, without what ClickHouse works out itself."""
        sql = "".join(
            path.read_text() for path in sorted((files("deploy") / "clickhouse").iterdir(), key=lambda path: path.name)
        )
        found = {}
        for name, body in re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)\n\(\n(.*?)\n\)\nENGINE", sql, re.DOTALL):
            lines = re.findall(r"^ {4}(\w+) (.*)$", body, re.MULTILINE)
            found[name] = tuple(column for column, rest in lines if "MATERIALIZED" not in rest)
        for name, body in re.findall(r"^ALTER TABLE (\w+)\n(.*?);$", sql, re.DOTALL | re.MULTILINE):
            added = re.findall(r"ADD COLUMN IF NOT EXISTS (\w+)", body)
            after = re.search(r"^ {4}AFTER (\w+)", body, re.MULTILINE)
            place = len(found[name]) if after is None else found[name].index(after[1]) + 1
            found[name] = (*found[name][:place], *added, *found[name][place:])
        return found

    def test_are_those_of_the_migrations_with_the_same_columns_in_the_same_order(self) -> None:
        assert {name: columns for name, columns in self.columns().items() if name not in NOT_THE_SINKS} == dict(TABLES)

    def test_positions_come_last(self) -> None:
        assert list(TABLES)[-1] == "positions"

    def test_every_topic_but_the_log_has_rows(self) -> None:
        assert set(ROWS_OF) == {topic.name for topic in topics.TOPICS} - {topics.FEEDBACK}


class TestChanges:
    PANE = PaneChange(MINUTE, 7, [1, *[0] * 10], [0] * 11)
    ANSWER = AnswerChange("a-1", 7, AT_MS, AT_MS + 1, 5, 3)
    CORRECTION = Correction(
        *("c-1", 7, AT_MS, MINUTE, "late", "a-1"),
        [PaneDelta(MINUTE, "all", 3, -1)],
        [WindowMove(60, "latest", (1, 0, 0), (0, 0, 1))],
    )

    def test_a_record_gives_a_row_for_each_thing_that_changed(self) -> None:
        record = TeamChanges("acme", [self.PANE, self.PANE], [self.ANSWER], [self.CORRECTION])
        assert [table for table, _ in rows(topics.TEAM_CHANGES, record)] == ["panes", "panes", "answers", "corrections"]

    def test_an_empty_record_gives_none(self) -> None:
        assert rows(topics.TEAM_CHANGES, TeamChanges("acme")) == []

    def test_a_pane_is_named_by_the_second_it_ends_at(self) -> None:
        ((table, row),) = rows(topics.TEAM_CHANGES, TeamChanges("acme", [self.PANE]))
        assert (table, row) == ("panes", ("acme", MINUTE * 60, [1, *[0] * 10], [0] * 11, 7))

    def test_an_answer_without_anything_optional_has_empty_texts(self) -> None:
        ((table, row),) = rows(topics.TEAM_CHANGES, TeamChanges("acme", [], [self.ANSWER]))
        found = named(table, row)
        assert (found["event_at"], found["known_at"], found["first_offset"]) == (AT_MS, AT_MS + 1, 5)
        assert (found["respondent"], found["survey"], found["case_id"], found["callback_at"]) == ("", "", "", None)
        assert (tuple(found["reasons"]), found["history"], found["personal"], found["attributes"]) == (
            (),
            False,
            False,
            {},
        )

    def test_everything_an_answer_came_with_is_kept(self) -> None:
        full: dict[str, Any] = {
            "respondent": "who",
            "reasons": ("test",),
            "history": True,
            "personal": True,
            "survey": "s",
            "channel": "web",
            "locale": "da",
            "medium": "sms",
            "callback_ms": AT_MS,
            "age_group": "18-25",
            "attributes": {"plan": "pro"},
            "case_id": "case",
            "not_raised": "too_old",
            "revision": 4,
        }
        answer = msgspec.structs.replace(self.ANSWER, **full)
        ((table, row),) = rows(topics.TEAM_CHANGES, TeamChanges("acme", [], [answer]))
        found = named(table, row)
        found["callback_ms"] = found.pop("callback_at")
        assert {name: tuple(v) if isinstance(v := found[name], list) else v for name in full} == full

    def test_of_an_erased_answer_the_row_says_only_when_it_was_given(self) -> None:
        least = msgspec.structs.replace(self.ANSWER, score=0, erased=True)
        more = {"respondent": "who", "survey": "s", "attributes": {"plan": "pro"}, "case_id": "case", "personal": True}
        talkative = msgspec.structs.replace(self.ANSWER, reasons=("test",), revision=4, erased=True, **more)
        ((_, row),) = rows(topics.TEAM_CHANGES, TeamChanges("acme", [], [least]))
        assert rows(topics.TEAM_CHANGES, TeamChanges("acme", [], [talkative])) == [("answers", row)]
        found = named("answers", row)
        assert [found[name] for name in ("erased", "event_at", "known_at", "first_offset")] == [1, AT_MS, AT_MS + 1, 5]
        assert (found["score"], found["respondent"], found["attributes"]) == (0, "", {})

    def test_a_correction_keeps_its_deltas_and_its_moves(self) -> None:
        ((table, row),) = rows(topics.TEAM_CHANGES, TeamChanges("acme", [], [], [self.CORRECTION]))
        found = named(table, row)
        assert found["deltas"] == [(MINUTE * 60, "all", 3, -1)]
        assert found["windows"] == [(60, "latest", [1, 0, 0], [0, 0, 1])]
        assert (found["known_at"], found["as_of"]) == (AT_MS, MINUTE * 60)

    @pytest.mark.parametrize("topic", [topics.TEAM_CHANGES, topics.FOLLOWUPS])
    def test_a_position_is_a_row_of_the_topic_it_stands_in(self, topic: str) -> None:
        assert rows(topic, Position(9, 100)) == [("positions", (topic, 9, 100, GENERATION << 48 | 100))]


class TestScores:
    def test_a_row_for_each_window_and_policy(self) -> None:
        windows = [WindowScore(m, Counts(1, 2, 3), Counts(0, 1, 2)) for m in (60, 1440)]
        found = rows(topics.TEAM_SCORES, TeamScores("acme", MINUTE, MINUTE + 60, 7, windows))
        assert {table for table, _ in found} == {"scores"}
        assert [row for _, row in found] == [
            ("acme", minutes, policy, MINUTE * 60, (MINUTE + 60) * 60, *counts, 7)
            for minutes in (60, 1440)
            for policy, counts in (("all", (1, 2, 3)), ("latest", (0, 1, 2)))
        ]

    def test_an_empty_team_is_valid_for_ever(self) -> None:
        score = TeamScores("acme", MINUTE, None, 7, [WindowScore(60, Counts(0, 0, 0), Counts(0, 0, 0))])
        assert {named(*found)["valid_until"] for found in rows(topics.TEAM_SCORES, score)} == {None}


class TestFollowups:
    def test_an_event_gives_the_case_as_it_stands_and_the_event(self) -> None:
        event = FollowupEvent("event", "followup.raised", AT_MS, CASE, "a-1")
        (first, case), (second, said) = rows(topics.FOLLOWUPS, event)
        assert (first, second) == ("followups", "followup_events")
        found = named(first, case)
        assert tuple(found["answers"]) == ("a-1", "a-2")
        assert [found[name] for name in ("raised_at", "changed_at", "contact_due_at", "resolve_due_at")] == [
            AT_MS + number for number in range(4)
        ]
        assert (found["owner"], found["joined_into"], found["callback_at"], found["version"]) == ("", "", None, 7)
        assert said[:11] == ("case", 2, "event", "acme", "followup.raised", AT_MS, "a-1", "open", 3, "", 7)
        assert said[11:] == ("", "", "", None, "", "", "", 0, AT_MS)

    def test_a_case_that_is_said_again_is_a_case_and_no_event_of_it(self) -> None:
        ((table, _),) = rows(topics.FOLLOWUPS, FollowupEvent("event", "followup.carried", AT_MS, CASE))
        assert table == "followups"

    def test_what_a_clock_tells_says_of_which_clock_and_how_far_up_it_goes(self) -> None:
        event = FollowupEvent("event", "followup.escalated", AT_MS, CASE, clock="contact", level=2)
        _, (_, said) = rows(topics.FOLLOWUPS, event)
        assert said[4:11] == ("followup.escalated", AT_MS, "", "open", 3, "", 7)
        assert said[-3:] == ("contact", 2, CASE.raised_ms)

    def test_what_a_person_did_stands_beside_the_event_and_among_the_commands(self) -> None:
        act = Act(COMMAND, "case", "callback", "kim", medium="phone", at_ms=AT_MS + 9, note="note")
        case = structs.replace(CASE, agreed_ms=AT_MS + 9, attempts=2, contacts=1, notes=("note",), owner="kim")
        event = FollowupEvent("event", "followup.callback_agreed", AT_MS, case, act=act)
        (_, stored), (_, said), (table, command) = rows(topics.FOLLOWUPS, event)
        found = named("followups", stored)
        assert (found["agreed_at"], found["attempts"], found["contacts"]) == (AT_MS + 9, 2, 1)
        assert (found["notes"], found["owner"], found["contacted_at"], found["cause"]) == (("note",), "kim", None, "")
        told = named("followup_events", said)
        assert (told["actor"], told["medium"], told["outcome"]) == ("kim", "phone", "")
        assert (told["until"], told["cause"], told["note"], told["owner"]) == (AT_MS + 9, "", "note", "kim")
        assert table == "followup_commands"
        asked = named(table, command)
        assert msgspec.json.decode(asked.pop("act"), type=Act) == act
        assert asked == {
            "case_id": "case",
            "command_id": COMMAND,
            "team": "acme",
            "at": AT_MS,
            "refused_for": "",
            "allowed": (),
            "causes": (),
            "state": "open",
            "n": 2,
            "version": 7,
        }

    def test_what_was_refused_is_a_command_and_no_event(self) -> None:
        act = Act(COMMAND, "case", "resolve", "kim", cause="price")
        known = Refused("event", AT_MS, "acme", act, "stale", 7, ("assign", "note"), "open", 2, causes=("price",))
        ((table, row),) = rows(topics.FOLLOWUPS, known)
        asked = named(table, row)
        assert (table, asked["refused_for"], asked["allowed"]) == ("followup_commands", "stale", ("assign", "note"))
        assert (asked["state"], asked["n"], asked["at"], asked["version"]) == ("open", 2, AT_MS, 7)
        assert asked["causes"] == ("price",)
        ((_, row),) = rows(topics.FOLLOWUPS, Refused("event", AT_MS, "acme", act, "unknown_case", 7))
        asked = named(table, row)
        assert (asked["refused_for"], asked["allowed"], asked["state"], asked["n"]) == ("unknown_case", (), "", 0)


class TestPeople:
    def version(self, revision: int = 0, offset: int = 0, generation: int = 1, *, deleted: bool = False) -> int:
        person = Person("acme", "a-1", revision=revision)
        value = None if deleted else msgspec.json.encode(person)
        ((_, row),) = ROWS_OF[topics.PEOPLE](person_key("acme", "a-1"), value, offset, generation)
        return int(named("people", row)["version"])

    def test_the_text_of_an_answer(self) -> None:
        person = Person(
            *("acme", "a-1"),
            revision=2,
            comment="Nej",
            respondent_id="r",
            name="Ane",
            email="a@b",
            phone="+45",
            answers={"q": 1, "ø": None},
        )
        ((table, row),) = rows(topics.PEOPLE, person)
        found = named(table, row)
        assert [found[name] for name in TABLES["people"][:8]] == ["acme", "a-1", 2, "Nej", "r", "Ane", "a@b", "+45"]
        assert msgspec.json.decode(found["answers"]) == {"q": 1, "ø": None}
        assert found["deleted"] == 0

    def test_what_was_not_said_is_empty(self) -> None:
        ((table, row),) = rows(topics.PEOPLE, Person("acme", "a-1"))
        assert set(named(table, row).values()) == {"acme", "a-1", 0, "", GENERATION << 36, None}

    def test_a_note_names_its_case_and_when_it_was_sent(self) -> None:
        ((table, row),) = rows(
            topics.PEOPLE, Person("acme", "n-1", comment="Wants a refund", case_id="c-1", noted_ms=7)
        )
        found = named(table, row)
        assert (found["comment"], found["case_id"], found["noted_at"]) == ("Wants a refund", "c-1", 7)

    def test_a_tombstone_is_a_deleted_row_of_its_key(self) -> None:
        ((table, row),) = ROWS_OF[topics.PEOPLE](b"acme|a-1", None, 5, 1)
        found = named(table, row)
        assert (found["team"], found["response_id"], found["deleted"], found["comment"]) == ("acme", "a-1", 1, "")

    def test_a_later_record_wins_over_an_earlier_one(self) -> None:
        assert self.version(offset=6) > self.version(offset=5)

    def test_an_old_retry_does_not_win_over_a_newer_revision(self) -> None:
        assert self.version(revision=1, offset=5) > self.version(revision=0, offset=1 << 35)
        assert self.version(revision=1, generation=1) > self.version(revision=0, generation=100)

    def test_a_later_generation_wins_over_any_offset(self) -> None:
        assert self.version(generation=2, offset=0) > self.version(generation=1, offset=(1 << 36) - 1)

    def test_nothing_comes_back_after_a_tombstone(self) -> None:
        assert self.version(offset=0, deleted=True) > self.version(
            revision=1_000_000, offset=(1 << 36) - 1, generation=100
        )

    def test_revisions_beyond_what_the_version_holds_do_not_spill_over(self) -> None:
        assert self.version(revision=1 << 60) < self.version(deleted=True)
        assert self.version(revision=1 << 60) < 1 << 64

    @pytest.mark.parametrize("key", [None, b"", b"acme", b"\xff|x"])
    def test_a_tombstone_of_no_key_is_an_error(self, key: bytes | None) -> None:
        with pytest.raises(ValueError, match=r"key|utf-8"):
            list(ROWS_OF[topics.PEOPLE](key, None, 5, 1))


class TestRejects:
    def test_a_reject_keeps_the_record_as_it_was(self) -> None:
        reject = Reject("id", topics.FEEDBACK, 3, 9, AT_MS, "undecodable", "not JSON", "acme", b"\x00\xff")
        ((table, row),) = rows(topics.REJECTS, reject)
        assert (table, row) == (
            "rejects",
            ("id", topics.FEEDBACK, 3, 9, AT_MS, "undecodable", "not JSON", "acme", b"\x00\xff"),
        )

    def test_one_without_a_record_has_none(self) -> None:
        ((table, row),) = rows(topics.REJECTS, Reject("id", topics.PEOPLE, 3, 9, AT_MS, "row_refused"))
        assert (named(table, row)["record"], named(table, row)["key"]) == (b"", "")


@pytest.mark.parametrize("topic", [topic for topic in ROWS_OF if topic != topics.PEOPLE])
@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"type":"other"}', b"\xff"])
def test_what_is_no_record_of_the_topic_is_a_value_error(topic: str, value: bytes | None) -> None:
    with pytest.raises((msgspec.DecodeError, ValueError)):
        list(ROWS_OF[topic](b"acme", value, 0, 1))


def test_a_policy_becomes_a_row_without_its_hours() -> None:
    config = {"timezone": "UTC", "name": "Zürich"}
    policy = Policy(
        "abc", contact_ms=2, resolve_ms=3, open=(10, 20), until_ms=30, root_causes=("billing",), config=config
    )
    ((table, row),) = rows(topics.TEAM_POLICIES, TeamPolicy("acme", 7, AT_MS, policy))
    assert table == "policies"
    found = named(table, row)
    assert msgspec.json.decode(found.pop("config")) == config
    assert found == {
        "team": "acme",
        "version": 7,
        "set_at": AT_MS,
        "rev": "abc",
        "until": 30,
        "contact_ms": 2,
        "resolve_ms": 3,
        "root_causes": ("billing",),
    }
