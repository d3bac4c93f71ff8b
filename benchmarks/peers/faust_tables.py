"""Three hopping tables in Faust, as its guide shows them: a count is `table[key] += 1`.

`python -m benchmarks.peers.faust_tables worker -l warn --without-web`, started by `benchmarks.peers.run`.
"""

from __future__ import annotations

import os
from typing import Any, cast

import faust
from faust.tables.wrappers import WindowWrapper
from faust.types import EventT, StreamT

from benchmarks.peers.meter import PARTITIONS, TOPIC, WINDOWS, Meter, band

app = faust.App(
    "peer-faust-tables",
    broker=f"kafka://{os.environ['PEER_KAFKA']}",
    datadir=os.environ["PEER_FOLDER"],
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
)


class Answer(faust.Record):
    """What the job needs of a record; Faust leaves out the other fields."""

    score: int
    answered_ms: int


def answered_s(event: EventT[Any] | None) -> float:
    """Event time in seconds: the topic's own time is when an answer was appended."""
    assert event is not None
    return cast(Answer, event.value).answered_ms / 1000


answers = app.topic(TOPIC, key_type=str, value_type=Answer)
tables = [
    cast(
        WindowWrapper,
        app.Table(f"counts-{name}", default=int, partitions=PARTITIONS).hopping(length, hop, expires=length),
    ).relative_to(answered_s)
    for name, length, hop in WINDOWS
]
meter = Meter()


@app.agent(answers)
async def count(stream: StreamT[Answer]) -> None:
    """Add each answer to its 91 windows."""
    async for team, answer in stream.items():
        meter.answer()
        for table in tables:
            table[f"{team}/{band(answer.score)}"] += 1


if __name__ == "__main__":
    app.main()
