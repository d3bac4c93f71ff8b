"""Answers a second through the fold and its state alone, without Kafka: what one core can do at most.

What is timed is what the agent does with a batch: fold, one atomic write to RocksDB, the outbox cleared. The
log is made beforehand, in batches of 4,000 over 16 partitions in turn: event times over two hours, the append time of
each answer in the header of a copied log and close to its event time, so that windows move as they would live; 30 %
name a respondent, 10 % are detractors. The clock is the processor time of the folding thread; RocksDB's own threads and
other programs are not in it.

    python -m benchmarks.fold [--variant main] [--answers 320000] [--top 20]
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from schemas import topics
from schemas.feedback import Answer, Tick, Windows
from stream.domain.fold import fold
from stream.domain.minutes import HORIZON_MS, MINUTE_MS
from stream.state import State, shared_memory

BATCH: Final = 4_000
SPAN_MS: Final = 2 * 3_600_000
START_MS: Final = 1_790_000_040_000
SCORES: Final = (9, 10, 10, 9, 8, 7, 9, 10, 8, 3)
WITH_RESPONDENT: Final = 0.3
DELAY_MS: Final = 3_000  # an answer reaches the log up to this long after it was given
SEED: Final = 20_261_122
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Variant:
    """What is unlike in a log. `late_ms`: how long before its append an answer was given, at least and at most.

    `windows`: those that the log sets live at its beginning, minutes; none: it sets none. `before_ms`: as many answers
    came so long before already, in the same two hours, and are not measured.
    """

    teams: int = 500
    late_ms: tuple[int, int] = (0, DELAY_MS)
    again: float = 0.0
    windows: tuple[int, ...] = ()
    before_ms: int | None = None


VARIANTS: Final = {
    "main": Variant(),
    "all late": Variant(late_ms=(10 * 60_000, 30 * DAY_MS)),
    "10 % duplicates": Variant(again=0.1),
    "100,000 teams": Variant(teams=100_000),
    "as many before": Variant(before_ms=DAY_MS),
    "all that came leaves": Variant(before_ms=HORIZON_MS),
}


class Record(NamedTuple):
    """A record of the log, as a consumer gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def batches(
    variant: Variant, answers: int, start_ms: int = START_MS, first: int = 0
) -> Iterator[tuple[int, list[Record]]]:
    """(partition, records) of one batch after another, each made when it is asked for, as a fetch makes it.

    The first record of each partition has the offset `first`. Drawn from a seed: the same each time.
    """
    draw = random.Random(SEED + first)
    encode_answer = msgspec.json.Encoder().encode
    teams: list[list[bytes]] = [[] for _ in range(topics.PARTITIONS)]
    for number in range(variant.teams):
        team = f"team-{number}".encode()
        teams[topics.partition_of(team)].append(team)
    # Few teams leave partitions empty: nothing comes from those, and the same number of answers from the others.
    used = [partition for partition in range(topics.PARTITIONS) if teams[partition]]
    rounds = max(1, answers // (BATCH * len(used)))
    for index in range(rounds):
        for partition in used:
            records: list[Record] = []
            key: bytes | None
            for at in range(index * BATCH, (index + 1) * BATCH):
                appended_ms = start_ms + SPAN_MS * at // (rounds * BATCH)
                if records and draw.random() < variant.again:
                    key, value = draw.choice(records)[2:4]
                else:
                    key = draw.choice(teams[partition])
                    value = encode_answer(_answer(draw, appended_ms - draw.randint(*variant.late_ms)))
                records.append(_record(first + at, appended_ms, key, value))
            yield partition, records


def _record(offset: int, appended_ms: int, key: bytes | None, value: bytes) -> Record:
    headers = ((topics.APPENDED_HEADER, b"%d" % appended_ms),)
    return Record(offset, START_MS + SPAN_MS, key, value, headers)


def _answer(draw: random.Random, event_ms: int) -> Answer:
    drawn = f"{draw.getrandbits(128):032x}"
    return Answer(
        response_id=f"{drawn[:8]}-{drawn[8:12]}-7{drawn[13:16]}-8{drawn[17:20]}-{drawn[20:]}",
        score=draw.choice(SCORES),
        content=f"{draw.getrandbits(128):032x}",
        answered_ms=event_ms,
        respondent=f"{draw.getrandbits(128):032x}" if draw.random() < WITH_RESPONDENT else None,
        survey="after-purchase",
        channel="web",
    )


@dataclass(slots=True)
class Measured:
    """How many answers, and how many seconds of the thread went where."""

    answers: int = 0
    fold_s: float = 0.0
    commit_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Answers a second of the folding thread."""
        return self.answers / (self.fold_s + self.commit_s)


def beforehand(variant: Variant, answers: int) -> Iterator[tuple[int, list[Record]]]:
    """What the log of a variant holds before what is measured begins."""
    first = 0
    start_ms = START_MS - (variant.before_ms or 0)
    if variant.windows:
        first = 1
        value = msgspec.json.encode(Windows(variant.windows))
        for partition in range(topics.PARTITIONS):
            yield partition, [_record(0, start_ms, None, value)]
    if variant.before_ms is not None:
        yield from batches(variant, answers, start_ms, first)
        # The time between has passed, and what that brings is not a part of the answers to come.
        for partition in range(topics.PARTITIONS):
            yield partition, [_record(first + answers, START_MS - MINUTE_MS, None, msgspec.json.encode(Tick()))]


def measure(variant: Variant, answers: int, profile: cProfile.Profile | None = None) -> Measured:
    """Fold a log of `variant` into 16 fresh states."""
    measured = Measured()
    clock = time.thread_time
    gc.freeze()
    gc.set_threshold(500_000, 50, 50)  # as in the worker, whose batches hold tens of thousands of objects
    with tempfile.TemporaryDirectory() as folder:
        memory = shared_memory()
        states = [State(Path(folder) / str(partition), memory) for partition in range(topics.PARTITIONS)]
        for partition, records in beforehand(variant, answers):
            effects = fold(states[partition], records, partition)
            states[partition].commit(effects, ())
        for partition, records in batches(variant, answers, first=max(state.meta.position for state in states)):
            if profile is not None:
                profile.enable()
            state = states[partition]
            started = clock()
            effects = fold(state, records, partition)
            folded = clock()
            state.commit(effects, effects.outputs)
            state.clear_outbox(effects.meta.position)
            measured.answers += len(records)
            measured.fold_s += folded - started
            measured.commit_s += clock() - folded
            if profile is not None:
                profile.disable()
        for state in states:
            state.close()
    return measured


def main() -> None:
    """Print a line a variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    parser.add_argument("--answers", type=int, default=320_000)
    parser.add_argument("--top", type=int, default=0, help="print the most expensive functions (slows it down)")
    options = parser.parse_args()
    print(f"{'variant':<16} {'answers/s':>10}   fold  commit   µs an answer")
    for name in options.variant or VARIANTS:
        profile = cProfile.Profile() if options.top else None
        measured = measure(VARIANTS[name], options.answers, profile)
        parts = [1e6 * part / measured.answers for part in (measured.fold_s, measured.commit_s)]
        print(f"{name:<16} {measured.per_s:>10,.0f}  {parts[0]:5.2f}   {parts[1]:5.2f}")
        if profile is not None:
            pstats.Stats(profile).sort_stats("tottime").print_stats(options.top)


if __name__ == "__main__":
    main()
