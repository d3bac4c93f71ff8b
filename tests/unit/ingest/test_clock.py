"""The door's clock beside the broker's."""

from __future__ import annotations

import pytest

from services.ingest.clock import BrokerClock

AT_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("appended_ms", "acked_ms", "trouble"),
    [
        (AT_MS, AT_MS + 2, None),
        (AT_MS - 5_000, AT_MS + 2, None),
        (AT_MS - 5_001, AT_MS + 2, "5.0 s ahead of"),
        (AT_MS + 5_002, AT_MS + 2, None),
        (AT_MS + 5_003, AT_MS + 2, "5.0 s behind"),
        (AT_MS + 60_000, AT_MS + 61_000, None),  # it took a minute to be written
        (AT_MS - 86_400_000, AT_MS + 2, "86400.0 s ahead of"),
    ],
)
def test_only_what_lies_outside_of_sending_and_acknowledgement_is_a_difference(
    appended_ms: int, acked_ms: int, trouble: str | None
) -> None:
    clock = BrokerClock()
    clock.compare(AT_MS, appended_ms, acked_ms)
    assert (clock.trouble is None) == (trouble is None)
    assert trouble is None or trouble in (clock.trouble or "")


def test_a_clock_that_was_set_right_is_right() -> None:
    clock = BrokerClock()
    clock.compare(AT_MS, AT_MS + 9_000, AT_MS)
    assert clock.trouble is not None
    clock.compare(AT_MS, AT_MS, AT_MS)
    assert clock.trouble is None
