"""`pulse silence` and `pulse resend`: what is asked of the alerts service, and what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.cli.codes import Exit
from tests.unit.cli.conftest import FakeService, Pulse

MADE = {
    "id": "5f3c",
    "team": "billing",
    "channel": None,
    "since": "2026-11-29T16:00:00Z",
    "until": "2026-11-29T18:00:00Z",
    "reason": "moving",
}


def test_a_silence_is_asked_for_in_minutes(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("POST /v1/silences", MADE, 201)
    done = pulse("silence", "billing", "--for", "2h", "--reason", "moving", "--data", str(data), "--json")
    assert done.exit_code == 0
    ((what, _, body),) = service.sent
    assert what == "POST /v1/silences"
    assert body == {"team": "billing", "channel": None, "minutes": 120, "reason": "moving"}
    assert json.loads(done.output) == {"silences": [MADE]}


def test_what_is_held_back_is_listed_and_ended(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("/v1/silences", {"silences": [MADE]})
    service.says("DELETE /v1/silences/5f3c", MADE)
    listed = pulse("silence", "--data", str(data))
    assert (listed.exit_code, "5f3c" in listed.output, "moving" in listed.output) == (0, True, True)
    assert pulse("silence", "--end", "5f3c", "--data", str(data)).exit_code == 0
    assert [what for what, _, _ in service.sent][-1] == "DELETE /v1/silences/5f3c"


@pytest.mark.parametrize("length", ["", "2", "0h", "31d", "h", "2 h", "-1h"])
def test_a_length_that_makes_no_sense_is_refused(pulse: Pulse, service: FakeService, data: Path, length: str) -> None:
    done = pulse("silence", f"--for={length}", "--data", str(data))
    assert done.exit_code == Exit.USAGE
    assert service.sent == []


def test_resend_says_how_many_go_again(pulse: Pulse, service: FakeService, data: Path) -> None:
    service.says("POST /v1/deliveries/resend", {"resent": {"slack": 3}})
    done = pulse("resend", "--channel", "slack", "--data", str(data), "--json")
    assert json.loads(done.output) == {"resent": {"slack": 3}}
    ((_, _, body),) = service.sent
    assert body == {"id": None, "channel": "slack"}
