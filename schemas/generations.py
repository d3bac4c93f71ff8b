"""Generations of the log: the same records, copied in order to another number of partitions (`pulse repartition`).

The partition count is fixed for the life of a generation. Generation and offset make the versions of rows, so what a
later generation says wins over what an earlier one said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from schemas.topics import FEEDBACK, PARTITIONS, TOPICS, Topic, partition_of

LAST: Final = 127  # the versions of the table `people` have seven bits for it
MOST_PARTITIONS: Final = 10_000


class Generation(msgspec.Struct, frozen=True):
    """One generation of the log: its number, from 1, and over how many partitions its keys lie.

    The constants of `schemas.topics` name topics as everybody speaks of them. Those of generation 1 are called so on
    the broker; those of generation 2 end with `.g2`, and so do the consumer groups that read them.
    """

    number: int = 1
    partitions: int = PARTITIONS

    @property
    def suffix(self) -> str:
        """What names end with; empty for the first."""
        return "" if self.number == 1 else f".g{self.number}"

    def topic(self, name: str) -> str:
        """What a topic is called on the broker."""
        return name + self.suffix

    def declared(self, topic: str) -> str:
        """The topic's name in `schemas.topics`; the inverse of `topic`."""
        return topic.removesuffix(self.suffix) if self.suffix else topic

    def group(self, name: str) -> str:
        """What a consumer group is called on the broker: its commits are offsets of one generation."""
        return name + self.suffix

    def topics(self) -> tuple[Topic, ...]:
        """The topics, as they are to be created."""
        return tuple(replace(topic, name=self.topic(topic.name), partitions=self.partitions) for topic in TOPICS)

    def partition_of(self, key: bytes) -> int:
        """The partition of a key."""
        return partition_of(key, self.partitions)

    def numbers(self) -> range:
        """The numbers of the partitions."""
        return range(self.partitions)


FIRST: Final = Generation()


def later_generations(topics: Iterable[str], generation: Generation) -> list[int]:
    """Numbers of the later generations whose log is among some topics of a broker, ascending."""
    named = (re.fullmatch(rf"{re.escape(FEEDBACK)}\.g([1-9][0-9]*)", topic) for topic in topics)
    return sorted(number for found in named if found and (number := int(found[1])) > generation.number)


def generation_of(environ: Mapping[str, str]) -> Generation:
    """The generation that PULSE_GENERATION and PULSE_PARTITIONS name. Raises ValueError, naming the wrong one."""
    numbers = []
    for name, default, most in (("PULSE_GENERATION", 1, LAST), ("PULSE_PARTITIONS", PARTITIONS, MOST_PARTITIONS)):
        text = environ.get(name, str(default))
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise ValueError(f"{name} must be a whole number from 1 to {most:,}")
        numbers.append(int(text))
    return Generation(*numbers)
