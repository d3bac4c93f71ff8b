-- What queries read. Every row carries a version, so writing one twice is harmless and the order of arrival does not
-- matter. Partitions follow what never changes about a row: two versions of a key must meet to be merged.

CREATE TABLE IF NOT EXISTS panes
(
    team LowCardinality(String),
    minute DateTime('UTC') COMMENT 'end of the minute: holds the answers of (minute - 60 s, minute]',
    scores Array(UInt32) COMMENT '11 counts, one per score 0..10: policy all',
    latest Array(UInt32) COMMENT '11 counts: policy latest, as known now',
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (team, minute);

CREATE TABLE IF NOT EXISTS scores
(
    team LowCardinality(String),
    minutes UInt32 COMMENT 'length of the window',
    policy LowCardinality(String),
    as_of DateTime('UTC'),
    valid_until Nullable(DateTime('UTC')) COMMENT 'null: no answer is left in any window',
    detractors UInt32,
    passives UInt32,
    promoters UInt32,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (team, policy, minutes);

CREATE TABLE IF NOT EXISTS answers
(
    team LowCardinality(String),
    response_id String,
    version UInt64 COMMENT 'of the record that made this state; the greatest is the answer as it stands',
    event_at DateTime64(3, 'UTC') COMMENT 'fixed by the first accepted record of the id',
    known_at DateTime64(3, 'UTC') COMMENT 'append time of the record that made this state',
    first_offset UInt64 COMMENT 'breaks ties of event_at for policy latest',
    score UInt8,
    revision UInt32,
    respondent String COMMENT 'keyed hash; empty: unknown',
    reasons Array(LowCardinality(String)) COMMENT 'why it is not counted; empty: counted',
    counted Bool MATERIALIZED empty(reasons),
    history Bool COMMENT 'older than the horizon at its receipt: in no pane',
    personal Bool COMMENT 'the table people holds text for it',
    survey LowCardinality(String),
    channel LowCardinality(String),
    locale LowCardinality(String),
    medium LowCardinality(String),
    callback_at Nullable(DateTime64(3, 'UTC')),
    age_group LowCardinality(String),
    attributes Map(String, String),
    case_id String,
    not_raised LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_at)
ORDER BY (team, event_at, response_id, version);

CREATE TABLE IF NOT EXISTS people
(
    team LowCardinality(String),
    response_id String,
    revision UInt32,
    comment String,
    respondent_id String,
    name String,
    email String,
    phone String,
    answers String COMMENT 'JSON object of the free replies',
    version UInt64 COMMENT 'deleted, revision, generation, offset, most significant first',
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (team, response_id);

CREATE TABLE IF NOT EXISTS followups
(
    case_id String,
    team LowCardinality(String),
    response_id String,
    score UInt8,
    state LowCardinality(String),
    n UInt32 COMMENT 'number of the case''s newest event: what If-Match names',
    raised_at DateTime64(3, 'UTC'),
    changed_at DateTime64(3, 'UTC'),
    contact_due_at DateTime64(3, 'UTC'),
    resolve_due_at DateTime64(3, 'UTC'),
    answers Array(String),
    respondent String,
    owner String,
    survey LowCardinality(String),
    channel LowCardinality(String),
    locale LowCardinality(String),
    medium LowCardinality(String),
    callback_at Nullable(DateTime64(3, 'UTC')),
    personal Bool,
    joined_into String,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (team, case_id);

CREATE TABLE IF NOT EXISTS followup_events
(
    case_id String,
    n UInt32,
    event_id String,
    team LowCardinality(String),
    kind LowCardinality(String),
    at DateTime64(3, 'UTC'),
    response_id String,
    state LowCardinality(String),
    score UInt8,
    owner String,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (team, case_id, n);

CREATE TABLE IF NOT EXISTS corrections
(
    id String,
    team LowCardinality(String),
    known_at DateTime64(3, 'UTC'),
    as_of DateTime('UTC'),
    cause LowCardinality(String),
    response_id String,
    deltas Array(Tuple(minute DateTime('UTC'), policy LowCardinality(String), score UInt8, change Int8)),
    windows Array(Tuple(
        minutes UInt32,
        policy LowCardinality(String),
        before Array(UInt32),
        after Array(UInt32)
    )) COMMENT 'live windows moved, [detractors, passives, promoters] before and after',
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(known_at)
ORDER BY (team, known_at, id);

CREATE TABLE IF NOT EXISTS rejects
(
    id String,
    topic LowCardinality(String),
    partition UInt16,
    offset UInt64,
    at DateTime64(3, 'UTC'),
    reason LowCardinality(String),
    detail String,
    key String,
    record String COMMENT 'the record''s value as it was; empty for personal text'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (at, id);

CREATE TABLE IF NOT EXISTS positions
(
    topic LowCardinality(String) COMMENT 'the output topic whose rows are stored',
    partition UInt16,
    through UInt64 COMMENT 'everything the log records below this offset caused in that topic is stored',
    version UInt64 COMMENT 'generation * 2^48 + through'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (topic, partition);
