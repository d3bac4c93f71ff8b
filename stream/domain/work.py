"""The working set of one batch: what the fold has read, what it has changed, what it says about it.

Everything is read through `View` once, changed in memory, and handed back as `Effects`: so a batch sees its own
changes, and the state changes in one atomic write. What belongs to one team is in `TeamBatch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas import topics
from schemas.changes import Position
from schemas.followups import Case
from schemas.people import person_key
from schemas.policies import TeamPolicy
from stream.domain import deadlines, expiry, ids, keys, places, values, windows
from stream.domain.messages import Message, message
from stream.domain.minutes import HORIZON, LATE_MS, MINUTE_MS, WINDOWS
from stream.domain.team_batch import TeamBatch
from stream.domain.values import Meta, Newest, Resolved
from stream.domain.view import UNLIMITED, UNREAD, View


@dataclass(frozen=True, slots=True)
class Effects:
    """What a batch does. `changes`: state keys to their new values, None deletes; they include `m`.

    `records`: how many it applied.
    """

    changes: dict[bytes, bytes | None]
    outputs: list[Message]
    meta: Meta
    records: int = 0


class Work:
    """See the module. Mutable, one a batch, never shared."""

    def __init__(
        self, view: View, meta: Meta, partition: int, generation: int, lengths: windows.Lengths = WINDOWS
    ) -> None:
        self.view = view
        self.partition = partition
        self.generation = generation
        self.windows = lengths  # the live ones
        self.known_ms = meta.known_ms
        self.minute = -(-meta.known_ms // MINUTE_MS)
        # The last minute whose pane has been shown: changing it is a correction.
        self.shown_until = (meta.known_ms - LATE_MS) // MINUTE_MS
        self.closed = self.minute - HORIZON  # panes before this minute are older than the horizon
        self.offset = self.first = meta.position
        self.headers: Sequence[places.Header] = ()  # of the record at hand
        self.version = 0
        self._turn_ms = self.known_ms // MINUTE_MS * MINUTE_MS + 1
        self.next_ms = 0  # before this stream time nothing is due, and no minute begins or ends
        self.first_version = ids.version(generation, 0)
        self.teams: dict[str, TeamBatch] = {}
        self.events: list[Message] = []  # of cases
        self.refusals: list[Message] = []
        self.rejects: list[Message] = []
        self.policies: dict[
            str, TeamPolicy | None
        ] = {}  # as far as they have been asked for (`stream.domain.policies`)
        self.policies_set: dict[str, TeamPolicy] = {}
        self.forgotten: dict[bytes, None] = {}  # keys of `people.v1` whose text goes
        # Keys of what has come with the record at hand, and leaves the state with the horizon (`stream.domain.expiry`).
        self.leaving: list[bytes] = []
        self.blocks: dict[expiry.At, list[bytes]] = {}
        self.next_leaving = 0  # the next minute at which something leaves; 0: not looked up yet
        self.block_ends = -1
        self.deadlines: list[bytes] = []  # heap of the `d` keys that this batch has put
        self.next_deadline = 0  # when the next one falls due; 0: not looked up yet
        self._due: dict[int, list[TeamBatch]] = {}
        self.puts: dict[bytes, bytes | None] = {}  # what the batch has put
        self.seen: dict[bytes, bytes | None] = {}  # what the state holds, as far as it has been asked of late
        self.put_answers_of: list[bytes] = []  # `a` keys that are put and not yet in the index
        self._index: dict[bytes, set[bytes]] = {}

    # -- reading -------------------------------------------------------------------------------------------------

    def read_ahead(self, asked: Sequence[bytes]) -> None:
        """Read what the next records ask for, and forget what those before did: little enough stays in the cache.

        Only speed depends on it: a key that is missed here, or in `prefetch`, is read when it is needed.
        """
        self.seen = dict(zip(asked, self.view.get_many(asked), strict=True))

    def prefetch(self, asked: Sequence[bytes]) -> None:
        """Read many keys in one go."""
        seen = self.seen
        wanted = [key for key in asked if key not in seen]
        seen.update(zip(wanted, self.view.get_many(wanted), strict=True))

    def known(self, key: bytes) -> bytes | None:
        """The value of a key, with this batch's own puts; `UNREAD` when it would have to be read."""
        found = self.puts.get(key, UNREAD)
        return self.seen.get(key, UNREAD) if found is UNREAD else found

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, with this batch's own puts."""
        found = self.known(key)
        if found is UNREAD:
            found = self.seen[key] = self.view.get_many((key,))[0]
        return found

    def of(self, name: str) -> TeamBatch:
        """What this batch knows of a team."""
        team = self.teams.get(name)
        if team is None:
            team = self.teams[name] = TeamBatch(self, name)
        return team

    def answer(self, key: bytes) -> Resolved | None:
        """The answer stored under an `r` key."""
        raw = self.get(key)
        return None if raw is None else values.RESOLVED.unpack(raw)

    def newest(self, key: bytes) -> Newest | None:
        """The newest counted answer stored under an `l` key."""
        raw = self.get(key)
        return None if raw is None else values.NEWEST.unpack(raw)

    def answers_of(self, team: str, respondent: str) -> Iterator[str]:
        """Response ids of a respondent, newest event first; read as far as they are asked for."""
        prefix = keys.answers_of(team, respondent)
        own = self._own_answers(prefix)
        mine = sorted((key, raw) for key, raw in own.items() if raw is not None)
        for key, raw in self.view.scan_back(prefix, UNLIMITED):
            while mine and mine[-1][0] > key:
                yield mine.pop()[1].decode()
            if key not in own:
                yield raw.decode()
        while mine:
            yield mine.pop()[1].decode()

    def teams_of(self, respondent: str) -> list[str]:
        """The teams that a respondent has answered, in order. Looks at every team once: only an erasure asks."""
        names = set(self.teams)
        start = b""
        while True:
            after = next(iter(self.view.scan(keys.ANSWERS_OF, start, keys.AFTER_ALL, 1)), None)
            if after is None:
                break
            name = keys.team_in(after[0])
            names.add(name)
            start = keys.of_respondents(name)[1:] + keys.AFTER_ALL
        return [name for name in sorted(names) if next(self.answers_of(name, respondent), None) is not None]

    def _own_answers(self, prefix: bytes) -> dict[bytes, bytes | None]:
        """What this batch has put of a respondent's answers. Indexed when it is asked for: few batches ever ask."""
        for key in self.put_answers_of:
            self._index.setdefault(key[: -keys.PLACE], set()).add(key)
        self.put_answers_of.clear()
        return {key: self.puts[key] for key in self._index.get(prefix, ())}

    def case(self, team: str, case_id: str) -> Case | None:
        """A follow-up case, None when there is none of that id."""
        raw = self.get(keys.case(team, case_id))
        return None if raw is None else values.CASE.unpack(raw)

    def place(self, team: str | None) -> places.Place:
        """The place after which what the record at hand says of a team, or of itself, is named."""
        here = places.Place(self.generation, self.partition, self.offset, self.known_ms)
        return places.first_place(self.headers, here, team) if self.headers else here

    # -- changing ------------------------------------------------------------------------------------------------

    def put(self, key: bytes, raw: bytes | None) -> None:
        """Set a raw value; None deletes."""
        self.puts[key] = raw

    def put_answer(self, key: bytes, resolved: Resolved) -> None:
        """Store an answer under its `r` key."""
        self.puts[key] = values.RESOLVED.pack(resolved)

    def forget_text(self, team: str, response_id: str) -> None:
        """The personal text of an answer, or of a note, goes."""
        self.forgotten[person_key(team, response_id)] = None

    def put_newest(self, key: bytes, newest: Newest | None) -> None:
        """Store, or forget, a respondent's newest counted answer."""
        self.puts[key] = None if newest is None else values.NEWEST.pack(newest)

    def put_answer_of(self, prefix: bytes, resolved: Resolved, response_id: str | None) -> None:
        """Note that an answer is, or with None no longer is, one of a respondent's (`keys.answers_of`)."""
        key = keys.answer_of(prefix, resolved.event_ms, resolved.first_offset)
        self.puts[key] = None if response_id is None else response_id.encode()
        self.put_answers_of.append(key)

    def put_case(self, case: Case) -> None:
        """Store a case."""
        self.put(keys.case(case.team, case.case_id), values.CASE.pack(case))

    # -- time ----------------------------------------------------------------------------------------------------

    def at(self, offset: int, appended_ms: int) -> None:
        """Come to a record: everything due at or before its stream time fires first, in (due, team) order.

        What has grown older than the horizon leaves when the windows have moved.
        """
        self.offset = offset
        self.version = self.first_version + offset
        if appended_ms > self.known_ms:
            before_ms, self.known_ms = self.known_ms, appended_ms
            if appended_ms >= self.next_deadline:
                deadlines.fire(self, before_ms)
            if appended_ms >= self._turn_ms:
                self._turn(appended_ms)
            self.next_ms = min(self._turn_ms, self.next_deadline)
        if offset > self.block_ends:
            self.leaving = expiry.block(self, self.minute + HORIZON + 1)
            self.block_ends = offset | expiry.BLOCK

    def _turn(self, appended_ms: int) -> None:
        """A minute may begin, or have ended long enough."""
        self.shown_until = (appended_ms - LATE_MS) // MINUTE_MS
        minute = -(-appended_ms // MINUTE_MS)
        self._turn_ms = minute * MINUTE_MS + (minute * MINUTE_MS == appended_ms)
        if minute > self.minute:
            before, self.minute = self.minute, minute
            self.closed = minute - HORIZON
            self._fire(before)
            expiry.sweep(self, before)
            self.block_ends = -1  # the next list leaves later

    def _fire(self, before: int) -> None:
        """Move on the windows that something leaves after minute `before`: until then all is done."""
        found = self.view.scan(keys.DUE, keys.number(before + 1), keys.number(self.minute + 1), UNLIMITED)
        due = [keys.split_due(key) for key, _ in found]
        if len(due) > 1:
            self.prefetch([keys.team(name) for _, name in due if name not in self.teams])
        for minute in [minute for minute in self._due if minute <= self.minute]:
            due.extend((minute, team.name) for team in self._due.pop(minute))
        moving = [(minute, self.of(name)) for minute, name in sorted(set(due))]
        self.prefetch([key for _, team in moving for key in team.leaving_panes()])
        for minute, team in moving:
            if team.windows().due == minute:  # otherwise this batch has changed when it is due
                team.move_on()

    def set_windows(self, lengths: windows.Lengths) -> None:
        """Other windows are live from here on: those of every team are summed anew, and published."""
        if lengths == self.windows:
            return
        names = {keys.team_in(key) for key, _ in self.view.scan(keys.TEAM, b"", keys.AFTER_ALL, UNLIMITED)}
        names |= {name for name, team in self.teams.items() if team.changed}
        self.windows = lengths
        if self.get(keys.WINDOWS) is None:
            expiry.block(self, self.minute + expiry.AGAIN).append(keys.entry(keys.WINDOWS, "", keys.NO_ID))
        self.put(keys.WINDOWS, values.WINDOWS.pack(lengths))
        for name in sorted(names):
            self.of(name).sum_anew()

    def due(self, team: TeamBatch, minute: int) -> None:
        """The windows of a team that this batch has read move next at `minute`, 0 for never."""
        if minute:
            self._due.setdefault(minute, []).append(team)

    # -- giving back ---------------------------------------------------------------------------------------------

    def effects(self, meta: Meta, records: int) -> Effects:
        """Everything this batch changed and says; the last thing to ask of it."""
        changes = self.puts
        for team in self.teams.values():
            team.store(changes)
        expiry.store(self, changes)
        changes[keys.META] = values.META.pack(meta)
        effects = Effects(changes, list(self._outputs(meta.position)), meta, records)
        # Teams know their work: without this, batches would pile up until the garbage collector comes by.
        self.teams.clear()
        self._due.clear()
        return effects

    def _outputs(self, through: int) -> Iterator[Message]:
        yield from self.events
        yield from self.refusals
        for name, team in self.teams.items():
            yield from team.changes()
            if team.changed:
                yield message(topics.TEAM_SCORES, name.encode(), team.scores())
        for name, policy in self.policies_set.items():
            yield message(topics.TEAM_POLICIES, name.encode(), policy)
        for person in self.forgotten:
            yield Message(topics.PEOPLE, person, None)
        yield from self.rejects
        position = Position(self.partition, through)
        yield message(topics.TEAM_CHANGES, None, position)
        yield message(topics.FOLLOWUPS, None, position)
