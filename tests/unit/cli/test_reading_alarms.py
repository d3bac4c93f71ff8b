"""`pulse alarms` and `pulse promoters`: what is asked of whom, and what is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.cli.codes import Exit
from tests.unit.cli.conftest import FakeService, Pulse


def score(n: int, display: int | None) -> dict[str, Any]:
    return {"n": n, "detractors": 0, "passives": 0, "promoters": 0, "nps": display, "display": display}


ALARM = {
    "alarm_id": "5f3c",
    "team": "billing",
    "state": "open",
    "ending": None,
    "since": "2026-11-20",
    "raised_at": "2026-11-29T16:00:07Z",
    "ended_at": None,
    "before": score(1_800, 30),
    "after": score(100, -40),
    "now": score(1_120, -31),
    "change": {"points": -70.0, "low": -79.6, "high": -60.4},
}
PROMOTER = {
    "ask_id": "77",
    "team": "billing",
    "state": "open",
    "response_id": "0b6f8a52",
    "at": "2026-11-29T16:00:07Z",
    "told": [
        {"channel": "slack", "state": "delivered"},
        {"channel": "mail", "state": "pending"},
        {"channel": "log", "state": "given_up"},
    ],
}


def test_alarms_are_shown_as_a_table_and_as_the_service_said(pulse: Pulse, service: FakeService, data: Path) -> None:
    over = ALARM | {"state": "ended", "ending": "recovered", "change": None, "after": score(0, None)}
    service.says("/v1/alarms", {"items": [ALARM, over]})
    shown = pulse("alarms", "billing", "--state", "open", "--data", str(data)).stdout.splitlines()
    assert " ".join(shown[0].split()) == "raised team since before fell to now n since change state"
    assert shown[2].split("  ")[0] == "2026-11-29 16:00"
    assert "-70 (-80 … -60)" in shown[2]
    assert shown[2].split()[-1] == "open"
    assert "1,120" in shown[2]
    assert shown[3].split()[-2:] == ["–", "recovered"]
    asked = ("/v1/alarms", {"team": "billing", "state": "open", "limit": "50"}, "Bearer read-key")
    assert service.asked == [asked]
    found = pulse("alarms", "--limit", "7", "--json", "--data", str(data))
    assert json.loads(found.stdout) == {"items": [ALARM, over]}
    assert service.asked[1] == ("/v1/alarms", {"limit": "7"}, "Bearer read-key")


def test_promoters_are_shown_with_who_was_told_and_who_is_still_to_be(
    pulse: Pulse, service: FakeService, data: Path
) -> None:
    service.says("/v1/promoters", {"promoters": [PROMOTER]})
    shown = pulse("promoters", "--data", str(data)).stdout.splitlines()
    assert shown[2].split() == ["2026-11-29", "16:00", "billing", "open", "slack,", "(mail)", "0b6f8a52"]
    found = pulse("promoters", "--state", "open", "--json", "--data", str(data))
    assert json.loads(found.stdout) == {"promoters": [PROMOTER]}
    assert service.asked[1] == ("/v1/promoters", {"state": "open", "limit": "50"}, "Bearer read-key")


def test_none_of_either_is_said_where_people_look(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/alarms", {"items": []})
    service.says("/v1/promoters", {"promoters": []})
    for command, said in (("alarms", "no alarm"), ("promoters", "nobody has agreed")):
        done = pulse(command, "--data", str(data))
        assert (done.exit_code, done.stdout) == (Exit.OK, "")
        assert said in done.stderr
