"""Score alarms: counts from ClickHouse → what changed → SQLite → the channels that can say it."""
