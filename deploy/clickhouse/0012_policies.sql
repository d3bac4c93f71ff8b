-- What each team promised, and from when on: one row each time it was changed.

CREATE TABLE IF NOT EXISTS policies
(
    team LowCardinality(String),
    version UInt64 COMMENT 'generation * 2^48 + offset of the record',
    set_at DateTime64(3, 'UTC'),
    rev String COMMENT 'hash of all of it',
    until Nullable(DateTime64(3, 'UTC')) COMMENT 'how far the calendar is expanded; null: around the clock',
    contact_ms UInt64,
    resolve_ms UInt64,
    root_causes Array(String),
    config String COMMENT 'JSON object of the team''s whole configuration'
)
ENGINE = ReplacingMergeTree
ORDER BY (team, version);
