"""How the parts of score alarms are put together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from services.alerts.alarms.counts import ClickHouseCounts
from services.alerts.alarms.records import Speaker
from services.alerts.alarms.shown import Shown
from services.alerts.alarms.store import AlarmsFile
from services.alerts.alarms.watch import Watch
from services.alerts.alarms.whom import Silenced, Whom
from services.alerts.alarms.work import Alarms
from services.alerts.outlets import Outlet
from services.alerts.people import People
from services.common.settings import AlertsSettings


def made_of(
    settings: AlertsSettings,
    outlets: Sequence[Outlet],
    people: People,
    whom: Whom,
    silenced: Silenced,
    stack: contextlib.AsyncExitStack,
) -> Alarms:
    """Score alarms, in the folder that the store has locked; `stack` closes them. Said through what can say them."""
    file = AlarmsFile(settings.alerts_dir, whom.of_alarm, whom.when)
    stack.callback(file.close)
    counts = ClickHouseCounts(settings.clickhouse.get_secret_value())
    stack.push_async_callback(counts.close)
    watch = Watch(counts, file, settings.alarms_false_share) if settings.alarms_false_share else None
    speakers = [outlet.channel for outlet in outlets if isinstance(outlet.channel, Speaker)]
    shown = Shown(settings.clickhouse.get_secret_value())
    stack.push_async_callback(shown.close)
    return Alarms(
        watch,
        file,
        speakers,
        settings.alarms_every.total_seconds(),
        people=people,
        show=shown.write,
        silenced=silenced,
        may_look=whom.read,
    )
