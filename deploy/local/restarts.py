"""When a process that died is started again, and when that has become pointless. No clock, no process: values only."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Waits double from `first_wait_s` to `longest_wait_s` and begin anew once a process has lived `settled_s`.

    `max_deaths` deaths within `within_s` are the end. An exit code in `final_codes` says that another start would
    end the same way: wrong settings, a damaged jar.
    """

    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0
    settled_s: float = 30.0
    max_deaths: int = 8
    within_s: float = 120.0
    final_codes: frozenset[int] = frozenset({2})


class Deaths:
    """The deaths of one process."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._recent: deque[float] = deque()
        self._wait_s = policy.first_wait_s

    @property
    def count(self) -> int:
        """Deaths that still count."""
        return len(self._recent)

    def wait_s(self, now_s: float, lived_s: float, code: int) -> float | None:
        """Record a death. How long to wait before the next start, in seconds; None: give up."""
        policy = self._policy
        self._recent.append(now_s)
        while self._recent[0] <= now_s - policy.within_s:
            self._recent.popleft()
        if code in policy.final_codes or len(self._recent) >= policy.max_deaths:
            return None
        if lived_s >= policy.settled_s:
            self._wait_s = policy.first_wait_s
        wait_s = self._wait_s
        self._wait_s = min(2 * wait_s, policy.longest_wait_s)
        return wait_s
