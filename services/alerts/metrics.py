"""Metrics of the alerts service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# outcome: delivered, retry, refused, gone or invalid (one an attempt); given_up, too_old, withdrawn, case_closed (one a
# delivery).
DELIVERIES = Counter("pulse_alerts_deliveries", "Attempts and endings, by channel and outcome", ("channel", "outcome"))
SECONDS = Histogram(
    "pulse_alerts_delivery_seconds",
    "From the raise of a case to its delivery",
    ("channel",),
    buckets=(0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.25, 0.5, 1, 3, 10, 60, 600, 3600, 36000),
)
PENDING = Gauge("pulse_alerts_pending", "Deliveries not yet delivered or given up", ("channel",))
DEAD = Gauge("pulse_alerts_dead_letters", "Events given up that can be told again", ("channel",))
DISABLED = Gauge("pulse_alerts_channel_disabled", "1: the target answered 410 and gets nothing more", ("channel",))
# reason: unreadable, unknown_kind.
SKIPPED = Counter("pulse_alerts_skipped", "Records of followups.v1 that could not be used", ("reason",))
# reason: not_found, erased.
TEXT_MISSING = Counter(
    "pulse_alerts_text_missing", "Alerts sent without the comment and contact they have", ("reason",)
)
TEXT_SOURCE = Counter("pulse_alerts_text_reads", "Where comment and contact came from", ("source",))
PEOPLE_HELD = Gauge("pulse_alerts_people_held", "Entries of personal text held in memory")
# outcome: sent, missed.
HEARTBEATS = Counter("pulse_alerts_heartbeats", "Beats of the dead man's switch", ("outcome",))
STORE_REFUSED = Counter("pulse_alerts_store_refused", "Writes to SQLite that failed and are tried again")
# change: raised, ended.
ALARMS = Counter("pulse_alarms", "Score alarms raised and ended", ("change",))
ALARMS_OPEN = Gauge("pulse_alarms_open", "Score alarms that stand")
ALARMS_LOOKED = Gauge("pulse_alarms_looked_seconds", "When all teams had last been looked at, seconds since 1970")
# outcome: delivered, given_up.
ALARM_NOTES = Counter(
    "pulse_alarm_notes", "Messages about alarms and promoters, by channel and ending", ("channel", "outcome")
)
