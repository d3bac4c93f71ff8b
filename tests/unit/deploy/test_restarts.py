"""When a dead process is started again."""

from __future__ import annotations

from itertools import pairwise

from deploy.local.restarts import Deaths, Policy

KILLED = -9


def waits(lives_s: list[float], policy: Policy | None = None, code: int = KILLED) -> list[float | None]:
    """The wait after each of a process's lives, one after the other."""
    deaths, now_s, found = Deaths(policy or Policy()), 0.0, []
    for lived_s in lives_s:
        now_s += lived_s
        wait_s = deaths.wait_s(now_s, lived_s, code)
        found.append(wait_s)
        now_s += wait_s or 0
    return found


def test_waits_double_up_to_the_longest() -> None:
    assert waits([0.1] * 7) == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_the_eighth_death_within_two_minutes_is_the_last() -> None:
    found = waits([0.1] * 8)
    assert found[-1] is None
    assert None not in found[:-1]


def test_deaths_that_lie_far_apart_never_add_up() -> None:
    assert None not in waits([20.0] * 50)


def test_waits_begin_anew_after_a_settled_life() -> None:
    assert waits([1, 1, 1, 31, 1]) == [0.2, 0.4, 0.8, 0.2, 0.4]


def test_a_process_that_says_it_cannot_work_is_not_started_again() -> None:
    assert waits([0.1], code=2) == [None]


def test_any_other_exit_code_is_worth_another_try() -> None:
    assert waits([0.1], code=1) == [0.2]
    assert waits([0.1], code=0) == [0.2]


def test_no_wait_is_shorter_than_the_one_before_in_a_crash_loop() -> None:
    found = [wait for wait in waits([0.1] * 7) if wait is not None]
    assert all(first <= second for first, second in pairwise(found))
