-- The step of a build that was over with an event, and how long it took: JSON.
ALTER TABLE events ADD COLUMN ended TEXT;
