//! One-shot kernels that never say anything, such as memtest: being served is all that is ever known
//! of them.

use super::deadline::after;
use super::step::SAME_BOOT;
use crate::model::{Build, EventKind, Phase, Timestamp};

/// What becomes of such a build instead of `next`.
///
/// It is up once the boot that it was served to is over: until then firmware that asks again, or
/// probes first, gets the same answer. A later boot is another one, and gets the own disk.
pub fn silent(was: Option<&Build>, mut next: Build, event: &EventKind, now: Timestamp) -> Build {
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
