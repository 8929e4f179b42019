//! What happens at an agent's server, and what it changes of a build. None of it moves a phase but
//! that a flag is in force only when the old identity is gone.

use super::StepError;
use crate::model::event::printable;
use crate::model::{Build, EventKind, Name, Phase};

/// See [`super::step`], which this is a part of.
pub(super) fn enrolment(
    system: &Name,
    was: &Build,
    event: &EventKind,
) -> Result<Option<Build>, StepError> {
    let mut build = was.clone();
    match event {
        EventKind::IdentityRevoked { identity } => {
            build.revoke.retain(|r| r.identity != *identity);
        }
        EventKind::RevocationFailed { identity, reason } => {
            let failed = Some(printable(reason, 500));
            let pending = build.revoke.iter_mut().find(|r| r.identity == *identity);
            if let Some(pending) = pending {
                pending.failed = failed;
            }
        }
        EventKind::Enrolled { key, .. } => match &was.enrolled {
            _ if !may_enrol(was) => {
                return Err(StepError::NotInPhase {
                    system: system.clone(),
                    phase: was.phase,
                    what: "enrolling its agent",
                });
            }
            Some(before) if before != key => {
                return Err(StepError::AlreadyEnrolled(system.clone()));
            }
            _ => build.enrolled = Some(key.clone()),
        },
        EventKind::EnrolmentRefused {
            identity,
            reused: true,
            ..
        } => {
            build.alarm = Some(format!(
                "its challenge was used already when another key wanted to be {identity}: one of \
                 the two was not this machine"
            ));
        }
        EventKind::RunReported {
            finding: Some(finding),
            ..
        } if may_enrol(was) => build.finding = Some(printable(finding, 500)),
        _ => {}
    }
    Ok((build != *was).then_some(build))
}

/// Whether the agent is at work.
fn may_enrol(build: &Build) -> bool {
    matches!(build.phase, Phase::Configuring | Phase::Stalled) && build.handoff_key.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::decide::may_boot;
    use crate::lifecycle::step::step;
    use crate::lifecycle::step::tests::{at, build_in};
    use crate::model::{Agent, Deadlines, Identity, Revocation, Why};

    fn identity() -> Identity {
        Identity {
            agent: Agent::Puppet,
            name: "web01.lab.example".to_string(),
        }
    }

    fn stepped(was: &Build, event: &EventKind) -> Result<Option<Build>, StepError> {
        let system = was.key.system.clone();
        step(&system, Some(was), 1, event, &Deadlines::default(), at(1))
    }

    #[test]
    fn a_flag_is_in_force_only_when_the_old_identity_is_gone() {
        let mut armed = build_in(Phase::Armed);
        armed.revoke = vec![Revocation {
            identity: identity(),
            failed: None,
        }];
        assert!(matches!(
            may_boot(&armed, at(1)),
            Err(Why::Revoking { failed: None, .. })
        ));
        let failed = EventKind::RevocationFailed {
            identity: identity(),
            reason: "it is down".to_string(),
        };
        let waits = stepped(&armed, &failed).expect("told").expect("changed");
        let why = may_boot(&waits, at(1)).expect_err("not yet").to_string();
        assert!(
            why.contains("puppet `web01.lab.example`") && why.contains("it is down"),
            "{why}"
        );
        let gone = EventKind::IdentityRevoked {
            identity: identity(),
        };
        let free = stepped(&waits, &gone).expect("told").expect("changed");
        assert!(may_boot(&free, at(1)).is_ok());
        assert_eq!(stepped(&free, &gone), Ok(None), "said twice");
    }

    #[test]
    fn a_challenge_is_good_for_one_key_and_only_while_the_agent_is_at_work() {
        let enrolled = |key: &str| EventKind::Enrolled {
            identity: identity(),
            key: key.to_string(),
        };
        for phase in Phase::ALL {
            let mut build = build_in(phase);
            build.handoff_key = Some("k".to_string());
            let told = stepped(&build, &enrolled("a"));
            let open = matches!(phase, Phase::Configuring | Phase::Stalled);
            assert_eq!(told.is_ok(), open, "{phase}");
        }
        let mut build = build_in(Phase::Configuring);
        build.handoff_key = Some("k".to_string());
        let once = stepped(&build, &enrolled("a"))
            .expect("told")
            .expect("changed");
        assert_eq!(stepped(&once, &enrolled("a")), Ok(None), "asked again");
        assert!(matches!(
            stepped(&once, &enrolled("b")),
            Err(StepError::AlreadyEnrolled(_))
        ));
        let refused = EventKind::EnrolmentRefused {
            identity: identity(),
            reason: "used".to_string(),
            reused: true,
        };
        let alarmed = stepped(&once, &refused).expect("told").expect("changed");
        assert!(alarmed.alarm.is_some() && alarmed.phase == Phase::Configuring);
    }

    #[test]
    fn what_the_server_found_is_the_reason_unless_the_machine_knows_better() {
        let mut build = build_in(Phase::Configuring);
        build.handoff_key = Some("k".to_string());
        let run = EventKind::RunReported {
            identity: identity(),
            status: "failed".to_string(),
            finding: Some("File[/etc/motd]: no such file".to_string()),
        };
        let found = stepped(&build, &run).expect("told").expect("changed");
        assert_eq!(found.phase, Phase::Configuring, "a report moves nothing");
        let report = |reason: Option<&str>| {
            EventKind::AgentReported(crate::model::event::AgentReport {
                agent: "puppet".to_string(),
                code: 4,
                class: "failed".to_string(),
                seconds: 1,
                reason: reason.map(str::to_string),
                log: "last line".to_string(),
                host_keys: Vec::new(),
            })
        };
        for (reason, want) in [
            (None, "File[/etc/motd]: no such file"),
            (Some("Exec[x]"), "Exec[x]"),
        ] {
            let failed = stepped(&found, &report(reason))
                .expect("told")
                .expect("changed");
            assert_eq!(failed.reason.as_deref(), Some(want));
            assert_eq!(
                failed.stage.as_ref().map(crate::model::Stage::as_str),
                Some("configure")
            );
        }
        // A run that is reported after the end changes nothing of it.
        let ready = build_in(Phase::Ready);
        assert_eq!(stepped(&ready, &run), Ok(None));
    }
}
