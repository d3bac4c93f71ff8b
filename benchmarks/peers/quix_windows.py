"""Three hopping windows in Quix Streams, as its documentation shows them: `reduce`, each change of a window emitted.

`python -m benchmarks.peers.quix_windows`, started by `benchmarks.peers.run` with the packages of `.venv-peers`.
"""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application

from benchmarks.peers.meter import LATE, TOPIC, WINDOWS, Meter, band

Tally = dict[str, int]


def answered_ms(value: dict[str, Any], headers: object, timestamp: float, timestamp_type: object) -> int:
    """Event time: the topic's own time is when an answer was appended."""
    at_ms: int = value["answered_ms"]
    return at_ms


def first(answer: dict[str, Any]) -> Tally:
    """The tally of a window with one answer."""
    return add({"promoters": 0, "passives": 0, "detractors": 0}, answer)


def add(tally: Tally, answer: dict[str, Any]) -> Tally:
    """A window's tally with one answer more."""
    tally[band(answer["score"])] += 1
    return tally


def main() -> None:
    """Run until the meter ends the process."""
    app = Application(
        broker_address=os.environ["PEER_KAFKA"],
        consumer_group="peer-quix",
        auto_offset_reset="earliest",
        state_dir=os.environ["PEER_FOLDER"],
        loglevel="WARNING",
    )
    meter = Meter()
    answers = app.topic(TOPIC, key_deserializer="str", value_deserializer="json", timestamp_extractor=answered_ms)
    stream = app.dataframe(answers).update(lambda _: meter.answer())
    for _, length, hop in WINDOWS:
        stream.hopping_window(length, hop, grace_ms=LATE).reduce(reducer=add, initializer=first).current()
    app.run()


if __name__ == "__main__":
    main()
