"""The door and the generations of the log: it asks for its own topics, and says when the log has moved on."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import KafkaError

from schemas.generations import FIRST, Generation
from services.common.producing import LogMoved, WrongTopic, check_topics


class Cluster:
    """What a broker says of its topics: name → partitions. Plays producer, client and metadata at once."""

    def __init__(self, **there: int) -> None:
        self._there = {name.replace("_", "."): count for name, count in there.items()}
        self.asked_for: tuple[str, ...] = ()

    @property
    def client(self) -> Any:
        return self

    async def fetch_all_metadata(self) -> Any:
        return self

    def topics(self) -> set[str]:
        return set(self._there)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._there[topic])) if topic in self._there else None

    async def set_topics(self, topics: tuple[str, ...]) -> None:
        self.asked_for = topics


async def test_each_generation_asks_for_its_own_topics_and_count() -> None:
    first = Cluster(feedback_v1=16, people_v1=16)
    await check_topics(first, FIRST)
    assert first.asked_for == ("feedback.v1", "people.v1")
    second = Cluster(feedback_v1=16, people_v1=16, feedback_v1_g2=5, people_v1_g2=5)
    await check_topics(second, Generation(2, 5))
    assert second.asked_for == ("feedback.v1.g2", "people.v1.g2")


async def test_another_count_is_refused_with_what_to_set() -> None:
    with pytest.raises(WrongTopic, match=r"has 5 partitions; PULSE_PARTITIONS says 16.*set it to 5"):
        await check_topics(Cluster(feedback_v1=5, people_v1=5), FIRST)


async def test_a_log_that_goes_on_in_a_later_generation_takes_nothing_more_and_says_so() -> None:
    there = Cluster(feedback_v1=16, people_v1=16, feedback_v1_g2=5, people_v1_g2=5)
    with pytest.raises(LogMoved, match=r"feedback\.v1 is closed.*PULSE_GENERATION=2"):
        await check_topics(there, FIRST)


async def test_a_topic_that_is_missing_is_waited_for() -> None:
    with pytest.raises(KafkaError, match=r"people\.v1\.g2 is missing") as missing:
        await check_topics(Cluster(feedback_v1_g2=5), Generation(2, 5))
    assert not isinstance(missing.value, LogMoved)
