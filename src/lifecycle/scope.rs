//! What a build's tokens open in each phase: they are dead when the phase moves on.

use crate::boot::Scope;
use crate::model::{Build, Phase, Purpose};

/// Whether a token of this scope is good for anything now.
///
/// A stalled build still hears reports: that nothing came in time proves no failure, and a slow
/// machine may yet tell the truth. It gets no documents any more.
///
/// The hand-off opens as soon as the installer has asked for it: the report of the installer's end
/// may be lost, and the first boot must not be. That holds for a held build too, for a machine that
/// restarts while its end is unheard looks like one that was cut off.
pub fn scope_open(build: &Build, scope: Scope) -> bool {
    if build.purpose == Purpose::Once {
        return match scope {
            Scope::Read | Scope::Report => build.phase == Phase::Booting,
            Scope::Secret | Scope::Enrol => false,
        };
    }
    match scope {
        Scope::Read => matches!(build.phase, Phase::Booting | Phase::Installing),
        Scope::Report => matches!(
            build.phase,
            Phase::Booting | Phase::Installing | Phase::Installed | Phase::Stalled
        ),
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
    use crate::lifecycle::step::tests::build_in;

    #[test]
    fn nothing_opens_before_a_boot_or_after_a_cancel() {
        for phase in [Phase::Idle, Phase::Armed, Phase::Held] {
            for scope in Scope::ALL {
                assert!(!scope_open(&build_in(phase), scope), "{phase} {scope:?}");
            }
        }
    }

    #[test]
    fn documents_are_closed_once_the_installer_ended() {
        for phase in Phase::ALL {
            let open = scope_open(&build_in(phase), Scope::Read);
            assert_eq!(
                open,
                matches!(phase, Phase::Booting | Phase::Installing),
                "{phase}"
            );
        }
    }
}
