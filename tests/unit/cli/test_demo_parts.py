"""The demo's parts: the sample, the receiver, the recount that checks the instance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest
from standardwebhooks import Webhook

from schemas.responses import ResponseIn
from services.cli.demo.command import Screen
from services.cli.demo.receiver import receiver
from services.cli.demo.recount import Entry, Recount, recount
from services.cli.demo.sample import DIPPING, WEEK_MS, draw
from stream.domain.scores import Tally, nps

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
DAY = 1_440
MINUTE_MS = 60_000


class TestSample:
    def test_every_answer_is_one_the_door_takes(self) -> None:
        sample = draw("run", NOW_MS)
        for body in [*sample.history, *sample.edits, *sample.live]:
            msgspec.convert(body, ResponseIn)

    def test_the_same_run_is_the_same_sample_and_another_shares_no_id(self) -> None:
        assert draw("a", NOW_MS) == draw("a", NOW_MS)
        ids = [{body["response_id"] for body in draw(run, NOW_MS).history} for run in "ab"]
        assert not ids[0] & ids[1]

    def test_it_spreads_over_the_last_week_and_stays_within_it(self) -> None:
        times = [datetime.fromisoformat(body["answered_at"]).timestamp() * 1_000 for body in draw("a", NOW_MS).history]
        assert NOW_MS - WEEK_MS < min(times) < NOW_MS - 6 * DAY_MS
        assert NOW_MS - DAY_MS < max(times) < NOW_MS

    def test_one_team_dips_in_the_live_part(self) -> None:
        sample = draw("a", NOW_MS)

        def score(bodies: list[dict[str, Any]]) -> float:
            scores = [body["score"] for body in bodies if body["team"] == DIPPING]
            found = nps(
                Tally(sum(s <= 6 for s in scores), sum(7 <= s <= 8 for s in scores), sum(s >= 9 for s in scores))
            )
            assert found is not None
            return found

        assert score(sample.live) < score(sample.history) - 50

    def test_edits_lift_answers_that_are_there(self) -> None:
        sample = draw("a", NOW_MS)
        before = {body["response_id"]: body for body in sample.history}
        assert sample.edits
        assert all(edit["revision"] == 1 and before[edit["response_id"]]["score"] <= 6 for edit in sample.edits)


async def test_a_delivery_counts_once_and_only_with_its_signature() -> None:
    seen: list[Any] = []
    async with receiver(seen.append) as inbox, aiohttp.ClientSession() as session:
        body = '{"type": "followup.raised", "data": {}}'
        now = datetime.now(UTC)
        headers = {"webhook-id": "one", "webhook-timestamp": str(int(now.timestamp()))}
        good = headers | {"webhook-signature": Webhook(inbox.secret).sign("one", now, body)}
        for sent, status in ((good, 204), (good, 204), (headers | {"webhook-signature": "v1,AAAA"}, 401)):
            async with session.post(inbox.url, data=body, headers=sent) as answer:
                assert answer.status == status
        assert (list(inbox.bodies), len(seen), inbox.forged) == (["one"], 1, 1)


def answer(
    offset: int, response_id: str, score: int, *, appended: float, answered: float | None = None, **more: Any
) -> Entry:
    """`appended` and `answered` in days."""
    record = {"type": "answer", "response_id": response_id, "score": score, "content": str(offset), **more}
    if answered is not None:
        record["answered_ms"] = int(answered * DAY_MS)
    return Entry("team", offset, int(appended * DAY_MS), record)


# The rolling scenario of the contract: A 10 @d1, B 3 @d2, C 8 @d3, A 6 @d5, D 9 @d6 received at d9, B edited at d7.5.
SCENARIO = [
    answer(0, "a1", 10, appended=1, respondent="A"),
    answer(1, "b", 3, appended=2, respondent="B"),
    answer(2, "c", 8, appended=3, respondent="C"),
    answer(3, "a2", 6, appended=5, respondent="A"),
    answer(4, "b", 9, appended=7.5, respondent="B", revision=1),
    answer(5, "d", 9, appended=9, answered=6, respondent="D"),
]


@pytest.mark.parametrize(
    ("known", "as_of_day", "policy", "expected"),
    [
        (4, 7, "all", -25),
        (4, 7, "latest", -66.667),
        (5, 7, "all", 25),
        (5, 7, "latest", 0),
        (6, 9, "all", 0),
        (6, 9, "latest", 0),
        (6, 7, "all", 40),
        (6, 7, "latest", 25),
    ],
)
def test_the_rolling_scenario(known: int, as_of_day: int, policy: str, expected: float) -> None:
    found = nps(Tally(*recount(SCENARIO[:known]).count("team", 7 * DAY, policy, as_of_day * DAY)))
    assert found == pytest.approx(expected, abs=1e-3)


def counts(*entries: Entry, minutes: int = 7 * DAY, policy: str = "all", as_of: int = 10 * DAY) -> tuple[int, int, int]:
    return recount(entries).count("team", minutes, policy, as_of)


class TestRecount:
    def test_the_same_answer_again_counts_once(self) -> None:
        assert counts(answer(0, "a", 9, appended=9), answer(1, "a", 9, appended=9.5)) == (0, 0, 1)

    def test_a_higher_revision_wins_and_a_lower_one_that_comes_late_does_not(self) -> None:
        first, second = answer(0, "a", 9, appended=9), answer(1, "a", 2, appended=9, revision=2)
        assert counts(first, second, answer(2, "a", 8, appended=9, revision=1)) == (1, 0, 0)

    def test_of_the_same_revision_the_later_wins(self) -> None:
        assert counts(answer(0, "a", 9, appended=9), answer(1, "a", 7, appended=9)) == (0, 1, 0)

    def test_the_first_record_fixes_the_time(self) -> None:
        late = answer(1, "a", 9, appended=9, answered=1, revision=1)
        assert counts(answer(0, "a", 9, appended=9), late, minutes=2 * DAY) == (0, 0, 1)

    def test_an_answer_from_the_future_has_the_time_it_came(self) -> None:
        assert counts(answer(0, "a", 9, appended=9, answered=99), as_of=9 * DAY) == (0, 0, 1)

    def test_tests_and_history_are_not_counted(self) -> None:
        assert counts(answer(0, "a", 9, appended=9, test=True)) == (0, 0, 0)
        old = answer(0, "a", 9, appended=1_000, answered=500)
        assert counts(old, minutes=1_000 * DAY, as_of=1_000 * DAY) == (0, 0, 0)

    def test_an_edit_of_an_answer_nobody_saw_is_not_counted(self) -> None:
        assert counts(answer(0, "a", 9, appended=9, revision=1)) == (0, 0, 0)
        assert counts(answer(0, "a", 9, appended=9, answered=9, revision=1)) == (0, 0, 1)

    def test_a_window_is_open_at_its_beginning_and_closed_at_its_end(self) -> None:
        at_nine = answer(0, "a", 9, appended=9)
        assert counts(at_nine, minutes=DAY, as_of=9 * DAY) == (0, 0, 1)
        assert counts(at_nine, minutes=DAY, as_of=10 * DAY - 1) == (0, 0, 1)
        assert counts(at_nine, minutes=DAY, as_of=10 * DAY) == (0, 0, 0)
        assert counts(at_nine, minutes=DAY, as_of=9 * DAY - 1) == (0, 0, 0)

    def test_answers_without_a_respondent_count_each(self) -> None:
        assert counts(answer(0, "a", 9, appended=9), answer(1, "b", 9, appended=9), policy="latest") == (0, 0, 2)

    def test_ties_of_a_respondent_go_to_the_later_record(self) -> None:
        tied = [answer(n, str(n), score, appended=9, respondent="r") for n, score in enumerate((9, 3))]
        assert counts(*tied, policy="latest") == (1, 0, 0)

    def test_other_records_change_nothing(self) -> None:
        result = Recount()
        result.apply(Entry("team", 0, 0, {"type": "tick"}))
        assert result.answers == {}


def test_the_demo_shows_alerts_and_alarms_and_passes_over_the_rest(capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=False)
    screen.alert({"type": "alarm.ended", "data": {}})
    screen.alert(
        {
            "type": "alarm.raised",
            "data": {"team": "checkout", "since": "2026-11-20", "before": {"nps": 56.4}, "after": {"nps": -12.5}},
        }
    )
    case = {"team": "support", "score": 3, "comment": None, "respondent": {"name": "Ada Berg"}}
    screen.alert({"type": "followup.raised", "data": case})
    said = capfd.readouterr().err
    assert "alarm  checkout: the score fell from 56 to -12, since 2026-11-20" in said
    assert "alert  support: Ada Berg gave 3: no comment" in said
    assert said.count("\n") == 2
