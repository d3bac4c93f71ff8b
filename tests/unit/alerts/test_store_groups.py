"""How the store finds things: what is asked after every message must not look at all that is pending."""

from __future__ import annotations

import sqlite3

from services.alerts.store_file import prepare
from services.alerts.store_groups import WAITING_SQL


def test_what_waits_for_a_message_is_found_from_the_message() -> None:
    file = sqlite3.connect(":memory:", isolation_level=None)
    prepare(file, 1)
    plan = [row[3] for row in file.execute(f"EXPLAIN QUERY PLAN {WAITING_SQL}", ("message", "channel", 1))]
    assert [step for step in plan if "deliveries" in step or "INDEX" in step] == [
        "SEARCH told USING INDEX by_message (message_id=? AND channel=?)",
        "SEARCH later USING INDEX by_case (case_id=?)",
    ]
