-- Secrets, each an age file sealed to the key in the state directory. `time` and `actor` say when and
-- by whom it was last set.
CREATE TABLE secrets (
    name   TEXT    PRIMARY KEY,
    sealed BLOB    NOT NULL,
    time   INTEGER NOT NULL,
    actor  TEXT    NOT NULL
) STRICT;
