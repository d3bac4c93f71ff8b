"""How the parts of score alarms are put together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from services.alerts.alarms.counts import ClickHouseCounts
from services.alerts.alarms.records import NoteKind, Speaker
from services.alerts.alarms.shown import Shown
from services.alerts.alarms.store import AlarmsFile
from services.alerts.alarms.watch import Watch
from services.alerts.alarms.work import Alarms
from services.alerts.outlets import Outlet
from services.alerts.people import People
from services.common.settings import AlertsSettings


def made_of(
    settings: AlertsSettings, outlets: Sequence[Outlet], people: People, stack: contextlib.AsyncExitStack
) -> Alarms:
    """Score alarms, in the folder that the store has locked; `stack` closes them. Said through what can say them."""
    speaking = [(outlet.channel, outlet.teams) for outlet in outlets if isinstance(outlet.channel, Speaker)]

    def to(team: str, kind: NoteKind) -> list[str]:
        return [channel.name for channel, teams in speaking if channel.says(kind) and (teams is None or team in teams)]

    file = AlarmsFile(settings.alerts_dir, to)
    stack.callback(file.close)
    counts = ClickHouseCounts(settings.clickhouse.get_secret_value())
    stack.push_async_callback(counts.close)
    watch = Watch(counts, file, settings.alarms_false_share) if settings.alarms_false_share else None
    speakers = [channel for channel, _ in speaking]
    shown = Shown(settings.clickhouse.get_secret_value())
    stack.push_async_callback(shown.close)
    return Alarms(watch, file, speakers, settings.alarms_every.total_seconds(), people=people, show=shown.write)
