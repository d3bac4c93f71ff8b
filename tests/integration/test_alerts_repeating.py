"""What nobody acknowledges is told again by real processes, one of which is killed on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_alerts_process import Instance, instance, kill_9, started
from tests.unit.alerts.builders import now_ms, raised, until
from tests.unit.alerts.vendors import HttpVendor, check_slack
from tests.unit.alerts.wire import publish

pytestmark = pytest.mark.real
__all__ = ["instance"]  # the fixture

EVERY_S = 3


async def test_open_cases_are_told_again_over_a_kill_until_they_are_acknowledged(
    instance: Instance, tmp_path: Path
) -> None:
    began_ms = now_ms()
    cases = [raised(number, at_ms=began_ms) for number in range(3)]
    slack, config = HttpVendor(check_slack, 200), tmp_path / "targets.toml"
    await slack.server.start_server()
    config.write_text(
        f'[targets.slack]\nkind = "slack"\nurl = "{slack.server.make_url("/x")}"\n'
        f'group_interval = "1s"\nrepeat_interval = "{EVERY_S}s"\n'
    )
    more = {"PULSE_ALERTS_CONFIG": str(config)}

    async def repeated() -> list[str]:
        rows = await instance.deliveries("state=delivered")
        return [row["message_id"] for row in rows if row["kind"] == "followup.repeated"]

    async def so_often(times: int) -> bool:
        return len(set(await repeated())) >= times

    async with started(instance, "", **more) as process:
        await publish(instance.kafka, cases)
        await until(lambda: so_often(1), 40)
        kill_9(process)
    async with started(instance, "", **more):
        await until(lambda: so_often(3), 40)
        taken = [raised(number, kind="followup.acknowledged", state="acknowledged", n=2) for number in range(3)]
        await publish(instance.kafka, taken)

        async def nothing_ahead() -> bool:
            rows = await instance.deliveries()
            return all(row["state"] != "pending" for row in rows)

        await publish(instance.kafka, [raised(9, team="billing")])
        await until(lambda: len(slack.ids) > 0 and raised(9, team="billing").event_id in slack.ids, 20)
        await until(nothing_ahead, 20)
        ids = await repeated()
        messages = {message: ids.count(message) for message in ids}
        # All three each time; the first may have come before the last two had been told for half the interval.
        assert set(messages.values()) <= {1, 2, 3}
        assert list(messages.values()).count(3) >= len(messages) - 1
        told = set(slack.ids)
        assert set(ids) <= told
    billing = raised(9, team="billing").event_id
    taken_ids = {case.event_id for case in cases}
    async with started(instance, "", **more):
        before = {one for one in slack.ids if one not in taken_ids}
        await until(lambda: so_often(len(messages) + 1), 40)  # of billing, which nobody has taken
        later = {one for one in slack.ids if one not in taken_ids} - before - {billing}
        rows = await instance.deliveries()
        assert {row["case_id"] for row in rows if row["message_id"] in later} == {
            raised(9, team="billing").case.case_id
        }
    assert slack.wrong == []
    await slack.away()
