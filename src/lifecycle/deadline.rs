//! How long each phase may last. A phase always ends.

use std::time::Duration;

use crate::model::{Build, Deadlines, Phase, Timestamp};

/// When a phase that begins at `now` must have ended; none for phases that are an end.
/// `Armed` keeps the expiry it was flagged with.
pub fn next_deadline(phase: Phase, deadlines: &Deadlines, now: Timestamp) -> Option<Timestamp> {
    let lasts = match phase {
        Phase::Booting => deadlines.boot,
        Phase::Installing => deadlines.install,
        Phase::Installed => deadlines.first_boot,
        Phase::Configuring => deadlines.configure,
        Phase::Idle
        | Phase::Armed
        | Phase::Ready
        | Phase::Failed
        | Phase::Stalled
        | Phase::Held => return None,
    };
    Some(after(now, lasts))
}

/// `now` plus `lasts`, at the latest representable time.
pub fn after(now: Timestamp, lasts: Duration) -> Timestamp {
    now.checked_add(lasts).unwrap_or(Timestamp::MAX)
}

/// What is expected next of a build, as a sentence without its time.
pub fn expected_next(build: &Build) -> Option<&'static str> {
    match build.phase {
        Phase::Armed => Some("a network boot of the machine"),
        Phase::Booting => Some("the installer fetches its answers"),
        Phase::Installing => Some("the installer reports its end"),
        Phase::Installed => Some("the installed system boots and takes its hand-off"),
        Phase::Configuring => Some("the agent reports its result"),
        _ => None,
    }
}
