-- What people said, once deleted, is to leave the disk at once: files that were replaced are not kept for 8 minutes. They
-- were kept against a power failure, so their successors are synced instead.

ALTER TABLE people MODIFY SETTING old_parts_lifetime = 0, min_rows_to_fsync_after_merge = 1, fsync_part_directory = 1;

ALTER TABLE answers MODIFY SETTING old_parts_lifetime = 0, min_rows_to_fsync_after_merge = 1, fsync_part_directory = 1;
