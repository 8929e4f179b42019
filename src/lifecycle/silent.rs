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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::step;
    use crate::lifecycle::step::tests::{at, build_in};
    use crate::model::{Deadlines, Firmware};

    fn began() -> EventKind {
        EventKind::BootBegan {
            mac: "52:54:00:00:00:01".parse().expect("a mac"),
            firmware: Firmware::BIOS,
            uuid: None,
        }
    }

    /// What the writer makes of an event, for an installer that never reports.
    fn after(was: &Build, event: &EventKind, seconds: i64) -> Build {
        let system = was.key.system.clone();
        let next = step(
            &system,
            Some(was),
            1,
            event,
            &Deadlines::default(),
            at(seconds),
        );
        match next.expect("taken") {
            Some(next) => silent(Some(was), next, event, at(seconds)),
            None => was.clone(),
        }
    }

    #[test]
    fn an_installer_that_says_nothing_ended_when_its_machine_boots_again() {
        let installing = build_in(Phase::Installing);
        let same = after(&installing, &began(), 5);
        assert_eq!(same.phase, Phase::Installing, "the same boot asks again");
        let ended = after(&installing, &began(), 600);
        assert_eq!((ended.phase, ended.ended), (Phase::Ready, Some(at(600))));
        assert_eq!(ended.reason.as_deref(), Some(UNHEARD));
        // also where its answer was the permit to write
        let permitted = Build {
            disk: Some("the one that config.yaml names".into()),
            ..installing.clone()
        };
        assert_eq!(after(&permitted, &began(), 600).phase, Phase::Ready);
        let overdue = after(&installing, &EventKind::DeadlinePassed, 100_000);
        assert_eq!(
            overdue.phase,
            Phase::Stalled,
            "nothing boots: nothing is concluded"
        );
    }

    #[test]
    fn before_it_had_its_answers_it_is_another_attempt() {
        let booting = build_in(Phase::Booting);
        let again = after(&booting, &began(), 600);
        assert_eq!(again.phase, Phase::Booting);
        assert!(again.fresh_boot);
    }
}
