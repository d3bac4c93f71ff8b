"""A naive recount of the log: reads everything from the start, keeps no sums, shares no code with the fold.

It is written from the contract alone, in the plainest way, and is what the fold is measured against.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Protocol

from aiokafka.partitioner import murmur2

Counts = tuple[int, int, int]  # detractors, passives, promoters
CAME_WITH = ("survey", "channel", "locale", "medium", "callback_ms", "age_group", "attributes")
DAY_MS = 24 * 60 * 60 * 1000
HORIZON = 400 * 24 * 60  # minutes: the horizon, after which an answer is forgotten


class LogRecord(Protocol):
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True)
class Counted:
    """One answer as the log's records leave it. `calls`: a detractor that somebody must follow up.

    `came_with`: survey, channel, locale, medium, agreed time to call back, age group, attributes.
    """

    team: str
    response_id: str
    event_ms: int
    first_offset: int
    history: bool
    revision: int
    content: str
    score: int
    respondent: str | None
    test: bool
    reasons: frozenset[str]
    calls: bool
    came_with: tuple[Any, ...] = ()
    received: int = 0  # minute
    reask_of: str | None = None

    @property
    def counted(self) -> bool:
        return not self.reasons

    @property
    def detractor(self) -> bool:
        return self.counted and self.score <= 6


@dataclass
class Recount:
    """What the records so far come to. `rejected`: offset to reason; `unchanged`: offsets that had no effect.

    `in_case`: whether an old answer is in a case that is still there. Cases are not recounted: who measures logs of
    more than 400 days has to know.
    """

    partition: int
    in_case: Callable[[tuple[str, str]], bool] = lambda name: False
    stream_ms: int = 0
    answers: dict[tuple[str, str], Counted] = field(default_factory=dict)
    marks: dict[tuple[str, str], dict[str, bool]] = field(default_factory=dict)
    marked: dict[tuple[str, str], int] = field(default_factory=dict)  # minute of the last mark
    just_forgotten: list[tuple[str, str]] = field(default_factory=list)  # by the last record
    forgotten: dict[tuple[str, str], Counted] = field(default_factory=dict)  # ever; as they were last
    windows: tuple[int, ...] = (60, 1440, 7 * 1440, 30 * 1440, 90 * 1440)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)  # by team
    erased: set[tuple[str, str]] = field(default_factory=set)
    commands: dict[tuple[str, str], int] = field(default_factory=dict)  # of people, to when they came
    past_commands: set[tuple[str, str]] = field(default_factory=set)
    notes: set[tuple[str, str]] = field(default_factory=set)
    came_again: bool = False  # whether the last record was a command that had been decided on
    tombstones: list[tuple[str, str]] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    unchanged: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, log: Iterable[LogRecord], partition: int) -> Recount:
        self = cls(partition)
        for record in log:
            self.read(record)
        return self

    def read(self, record: LogRecord) -> None:
        appended = dict(record.headers).get("pulse-appended-ms")
        at_ms = int(appended) if appended is not None else record.timestamp
        self.stream_ms = max(self.stream_ms, at_ms)
        self._forget()
        reason = self._apply(record, at_ms)
        if reason is not None:
            self.rejected[record.offset] = reason

    @property
    def minute(self) -> int:
        """The live minute."""
        return -(-self.stream_ms // 60_000)

    @property
    def closed(self) -> int:
        """Panes before this minute are older than the horizon, and change no more."""
        return self.minute - HORIZON

    def _forget(self) -> None:
        """An answer is forgotten 400 days after it came, and not before its case, with its marks; marks without an
        answer are forgotten 400 days after the last one."""
        closed = self.closed
        for name in [name for name in self.marks if name not in self.answers and self.marked[name] < closed]:
            del self.marks[name]
        # Both stand in the order in which they came.
        done = {name for name, _ in takewhile(lambda one: -(-one[1] // 60_000) < closed, self.commands.items())}
        self.past_commands |= done
        for name in done:
            del self.commands[name]
        old = [name for name, _ in takewhile(lambda one: one[1].received < closed, self.answers.items())]
        self.just_forgotten = [name for name in old if not self.in_case(name)]
        for name in self.just_forgotten:
            self.forgotten[name] = self.answers.pop(name)
            self.marks.pop(name, None)

    def _apply(self, record: LogRecord, at_ms: int) -> str | None:
        if record.value is None:
            return "no_value"
        try:
            fields: dict[str, Any] = json.loads(record.value)
        except ValueError:
            return "undecodable"
        if fields["type"] == "answer" and fields["score"] not in range(11):
            return "undecodable"
        if fields["type"] in ("tick", "carry_windows"):
            return None
        if fields["type"] == "act" and fields["kind"] == "snooze" and "until_ms" not in fields:
            return "bad_field"
        if fields["type"] == "windows":
            minutes = fields["minutes"]
            if sorted(set(minutes)) != minutes or not 1 <= len(minutes) <= 20 or not 0 < minutes[0] <= minutes[-1]:
                return "bad_field"
            if minutes[-1] > 366 * 1440:
                return "bad_field"
            self.windows = tuple(minutes)
            return None
        if fields["type"] == "erase_respondent":
            for name in [name for name, one in self.answers.items() if one.respondent == fields["respondent"]]:
                self._erase(name)
            return None
        if record.key is None:
            return "no_key"
        if not re.fullmatch(rb"[a-z0-9][a-z0-9._-]*", record.key) or len(record.key) > 64:
            return "bad_key"
        if (murmur2(record.key) & 0x7FFFFFFF) % 16 != self.partition:
            return "wrong_partition"
        if fields["type"] == "policy":
            hours = fields.get("open", [])
            if len(hours) % 2 or sorted(set(hours)) != hours or fields.get("contact_ms", 1) <= 0:
                return "bad_field"
            self.policies[record.key.decode()] = fields
            return None
        if fields["type"] == "carry":
            return None  # a whole log holds what it says
        if fields["type"] == "act":
            name = record.key.decode(), fields["command_id"]
            self.came_again = name in self.commands
            self.commands.setdefault(name, self.stream_ms)
            if "note" in fields:
                note = record.key.decode(), fields["note"]
                (self.notes.discard if name in self.past_commands else self.notes.add)(note)
            return None
        name = record.key.decode(), fields["response_id"]
        if fields["type"] == "erase":
            self._erase(name)
            return None
        if name in self.erased:
            if fields["type"] == "answer":
                self.tombstones.append(name)
            return "erased"
        if fields["type"] in ("exclude", "include"):
            self.marks.setdefault(name, {})[fields["reason"]] = fields["type"] == "exclude"
            self.marked[name] = self.minute
            if name in self.answers:
                self.answers[name] = self._standing(self.answers[name], at_ms, self.answers[name])
            return None
        return self._answer(record, record.key.decode(), fields, at_ms)

    def _erase(self, name: tuple[str, str]) -> None:
        self.answers.pop(name, None)
        self.erased.add(name)
        self.tombstones.append(name)

    def _standing(self, answer: Counted, at_ms: int, old: Counted | None) -> Counted:
        """The answer with the reasons not to count it, and whether somebody must follow it up."""
        marks = self.marks.get((answer.team, answer.response_id), {})
        reasons = {reason for reason, excluded in marks.items() if excluded}
        if answer.test and "test" not in marks:
            reasons.add("test")
        if old is not None and old.reasons == reasons and answer is old:
            return old
        answer = replace(answer, reasons=frozenset(reasons))
        within_ms = self.policies.get(answer.team, {}).get("raise_within_ms", 7 * DAY_MS)
        in_time = not answer.history and at_ms - answer.event_ms <= within_ms
        return replace(answer, calls=answer.detractor and (in_time or (old is not None and old.calls)))

    def _answer(self, record: LogRecord, team: str, fields: dict[str, Any], at_ms: int) -> str | None:
        name = team, fields["response_id"]
        old = self.answers.get(name)
        revision = fields.get("revision", 0)
        answered = fields.get("answered_ms")
        if old is None:
            if revision > 0 and answered is None:
                return "unknown_original"
            event_ms = at_ms if answered is None else min(answered, at_ms)
            first_offset = record.offset
            history = self.stream_ms - event_ms > 400 * DAY_MS
            received = self.minute
        else:
            if revision < old.revision or (revision == old.revision and fields["content"] == old.content):
                self.unchanged.add(record.offset)
                return None
            event_ms, first_offset, history, received = old.event_ms, old.first_offset, old.history, old.received
        new = Counted(
            team=team,
            response_id=fields["response_id"],
            event_ms=event_ms,
            first_offset=first_offset,
            history=history,
            revision=revision,
            content=fields["content"],
            score=fields["score"],
            respondent=fields.get("respondent"),
            test=fields.get("test", False),
            reasons=frozenset(),
            calls=False,
            came_with=tuple(fields.get(name) or None for name in CAME_WITH),
            received=received,
            reask_of=_uuid(fields.get("reask_of")),
        )
        self.answers[name] = self._standing(new, at_ms, old)
        return None

    def promised(self, team: str, clock: str, usual_ms: int) -> int:
        """When a promise that is given now falls due: working hours are used up one interval after another."""
        policy = self.policies.get(team, {})
        left: int = policy.get(clock, usual_ms)
        hours: list[int] = policy.get("open") or [0, 0]
        for start, end in [*zip(hours[::2], hours[1::2], strict=True), (int(policy.get("until_ms", 0)), 1 << 62)]:
            worked = max(0, end - max(start, self.stream_ms))
            if left <= worked:
                return max(start, self.stream_ms) + left
            left -= worked
        raise AssertionError("the last interval has no end")

    # -- counts ---------------------------------------------------------------------------------------------------

    def all_of(self, team: str, after_ms: int | None, until_ms: int) -> list[Counted]:
        """Policy `all`: counted answers with after_ms < event time <= until_ms."""
        return [answer for answer in self._of(team) if _within(answer, after_ms, until_ms)]

    def latest_of(self, team: str, after_ms: int | None, until_ms: int, known_until_ms: int) -> list[Counted]:
        """Policy `latest`: each respondent's newest counted answer up to `known_until_ms`, if in the window."""
        newest: dict[str, Counted] = {}
        for answer in self._of(team):
            if answer.event_ms > known_until_ms:
                continue
            who = answer.response_id if answer.respondent is None else "respondent " + answer.respondent
            held = newest.get(who)
            if held is None or (held.event_ms, held.first_offset) < (answer.event_ms, answer.first_offset):
                newest[who] = answer
        return [answer for answer in newest.values() if _within(answer, after_ms, until_ms)]

    def counts(self, team: str, policy: str, t: int, minutes: int | None, *, as_live: bool = True) -> Counts:
        """(D, N, P) of the window (t - minutes, t]. `as_live`: a respondent's newest of all, even one after `t`."""
        until_ms = t * 60_000
        after_ms = None if minutes is None else until_ms - minutes * 60_000
        if policy == "all":
            chosen = self.all_of(team, after_ms, until_ms)
        else:
            chosen = self.latest_of(team, after_ms, until_ms, 1 << 62 if as_live else until_ms)
        return tally(answer.score for answer in chosen)

    def panes(self) -> dict[str, dict[int, list[int]]]:
        """Of each team its minutes with 22 counts: scores 0..10 of policy `all`, then of `latest`; none that is 0."""
        found: dict[str, dict[int, list[int]]] = {}
        for team in {team for team, _ in self.answers}:
            minutes = found[team] = {}
            for part, chosen in enumerate(
                (self.all_of(team, None, 1 << 62), self.latest_of(team, None, 1 << 62, 1 << 62))
            ):
                for answer in chosen:
                    minutes.setdefault(-(-answer.event_ms // 60_000), [0] * 22)[answer.score + 11 * part] += 1
        return found

    def _of(self, team: str) -> list[Counted]:
        return [answer for answer in self.answers.values() if answer.team == team and answer.counted]


def _uuid(text: str | None) -> str | None:
    """A case's id; what is none was not given."""
    return text if text is not None and re.fullmatch(r"[0-9a-f-]{36}", text) else None


def _within(answer: Counted, after_ms: int | None, until_ms: int) -> bool:
    return not answer.history and answer.event_ms <= until_ms and (after_ms is None or answer.event_ms > after_ms)


def tally(scores: Iterable[int]) -> Counts:
    """(D, N, P) of scores."""
    listed = list(scores)
    return (
        sum(1 for score in listed if score in (0, 1, 2, 3, 4, 5, 6)),
        sum(1 for score in listed if score in (7, 8)),
        sum(1 for score in listed if score in (9, 10)),
    )
