-- What is known: builds, what they pinned, what happened, who holds which address, and the
-- revisions of the site. Times are microseconds since 1970 UTC.
CREATE TABLE builds (
    system  TEXT    NOT NULL,
    epoch   INTEGER NOT NULL CHECK (epoch > 0),
    purpose TEXT    NOT NULL CHECK (purpose IN ('install', 'once')),
    phase   TEXT    NOT NULL CHECK (phase IN ('idle', 'armed', 'booting', 'installing', 'installed',
                                              'configuring', 'ready', 'failed', 'stalled', 'held')),
    build   TEXT    NOT NULL,
    PRIMARY KEY (system, epoch)
) STRICT;

-- Everything a build pinned: rendered documents (with token placeholders), artefact digests,
-- deadlines. Compressed JSON.
CREATE TABLE pins (
    system TEXT    NOT NULL,
    epoch  INTEGER NOT NULL,
    pinned BLOB    NOT NULL,
    PRIMARY KEY (system, epoch)
) STRICT;

CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    time   INTEGER NOT NULL,
    system TEXT    NOT NULL,
    epoch  INTEGER,
    phase  TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    event  TEXT    NOT NULL
) STRICT;
CREATE INDEX events_by_system ON events (system, number);

-- One row an address: two clients can never hold the same one.
CREATE TABLE leases (
    ip       INTEGER PRIMARY KEY,
    mac      TEXT    NOT NULL,
    state    TEXT    NOT NULL CHECK (state IN ('bound', 'released', 'declined')),
    granted  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    hostname TEXT
) STRICT;

-- Revisions of the site, by the digest of their files; the files themselves by theirs.
CREATE TABLE revisions (
    digest   TEXT    PRIMARY KEY,
    time     INTEGER NOT NULL,
    author   TEXT    NOT NULL,
    manifest TEXT    NOT NULL
) STRICT;
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    bytes  BLOB NOT NULL
) STRICT;
CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
