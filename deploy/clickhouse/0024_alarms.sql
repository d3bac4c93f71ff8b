-- Score alarms as the alerts service last saw them; a row written twice is harmless. Counts are detractors, passives,
-- promoters.

CREATE TABLE IF NOT EXISTS alarms
(
    alarm_id String,
    team LowCardinality(String),
    since Date COMMENT 'first day of the lower score, UTC',
    raised_at DateTime64(3, 'UTC'),
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'null: it stands',
    ending LowCardinality(String) COMMENT 'recovered, withdrawn, settled; empty: it stands',
    before Array(UInt32) COMMENT 'of the 180 days before, as they counted when it was raised',
    after Array(UInt32) COMMENT 'from since to the day it was raised, as they counted then',
    now Array(UInt32) COMMENT 'all since then, as they counted at the last look',
    version UInt64 COMMENT 'milliseconds at which the row was written'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (team, alarm_id);
