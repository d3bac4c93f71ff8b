-- Customers whose case was resolved are asked again, and what they answer stands beside the case.

ALTER TABLE answers
    ADD COLUMN IF NOT EXISTS reask_of String COMMENT 'the follow-up about which the customer was asked again; else empty'
    AFTER erased;

ALTER TABLE followups
    ADD COLUMN IF NOT EXISTS reask_due_at Nullable(DateTime64(3, 'UTC'))
    COMMENT 'when the customer is to be asked again; not after changed_at: they were',
    ADD COLUMN IF NOT EXISTS reask_response_id String COMMENT 'the answer to that; empty: none',
    ADD COLUMN IF NOT EXISTS reask_score Nullable(UInt8) COMMENT 'of that answer as it stands',
    ADD COLUMN IF NOT EXISTS reask_answered_at Nullable(DateTime64(3, 'UTC')),
    ADD COLUMN IF NOT EXISTS reask_of String COMMENT 'the case that the opening answer was asked again about; else empty';
