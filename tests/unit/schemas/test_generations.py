"""Generations of the log: names of topics and groups, and what the environment may say."""

from __future__ import annotations

import pytest

from schemas import topics
from schemas.generations import FIRST, Generation, generation_of, later_generations
from schemas.topics import TOPICS

SECOND = Generation(2, 5)


def test_the_first_generation_keeps_the_names_that_topics_always_had() -> None:
    assert FIRST.topics() == TOPICS
    assert FIRST.group("pulse-worker") == "pulse-worker"
    assert FIRST.declared(topics.FEEDBACK) == topics.FEEDBACK


def test_a_later_one_has_topics_and_groups_of_its_own() -> None:
    assert [topic.name for topic in SECOND.topics()] == [f"{topic.name}.g2" for topic in TOPICS]
    assert {topic.partitions for topic in SECOND.topics()} == {5}
    assert [topic.config for topic in SECOND.topics()] == [topic.config for topic in TOPICS]
    assert SECOND.group("pulse-worker") == "pulse-worker.g2"
    assert [SECOND.declared(topic.name) for topic in SECOND.topics()] == [topic.name for topic in TOPICS]


def test_a_key_lies_where_murmur2_puts_it_among_the_partitions_there_are() -> None:
    assert FIRST.partition_of(b"team-1") == 15
    assert SECOND.partition_of(b"team-1") == (topics.murmur2(b"team-1") & 0x7FFFFFFF) % 5
    assert list(SECOND.numbers()) == [0, 1, 2, 3, 4]


def test_later_generations_are_told_by_their_log() -> None:
    there = ["feedback.v1", "feedback.v1.g10", "feedback.v1.g2", "feedback.v1.g3x", "people.v1.g4", "feedback_v1.g5"]
    assert later_generations(there, FIRST) == [2, 10]
    assert later_generations(there, Generation(2)) == [10]
    assert later_generations([], FIRST) == []


def test_the_environment_names_the_generation() -> None:
    assert generation_of({}) == FIRST
    assert generation_of({"PULSE_GENERATION": "2", "PULSE_PARTITIONS": "5"}) == SECOND


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1.5", "²", "128"])
def test_a_generation_that_cannot_be_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="PULSE_GENERATION must be a whole number from 1 to 127"):
        generation_of({"PULSE_GENERATION": text})
    with pytest.raises(ValueError, match="PULSE_PARTITIONS must be a whole number from 1 to 10,000"):
        generation_of({"PULSE_PARTITIONS": "10001"})
