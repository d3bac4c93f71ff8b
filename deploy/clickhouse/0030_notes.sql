-- Which texts are notes on a follow-up case, and since when: a note that no case names is somebody's try that came to
-- nothing, and goes.

ALTER TABLE people
    ADD COLUMN IF NOT EXISTS case_id String COMMENT 'the case that a note is about; empty: the text of an answer',
    ADD COLUMN IF NOT EXISTS noted_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it was sent, by its sender''s clock';
