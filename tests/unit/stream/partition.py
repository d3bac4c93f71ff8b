"""A partition as a worker lives it, in memory: it folds, dies at any step, loses its disk, reads again.

What it says goes to a `Downstream`; what it holds is measured against a `Reference`, the same log in single records.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from schemas.rejects import Reject
from stream.domain.fold import fold
from tests.unit.stream.acting import assert_acted, assert_notes_hold
from tests.unit.stream.clocking import Clocks
from tests.unit.stream.downstream import Downstream
from tests.unit.stream.fakes import PARTITION, FakeState, Record
from tests.unit.stream.holding import (
    assert_all_holds,
    assert_closed_panes_stay,
    assert_deadlines_hold,
    assert_named_after,
    assert_policies_hold,
    assert_promised,
    assert_said_hold,
    cases_of,
)
from tests.unit.stream.knowing import KnowingRecount
from tests.unit.stream.reasking import Pairs
from tests.unit.stream.said import Out, read


class Reference:
    """The log folded as it comes, one record a batch, and each step of that against the recount."""

    def __init__(self) -> None:
        self.log: list[Record] = []
        self.state = FakeState()
        self.said = Downstream()
        self.truth = KnowingRecount(PARTITION)
        self.clocks = Clocks()
        self.pairs = Pairs()
        self.held: dict[int, dict[bytes, bytes]] = {}  # position to the keys and values there

    def append(self, record: Record) -> None:
        """The log grows by a record."""
        self.log.append(record)
        held = cases_of(self.state)
        effects = fold(self.state, [record], PARTITION)
        self.state.commit(effects, ())
        said = read(effects.outputs)
        self.said.take(said)
        assert_named_after(record, said)
        before, answers = dict(self.truth.policies), dict(self.truth.answers)
        self.truth.read(record)
        policies, self.truth.policies = self.truth.policies, before
        self.clocks.check(said, self.truth)
        self.truth.policies = policies
        assert_deadlines_hold(self.state, self.clocks.cases)
        self.pairs.check(answers, held, said, self.state, self.truth)
        assert_acted(record, held, said, self.state, self.truth)
        assert_closed_panes_stay(said, self.truth)
        assert_promised(said, self.truth)
        assert_policies_hold(self.state, self.said.policies, self.truth)
        self.held[effects.meta.position] = dict(self.state.data)
        assert_all_holds(self.state, self.said.scores, self.truth)
        assert_said_hold(self.said.answers, self.state, self.truth)
        assert_notes_hold(self.said.forgotten, self.state, self.truth)
        rejects = {one.offset: one.reason for one in self.said.once.values() if isinstance(one, Reject)}
        assert rejects == self.truth.rejected

    def since(self, position: int) -> list[Record]:
        """The records at and after a position."""
        return [record for record in self.log if record.offset >= position]


class Worker:
    """One partition's owner. `committed`: every output below it has been acknowledged (design decision 4).

    `outbox`: what the last atomic write has left to be sent; None when it has been cleared.
    """

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.downstream = Downstream()
        self.state = FakeState()
        self.outbox: list[Out] | None = None
        self.committed = 0
        self.cuts: list[int] = []
        self.copies: list[tuple[FakeState, list[Out] | None]] = [(FakeState(), None)]  # the first: an empty disk

    @property
    def position(self) -> int:
        """Next offset to apply."""
        return self.state.meta.position

    def ahead(self) -> list[Record]:
        """What has not been folded."""
        return self.reference.since(self.position)

    # -- one batch, and where it may be cut short ---------------------------------------------------------------------

    def apply(self, records: Sequence[Record]) -> None:
        """One batch from its fold to its commit."""
        self.write(records)
        self.send()

    def die_before_the_write(self, records: Sequence[Record]) -> None:
        """Killed after the fold: nothing of it has happened."""
        before = dict(self.state.data)
        fold(self.state, records, PARTITION)
        assert self.state.data == before, "the fold changed what it may only read"

    def write(self, records: Sequence[Record]) -> None:
        """The atomic write: changes, position and outbox. What the last batch has to say is sent before."""
        self.send()
        if not records:
            return
        effects = fold(self.state, records, PARTITION)
        self.state.commit(effects, ())
        self.outbox = read(effects.outputs)
        self.cuts.append(sum(record.offset < effects.meta.position for record in self.reference.log))
        self.check()

    def send(self, most: int | None = None) -> None:
        """Send the outbox, clear it, commit. `most`: killed after so many messages, so that they will come again."""
        if self.outbox is None:
            return
        self.downstream.take(self.outbox[:most])
        if most is None:
            self.outbox = None
            self.committed = self.position
            self._all_below_is_told(self.committed)

    # -- what befalls it ----------------------------------------------------------------------------------------------

    def replay(self, start: int) -> None:
        """Read again from an earlier record on, up to the position: nothing changes, nothing is said."""
        before = dict(self.state.data)
        known = [record for record in self.reference.log[start:] if record.offset < self.position]
        effects = fold(self.state, known, PARTITION)
        assert all(hasattr(out.message, "through") for out in read(effects.outputs))
        self.state.commit(effects, ())
        assert self.state.data == before

    def keep_a_copy(self) -> None:
        """A checkpoint of the state as it is; the outbox is a part of it."""
        self.copies.append((self.state.copy(), self.outbox))

    def lose_the_disk(self, copy: int, step: int) -> None:
        """Go on from a checkpoint, or from nothing: below the committed offset everything has been said.

        `step`: records a batch of the rebuild.
        """
        state, self.outbox = self.copies[copy % len(self.copies)]
        self.state = state.copy()
        meta = self.state.meta
        if meta.position < self.committed:
            self.outbox = None
            self.state.set_meta(structs.replace(meta, quiet_until=self.committed))
        behind = [record for record in self.ahead() if record.offset < self.committed]
        for lo in range(0, len(behind), step):
            self.state.commit(fold(self.state, behind[lo : lo + step], PARTITION), ())
            self.check()

    # -- what must hold -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """The state is that of the same log in single records; only how it was rebuilt may differ."""
        meta = self.state.meta
        plain = self.state.copy()
        plain.set_meta(structs.replace(meta, quiet_until=0))
        assert plain.data == self.reference.held[meta.position]

    def _all_below_is_told(self, position: int) -> None:
        told, all_said = self.downstream, self.reference.said
        missing = [name for name, offset in all_said.caused.items() if offset < position and name not in told.once]
        assert not missing, "committed, but never sent"

    def assert_told_the_same(self) -> None:
        """At the end of the log, all sent: readers hold what they would hold after the same log in single records."""
        told, all_said = self.downstream, self.reference.said
        assert told.once == all_said.once
        assert told.scores == all_said.scores
        assert told.policies == all_said.policies
        assert told.panes == all_said.panes
        assert told.forgotten == all_said.forgotten
        assert told.values.items() <= all_said.values.items()
        assert told.through == self.position
