"""This machine's clock beside the broker's: the door checks `answered_at` by its own, windows move by the broker's."""

from __future__ import annotations

from typing import Final

MOST_MS: Final = 5_000


class BrokerClock:
    """How far the two are apart, as far as one acknowledged record can tell."""

    def __init__(self) -> None:
        self.trouble: str | None = None

    def compare(self, sent_ms: int, appended_ms: int, acked_ms: int) -> None:
        """Judge by one record. All in milliseconds UTC; `sent_ms` and `acked_ms` by this clock.

        The record was appended between the two, so only what lies outside of them is the clocks' difference: a slow
        broker is not mistaken for a wrong one.
        """
        if appended_ms < sent_ms - MOST_MS:
            self.trouble = _trouble(sent_ms - appended_ms, "ahead of")
        elif appended_ms > acked_ms + MOST_MS:
            self.trouble = _trouble(appended_ms - acked_ms, "behind")
        else:
            self.trouble = None


def _trouble(apart_ms: int, how: str) -> str:
    return (
        f"this machine's clock is {apart_ms / 1000:.1f} s {how} the broker's; "
        f"at most {MOST_MS // 1000} s are allowed: set it right (NTP)"
    )
