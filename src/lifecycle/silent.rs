//! Builds of which nothing ever reports: being served, and being booted again, is all that is ever
//! known of them.

use super::deadline::after;
use super::step::SAME_BOOT;
use crate::model::{Build, EventKind, Phase, Purpose, Timestamp};

/// Why such a build is ready.
const UNHEARD: &str = "it booted again after it was given its answers; this installer reports nothing, so whether it \
     succeeded is not known";

/// What becomes of such a build instead of `next`.
///
/// It is up once the boot that it was served to is over: until then firmware that asks again, or
/// probes first, gets the same answer. A later boot is another one, and gets the own disk.
///
/// An installer that never reports has ended, for all that is known, when the machine boots again
/// after it was given its answers. Whether it succeeded nobody says, and the reason says so.
pub fn silent(was: Option<&Build>, mut next: Build, event: &EventKind, now: Timestamp) -> Build {
    if next.purpose == Purpose::Install {
        let installing = was.filter(|was| was.phase == Phase::Installing && !was.fresh_boot);
        let began = matches!(event, EventKind::BootBegan { .. });
        if let (Some(was), true) = (installing, began)
            && (next.fresh_boot || next.phase == Phase::Held)
        {
            next = was.clone();
            next.phase = Phase::Ready;
            next.since = now;
            next.ended = Some(now);
            next.deadline = None;
            next.stage = None;
            next.observed = None;
            next.reason = Some(UNHEARD.to_string());
        }
        return next;
    }
    let booting = was.is_some_and(|was| was.phase == Phase::Booting);
    match event {
        EventKind::ScriptServed => next.deadline = Some(after(now, SAME_BOOT)),
        EventKind::DeadlinePassed | EventKind::BootBegan { .. }
            if booting && next.phase == Phase::Stalled =>
        {
            next.phase = Phase::Ready;
            next.stage = None;
            next.reason = None;
        }
        _ => {}
    }
    next
}
