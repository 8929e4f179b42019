-- What a build's events are found by.
CREATE INDEX events_by_build ON events (system, epoch, number);
