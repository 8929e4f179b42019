-- Which revision came into force when: one row each time, so that going back to an earlier one is
-- a row of its own. What was known before is entered once, at its first time.
CREATE TABLE history (
    number  INTEGER PRIMARY KEY,
    time    INTEGER NOT NULL,
    author  TEXT    NOT NULL,
    digest  TEXT    NOT NULL,
    summary TEXT    NOT NULL
) STRICT;
CREATE INDEX history_by_time ON history (time);
INSERT INTO history (time, author, digest, summary)
SELECT time, author, digest, '' FROM revisions ORDER BY time;
ALTER TABLE revisions ADD COLUMN summary TEXT NOT NULL DEFAULT '';
