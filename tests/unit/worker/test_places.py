"""What a copied log says has the names and times that it had in the log it was copied from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from schemas.changes import TeamChanges
from schemas.generations import Generation
from schemas.rejects import Reject
from stream.copying import copy_log, look
from stream.domain.fold import fold
from tests.unit.stream.fakes import FakeState, Record
from tests.unit.stream.said import read
from tests.unit.worker.copies import Partitions, Target
from tests.unit.worker.test_facts import NEW, OLD, life

THIRD = Generation(3, 6)


def said(log: Mapping[int, Sequence[Record]], generation: Generation) -> dict[str, list[tuple[Any, ...]]]:
    """Corrections and rejects of a whole log: where each is stored, which is told by its id, and what it is about."""
    found: dict[str, list[tuple[Any, ...]]] = {"corrections": [], "rejects": []}
    for partition in generation.numbers():
        state = FakeState()
        records = log.get(partition, ())
        for at in range(0, len(records), 20):
            effects = fold(state, records[at : at + 20], partition, generation.number, generation.partitions)
            state.commit(effects, ())
            for message in (out.message for out in read(effects.outputs)):
                if isinstance(message, TeamChanges):
                    found["corrections"] += [
                        (one.id, message.team, one.known_ms, one.cause, one.response_id, one.deltas)
                        for one in message.corrections
                    ]
                elif isinstance(message, Reject) and message.reason != "wrong_partition":  # stays behind
                    found["rejects"].append((message.id, message.at_ms, message.reason))
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


async def copy_of(log: Mapping[int, Sequence[Record]], old: Generation, new: Generation) -> dict[int, list[Record]]:
    source, target = Partitions(log, old.partitions), Target()
    await copy_log(source, old, new, target, await look(source, old, lambda *_: None), lambda *_: None)
    return target.log()


@pytest.mark.parametrize("seed", range(4))
async def test_corrections_and_rejects_of_a_copy_are_those_of_the_log(seed: int) -> None:
    filling = life(seed)
    for number, value in enumerate([None, b"{", b'{"type":"answer","response_id":"x","score":3,"content":""}']):
        filling.put(OLD.partition_of(b"team-1"), b"team-1", value)
        filling.put(number, None, b"{")
    log: Mapping[int, Sequence[Record]] = filling.records
    before = said(log, OLD)
    assert sum(cause == "erasure" for _, _, _, cause, _, _ in before["corrections"]) > 5
    assert len({row[0] for row in before["corrections"]}) == len(before["corrections"]) > 50
    assert len(before["rejects"]) >= 6
    copy = await copy_of(log, OLD, NEW)
    assert said(copy, NEW) == before
    assert said(await copy_of(copy, NEW, THIRD), THIRD) == before
