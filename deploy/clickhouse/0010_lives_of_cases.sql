-- A case whose answer's id comes again 400 days after all of it had left counts its events anew, beside the old ones.

ALTER TABLE followup_events
    ADD COLUMN IF NOT EXISTS raised_at DateTime64(3, 'UTC') COMMENT 'of its case: tells the lives of one case apart',
    MODIFY ORDER BY (team, case_id, n, raised_at);
