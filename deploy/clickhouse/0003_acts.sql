-- What people do with follow-up cases: how a case stands because of it, who did what, and what became of each command.

ALTER TABLE followups
    ADD COLUMN IF NOT EXISTS contacted_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the customer first heard from us',
    ADD COLUMN IF NOT EXISTS agreed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the customer is to be called back',
    ADD COLUMN IF NOT EXISTS snoozed_until Nullable(DateTime64(3, 'UTC')),
    ADD COLUMN IF NOT EXISTS snoozed_from LowCardinality(String) COMMENT 'the state that it wakes up to',
    ADD COLUMN IF NOT EXISTS resolved_at Nullable(DateTime64(3, 'UTC')),
    ADD COLUMN IF NOT EXISTS cause LowCardinality(String) COMMENT 'why the customer was unhappy',
    ADD COLUMN IF NOT EXISTS attempts UInt32 COMMENT 'to contact the customer',
    ADD COLUMN IF NOT EXISTS contacts UInt32 COMMENT 'that came about, in both directions',
    ADD COLUMN IF NOT EXISTS notes Array(String) COMMENT 'ids under which the table people holds their texts';

ALTER TABLE followup_events
    ADD COLUMN IF NOT EXISTS actor String COMMENT 'who did it; empty: nobody of the team',
    ADD COLUMN IF NOT EXISTS medium LowCardinality(String) COMMENT 'of this contact or callback',
    ADD COLUMN IF NOT EXISTS outcome LowCardinality(String) COMMENT 'of this contact',
    ADD COLUMN IF NOT EXISTS until Nullable(DateTime64(3, 'UTC')) COMMENT 'of this callback or snooze',
    ADD COLUMN IF NOT EXISTS cause LowCardinality(String) COMMENT 'of this resolution',
    ADD COLUMN IF NOT EXISTS note String COMMENT 'id under which the table people holds its text';

CREATE TABLE IF NOT EXISTS followup_commands
(
    case_id String,
    command_id String,
    team LowCardinality(String),
    at DateTime64(3, 'UTC') COMMENT 'when it was decided on',
    act String COMMENT 'what was asked, as the log has it: JSON',
    refused_for LowCardinality(String) COMMENT 'empty: it was applied',
    allowed Array(LowCardinality(String)) COMMENT 'of a refused one: what may be asked in this state',
    causes Array(String) COMMENT 'of one refused for its cause: what the team resolves cases with',
    state LowCardinality(String) COMMENT 'of the case after it; empty: there is no such case',
    n UInt32 COMMENT 'of the case after it',
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (case_id, command_id);
