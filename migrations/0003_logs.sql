-- What machines log while a build is under way: lines of their syslog and the tails that reports
-- carry. The newest of each build.
CREATE TABLE logs (
    system TEXT    NOT NULL,
    epoch  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    time   INTEGER NOT NULL,
    source TEXT    NOT NULL,
    line   TEXT    NOT NULL,
    PRIMARY KEY (system, epoch, number)
) STRICT, WITHOUT ROWID;

-- Machines that were seen and not declared.
CREATE TABLE discovered (
    mac  TEXT    PRIMARY KEY,
    seen INTEGER NOT NULL,
    what TEXT    NOT NULL
) STRICT;
