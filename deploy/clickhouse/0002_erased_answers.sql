-- An erased answer keeps one row, which says when it was given and nothing else. The sink deletes its other rows.

ALTER TABLE answers
    ADD COLUMN IF NOT EXISTS erased UInt8
    COMMENT '1: erased for good, and of the other columns only team, response_id, version and the times mean anything'
    AFTER not_raised;

ALTER TABLE answers MODIFY COLUMN counted Bool MATERIALIZED empty(reasons) AND NOT erased;
