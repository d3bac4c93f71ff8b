-- What the clocks of a case have told.

ALTER TABLE followup_events
    ADD COLUMN IF NOT EXISTS clock LowCardinality(String)
    COMMENT 'which clock a reminder, a broken promise or an escalation is about: contact or resolve; else empty',
    ADD COLUMN IF NOT EXISTS level UInt8 COMMENT 'of an escalation, from 1; else 0';
