//! What a build's tokens open in each phase: they are dead when the phase moves on.

use std::time::Duration;

use super::deadline::after;
use crate::boot::Scope;
use crate::model::{Build, Phase, Purpose, Timestamp};

/// How long a failed installer may still send its logs and say why.
const LAST_WORDS: Duration = Duration::from_secs(600);

/// Whether all that an installer may still send is its last words, which move nothing: its logs, its
/// bundle, and why it failed.
///
/// Some report twice. Ubuntu's webhook says that the installation failed, and only after that is the
/// command run that has the logs and the reason.
pub fn only_last_words(build: &Build) -> bool {
    build.phase == Phase::Failed
}

/// Whether it is an installer that failed, lately: whoever took a hand-off has no installer any more.
fn may_have_last_words(build: &Build, now: Timestamp) -> bool {
    let lately = |ended| now < after(ended, LAST_WORDS);
    build.phase == Phase::Failed && build.handoff_key.is_none() && build.ended.is_some_and(lately)
}

/// Whether a token of this scope is good for anything now.
///
/// A stalled build still hears reports: that nothing came in time proves no failure, and a slow
/// machine may yet tell the truth. It gets no documents any more.
///
/// The hand-off opens as soon as the installer has asked for it: the report of the installer's end
/// may be lost, and the first boot must not be. That holds for a held build too, for a machine that
/// restarts while its end is unheard looks like one that was cut off.
///
/// A failed installer is heard for ten minutes more, see [`only_last_words`].
pub fn scope_open(build: &Build, scope: Scope, now: Timestamp) -> bool {
    if build.purpose == Purpose::Once {
        return match scope {
            Scope::Read | Scope::Report => build.phase == Phase::Booting,
            Scope::Secret | Scope::Enrol => false,
        };
    }
    match scope {
        Scope::Read => matches!(build.phase, Phase::Booting | Phase::Installing),
        Scope::Report => match build.phase {
            Phase::Booting | Phase::Installing | Phase::Installed => true,
            Phase::Stalled => build.handoff_key.is_none(),
            _ => may_have_last_words(build, now),
        },
        Scope::Secret => match build.phase {
            Phase::Installing | Phase::Held => build.handoff_asked,
            Phase::Installed
            | Phase::Configuring
            | Phase::Ready
            | Phase::Stalled
            | Phase::Failed => true,
            Phase::Idle | Phase::Armed | Phase::Booting => false,
        },
        Scope::Enrol => {
            matches!(build.phase, Phase::Configuring | Phase::Stalled)
                && build.handoff_key.is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::step::tests::{at, build_in};

    #[test]
    fn nothing_opens_before_a_boot_or_after_a_cancel() {
        for phase in [Phase::Idle, Phase::Armed, Phase::Held] {
            for scope in Scope::ALL {
                assert!(
                    !scope_open(&build_in(phase), scope, at(9)),
                    "{phase} {scope:?}"
                );
            }
        }
    }

    #[test]
    fn documents_are_closed_once_the_installer_ended() {
        for phase in Phase::ALL {
            let open = scope_open(&build_in(phase), Scope::Read, at(9));
            assert_eq!(
                open,
                matches!(phase, Phase::Booting | Phase::Installing),
                "{phase}"
            );
        }
    }

    #[test]
    fn a_failed_installer_has_ten_minutes_for_its_last_words() {
        let failed = build_in(Phase::Failed);
        let since = failed.ended.expect("an end");
        let open = |build: &Build, scope, seconds| {
            scope_open(build, scope, after(since, Duration::from_secs(seconds)))
        };
        for (scope, still) in [
            (Scope::Report, true),
            (Scope::Read, false),
            (Scope::Enrol, false),
        ] {
            assert_eq!(open(&failed, scope, 599), still, "{scope:?}");
        }
        assert!(!open(&failed, Scope::Report, 600));
        assert!(only_last_words(&failed));
        // its agent failed: the installer was done long before
        let agents = Build {
            handoff_key: Some("k".to_string()),
            ..failed
        };
        assert!(!open(&agents, Scope::Report, 1));
        assert!(
            Phase::ALL
                .iter()
                .all(|phase| only_last_words(&build_in(*phase)) == (*phase == Phase::Failed))
        );
    }
}
