"""Three sliding windows in Bytewax, as its documentation shows them: `fold_window`, a window emitted when it closes.

`python -m bytewax.run benchmarks.peers.bytewax_windows`, started by `benchmarks.peers.run` with the packages of
`.venv-peers`.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.connectors.stdio import StdOutSink
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing

from benchmarks.peers.meter import LATE, TOPIC, WINDOWS, Meter, band

Given = tuple[datetime, str]
Tally = dict[str, int]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

meter = Meter()


def decode(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, Given]:
    """(team, (event time, band))."""
    meter.answer()
    answer = json.loads(message.value)
    return message.key.decode(), (datetime.fromtimestamp(answer["answered_ms"] / 1000, UTC), band(answer["score"]))


def nothing() -> Tally:
    """The tally of an empty window."""
    return {"promoters": 0, "passives": 0, "detractors": 0}


def add(tally: Tally, given: Given) -> Tally:
    """A window's tally with one answer more."""
    tally[given[1]] += 1
    return tally


def both(one: Tally, other: Tally) -> Tally:
    """Two tallies as one; sliding windows never merge."""
    return {name: one[name] + other[name] for name in one}


flow = Dataflow("peer-bytewax")
messages = kop.input("feedback", flow, brokers=[os.environ["PEER_KAFKA"]], topics=[TOPIC])
answers = op.map("decode", messages.oks, decode)
clock = windowing.EventClock(ts_getter=lambda given: given[0], wait_for_system_duration=LATE)
for name, length, hop in WINDOWS:
    windower = windowing.SlidingWindower(length=length, offset=hop, align_to=EPOCH)
    counted = windowing.fold_window(name, answers, clock, windower, nothing, add, both)
    closed = op.map(f"{name}-line", counted.down, str)
    op.output(f"{name}-out", closed, StdOutSink())
