//! `step`: the state machine of a build. Total, pure, and the only thing that changes a phase.
//!
//! ```text
//!  Idle --flag--> Armed --first boot script served--> Booting --answer fetched--> Installing
//!       <---------- expire / cancel                                                   |
//!  Ready <--agent ok-- Configuring <--hand-off redeemed-- Installed <--installer ok---+
//!  any active phase --failure--> Failed   --deadline--> Stalled   --attempts spent--> Held
//! ```

use std::time::Duration;

use super::deadline::{after, next_deadline};
use super::enrol::enrolment;
use super::observed;
use crate::boot::decide::may_boot;
use crate::model::event::{TOKEN_MISUSED, printable};
use crate::model::{
    Build, BuildKey, Deadlines, EventKind, Firmware, MachineId, Name, Phase, Purpose, Revocation,
    Stage, Timestamp, Why,
};

/// Why an event was not accepted. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The system has no build.
    #[error("`{0}` has no build; flag it with `farrier rebuild {0}`")]
    NoBuild(Name),
    /// The event speaks of another build than the present one.
    #[error("this is about build {said} of `{system}`, and the present one is {present}")]
    StaleEpoch {
        /// Which system.
        system: Name,
        /// The epoch the event carries.
        said: u32,
        /// The epoch in force.
        present: u32,
    },
    /// The present phase does not allow it.
    #[error("`{system}` is {phase}: {what} is not possible now")]
    NotInPhase {
        /// Which system.
        system: Name,
        /// Where its build stands.
        phase: Phase,
        /// What was tried.
        what: &'static str,
    },
    /// A build is under way.
    #[error("build {epoch} of `{system}` is {phase}; end it first with `farrier cancel {system}`")]
    UnderWay {
        /// Which system.
        system: Name,
        /// Which build.
        epoch: u32,
        /// Where it stands.
        phase: Phase,
    },
    /// The site has changed since its flag was asked for.
    #[error("`{system}` is not flagged: {why}")]
    NotWanted {
        /// Which system.
        system: Name,
        /// Why, in a sentence.
        why: &'static str,
    },
    /// The machine may not boot its installer now.
    #[error("`{system}` boots its own disk: {why}")]
    OwnDisk {
        /// Which system.
        system: Name,
        /// The reason.
        why: Why,
    },
    /// The hand-off was taken before, with another key.
    #[error("the hand-off of `{0}` was already redeemed")]
    AlreadyRedeemed(Name),
    /// The challenge was used before, with another key.
    #[error("the agent of `{0}` was enrolled already, with another key")]
    AlreadyEnrolled(Name),
    /// The deadline has not passed.
    #[error("the deadline of `{0}` has not passed")]
    NotDue(Name),
}

/// A firmware conversation this soon after the boot script was served belongs to the same boot:
/// a ROM asks twice and tries each interface.
pub(super) const SAME_BOOT: Duration = Duration::from_secs(8);

/// Steps of a build that are kept apart. Installers have a few dozen; who reports more is not believed.
const STAGES: u32 = 500;

/// What becomes of the build `was` when `event` happens. `None` as a result means that the event is
/// worth recording but changes nothing.
///
/// `last_epoch` is the highest epoch the machine has used; `system` names it in refusals.
///
/// # Errors
/// A [`StepError`]; then nothing changed and nothing is recorded.
pub fn step(
    system: &Name,
    was: Option<&Build>,
    last_epoch: u32,
    event: &EventKind,
    deadlines: &Deadlines,
    now: Timestamp,
) -> Result<Option<Build>, StepError> {
    if let EventKind::Flagged { .. } = event {
        return flag(system, was, last_epoch, event, now).map(Some);
    }
    let was = was.ok_or_else(|| StepError::NoBuild(system.clone()))?;
    let refused = |what| {
        Err(StepError::NotInPhase {
            system: system.clone(),
            phase: was.phase,
            what,
        })
    };
    let moved = |phase: Phase, change: &dyn Fn(&mut Build)| {
        let mut build = was.clone();
        if phase != was.phase {
            build.phase = phase;
            build.since = now;
            build.observed = None;
            // Whatever ended it: this server has nothing more to do at that machine.
            build.pushing = false;
            build.deadline = next_deadline(phase, deadlines, now);
            build.ended = (!phase.is_active()).then_some(now);
        }
        change(&mut build);
        if build.stage != was.stage || phase != was.phase {
            build.stages = build.stages.saturating_add(1);
            let begun = build.phase.is_active() && build.stage.is_some();
            build.stage_since = begun.then_some(now);
        }
        Ok(Some(build))
    };
    let ends = |phase: Phase, stage: &str, reason: &str| {
        moved(phase, &|b| {
            b.stage = Some(Stage::clean(stage));
            b.reason = Some(printable(reason, 500));
        })
    };
    let redeem = |key: &str| {
        moved(Configuring, &|b| {
            b.handoff_key = Some(key.to_string());
            installed(b);
        })
    };
    let once = was.purpose == Purpose::Once;
    use Phase::{
        Armed, Booting, Configuring, Failed, Held, Idle, Installed, Installing, Ready, Stalled,
    };
    match event {
        EventKind::Flagged { .. } => Ok(None),
        EventKind::Cancelled { actor } => match was.phase {
            Idle | Ready => refused("cancelling"),
            _ => moved(Idle, &|b| b.reason = Some(format!("cancelled by {actor}"))),
        },
        EventKind::BootBegan { firmware, uuid, .. } => {
            boot_began(was, now, *firmware, uuid.as_ref(), &moved, &ends)
        }
        EventKind::AddressBound { ip, instead_of } => match was.phase {
            Armed | Booting | Installing | Installed | Held | Stalled
                if was.address == *instead_of =>
            {
                moved(was.phase, &|b| b.address = Some(*ip))
            }
            _ => refused("binding it to another address"),
        },
        EventKind::ScriptServed => script_served(system, was, now, deadlines),
        EventKind::LocalServed => match (was.phase, may_boot(was, now)) {
            (Booting | Installing, Err(why)) => ends(Held, was.phase.word(), &why.to_string()),
            _ => Ok(None),
        },
        EventKind::AnswerFetched { .. } if once => Ok(None),
        EventKind::AnswerFetched { .. } => match was.phase {
            Booting => moved(Installing, &|_| {}),
            Installing => Ok(None),
            _ => refused("fetching an answer"),
        },
        EventKind::InstallerStarted { .. } if once => match was.phase {
            Booting => moved(Ready, &|b| b.stage = Some(Stage::clean("up"))),
            Ready => Ok(None),
            _ => refused("starting"),
        },
        EventKind::InstallerStarted { .. } => match was.phase {
            Booting => moved(Installing, &|b| b.stage = Some(Stage::clean("start"))),
            // Most fetch their answers first.
            Installing if was.stage.is_none() => {
                moved(Installing, &|b| b.stage = Some(Stage::clean("start")))
            }
            Installing => Ok(None),
            _ => refused("starting an installer"),
        },
        EventKind::WritePermitted { disk, known, .. } => match was.phase {
            Booting | Installing if !once => moved(Installing, &|b| {
                b.disk = Some(printable(disk, 200));
                unfinished(b, known);
            }),
            _ => refused("writing a disk"),
        },
        EventKind::WriteRefused { reason } => match was.phase {
            Booting | Installing => ends(Failed, "disk", reason),
            _ => refused("writing a disk"),
        },
        EventKind::Warned { .. } | EventKind::BundleKept { .. } => Ok(None),
        EventKind::Progress { stage, .. } => match was.phase {
            _ if was.stages >= STAGES && was.stage.as_ref() != Some(stage) => Ok(None),
            Booting if !once => moved(Installing, &|b| said(b, stage)),
            Installing | Configuring => moved(was.phase, &|b| said(b, stage)),
            _ => Ok(None),
        },
        EventKind::HandoffAsked => match was.phase {
            Installing if !was.handoff_asked => moved(was.phase, &|b| b.handoff_asked = true),
            Installing | Installed => Ok(None),
            _ => refused("asking for the hand-off"),
        },
        EventKind::EndImplied => match was.phase {
            Installing | Held if was.handoff_asked => moved(Installed, &installed),
            _ => refused("ending an install"),
        },
        EventKind::InstallerEnded => match was.phase {
            // Whoever took the hand-off has no installer any more, but still has its answers.
            Stalled if was.handoff_key.is_some() => refused("ending an install"),
            Booting | Installing | Stalled if !once => moved(Installed, &installed),
            Installed => Ok(None),
            _ => refused("ending an install"),
        },
        EventKind::InstallerFailed { stage, detail } => match was.phase {
            Stalled if was.handoff_key.is_some() => refused("reporting a failure"),
            Booting | Installing | Installed | Stalled => {
                ends(Failed, stage.as_str(), tail(detail))
            }
            Failed => Ok(None),
            _ => refused("reporting a failure"),
        },
        EventKind::HandoffRedeemed { key } => match was.phase {
            Installed | Stalled if was.handoff_key.is_none() => redeem(key),
            Installing | Held if was.handoff_asked && was.handoff_key.is_none() => redeem(key),
            // Its answer may have been lost, or its memory with a power cut. Once it has reported
            // there is nothing left to ask for.
            Configuring | Stalled if was.handoff_key.as_ref() == Some(key) => Ok(None),
            _ if was.handoff_key.is_some() => Err(StepError::AlreadyRedeemed(system.clone())),
            _ => refused("redeeming a hand-off"),
        },
        EventKind::HandoffReused { from } => moved(was.phase, &|b| {
            b.alarm = Some(format!(
                "its hand-off was already redeemed when {from} asked for it: one of the two was not \
                 this machine"
            ));
        }),
        // Said once: whoever has the token may use it from many addresses. The others are events.
        EventKind::TokenMisused { from } if was.alarm.is_none() => moved(was.phase, &|b| {
            b.alarm = Some(format!(
                "{TOKEN_MISUSED} {from}, an address that it does not hold: somebody else has \
                 read it, or the machine has changed its address"
            ));
        }),
        EventKind::TokenMisused { .. } => Ok(None),
        EventKind::Leased { .. } | EventKind::Fetched { .. } | EventKind::Seen { .. } => {
            Ok(observed::seen(was, event).map(|stage| Build {
                observed: Some(stage),
                ..was.clone()
            }))
        }
        EventKind::PushDue(report) => match was.phase {
            Configuring if was.pushing => Ok(None),
            Installed | Configuring | Stalled => moved(Configuring, &|b| {
                b.pushing = true;
                b.host_keys = report.host_keys.clone();
                b.stage = Some(Stage::clean("push"));
                b.reason = None;
                b.deadline = restarted(b, deadlines, now);
                b.ended = None;
            }),
            Ready | Failed => Ok(None),
            _ => refused("reporting an agent's result"),
        },
        EventKind::AgentReported(report) => match was.phase {
            Installed | Configuring | Stalled => {
                let change = |b: &mut Build| {
                    b.pushing = false;
                    b.host_keys = report.host_keys.clone();
                };
                match report.class.as_str() {
                    "ok" | "changed" => moved(Ready, &|b| {
                        change(b);
                        b.stage = None;
                        b.reason = None;
                    }),
                    "reboot" => moved(Configuring, &|b| {
                        change(b);
                        b.stage = Some(Stage::clean("reboot"));
                        b.deadline = restarted(b, deadlines, now);
                    }),
                    _ => {
                        let own = report.reason.as_deref();
                        let reason = own.or(was.finding.as_deref());
                        let reason = reason.unwrap_or(tail(&report.log));
                        moved(Failed, &|b| {
                            change(b);
                            b.stage = Some(Stage::clean("configure"));
                            b.reason = Some(printable(reason, 500));
                        })
                    }
                }
            }
            Ready | Failed => Ok(None),
            _ => refused("reporting an agent's result"),
        },
        EventKind::IdentityRevoked { .. }
        | EventKind::RevocationFailed { .. }
        | EventKind::Enrolled { .. }
        | EventKind::EnrolmentRefused { .. }
        | EventKind::RunReported { .. } => enrolment(system, was, event),
        EventKind::DeadlinePassed => match was.deadline {
            Some(at) if now >= at => match was.phase {
                Armed => moved(Idle, &|b| b.reason = Some("the flag expired".to_string())),
                phase => ends(Stalled, phase.word(), "nothing was heard in time"),
            },
            _ => Err(StepError::NotDue(system.clone())),
        },
    }
}

/// An agent that asks for restart after restart does not configure for ever.
const RESTARTS_TAKE: u32 = 4;

/// The deadline after a restart that the agent asked for: a new one, but never later than four times
/// the time allowed since it began.
fn restarted(build: &Build, deadlines: &Deadlines, now: Timestamp) -> Option<Timestamp> {
    let renewed = next_deadline(Phase::Configuring, deadlines, now);
    let longest = deadlines.configure.saturating_mul(RESTARTS_TAKE);
    renewed.map(|at| at.min(after(build.since, longest)))
}

/// What the machine says itself is better than what was seen of it.
fn said(build: &mut Build, stage: &Stage) {
    build.stage = Some(stage.clone());
    build.observed = None;
}

fn tail(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("no reason was given")
}

/// What must have happened before this, if it was not heard: told first, and recorded as such.
///
/// Installers give up on a server that is down and restart all the same. So whoever takes the
/// hand-off that the installer placed shows that it ended.
pub fn implied(was: &Build, event: &EventKind) -> Option<EventKind> {
    let unheard = matches!(was.phase, Phase::Installing | Phase::Held)
        && was.handoff_asked
        && was.handoff_key.is_none();
    (unheard && matches!(event, EventKind::HandoffRedeemed { .. })).then_some(EventKind::EndImplied)
}

fn flag(
    system: &Name,
    was: Option<&Build>,
    last_epoch: u32,
    event: &EventKind,
    now: Timestamp,
) -> Result<Build, StepError> {
    let EventKind::Flagged {
        purpose,
        profile,
        revision,
        expires,
        attempts,
        retry_after_write,
        revoke,
        actor,
    } = event
    else {
        return Err(StepError::NoBuild(system.clone()));
    };
    if let Some(was) = was
        && was.phase.is_active()
        && was.phase != Phase::Armed
    {
        return Err(StepError::UnderWay {
            system: system.clone(),
            epoch: was.key.epoch,
            phase: was.phase,
        });
    }
    Ok(Build {
        key: BuildKey {
            system: system.clone(),
            epoch: last_epoch.saturating_add(1),
        },
        purpose: purpose.clone(),
        profile: profile.clone(),
        revision: *revision,
        phase: Phase::Armed,
        stage: None,
        stage_since: None,
        stages: 0,
        reason: None,
        flagged: now,
        started: None,
        since: now,
        deadline: Some(*expires),
        ended: None,
        attempts: 0,
        attempts_allowed: (*attempts).max(1),
        fresh_boot: false,
        served_at: None,
        served: 0,
        disk: None,
        unfinished: was.map_or_else(Vec::new, |b| b.unfinished.clone()),
        retry_after_write: *retry_after_write,
        handoff_key: None,
        handoff_asked: false,
        address: None,
        firmware: None,
        uuid: None,
        observed: None,
        alarm: None,
        revoke: revoke
            .iter()
            .map(|identity| Revocation {
                identity: identity.clone(),
                failed: None,
            })
            .collect(),
        enrolled: None,
        finding: None,
        pushing: false,
        host_keys: Vec::new(),
        actor: actor.clone(),
    })
}

/// The installer is done.
fn installed(build: &mut Build) {
    build.stage = None;
    build.reason = None;
    build.fresh_boot = false;
    build.unfinished = Vec::new();
}

/// Remembers disks that are about to be written. A few are enough: a machine that swaps disks between
/// broken builds is looked after by a person.
fn unfinished(build: &mut Build, known: &[String]) {
    for disk in known {
        build.unfinished.retain(|d| d != disk);
        build.unfinished.push(printable(disk, 500));
    }
    let over = build.unfinished.len().saturating_sub(8);
    build.unfinished.drain(..over);
}

type Moved<'a> = &'a dyn Fn(Phase, &dyn Fn(&mut Build)) -> Result<Option<Build>, StepError>;
type Ends<'a> = &'a dyn Fn(Phase, &str, &str) -> Result<Option<Build>, StepError>;

/// A firmware began a boot. While the installer should be running this means that it was cut off.
///
/// A hardware address is easily claimed. So while armed the build learns which machine and firmware
/// it is about, and from then on a conversation that gives another machine's identifier is not its
/// own. Firmware that gives none is taken at its word.
fn boot_began(
    was: &Build,
    now: Timestamp,
    firmware: Firmware,
    uuid: Option<&MachineId>,
    moved: Moved<'_>,
    ends: Ends<'_>,
) -> Result<Option<Build>, StepError> {
    if was.phase == Phase::Armed {
        let known = was.firmware == Some(firmware) && (uuid.is_none() || was.uuid.as_ref() == uuid);
        if known {
            return Ok(None);
        }
        return moved(was.phase, &|b| {
            b.firmware = Some(firmware);
            b.uuid = uuid.cloned().or_else(|| b.uuid.clone());
        });
    }
    if let (Some(ours), Some(theirs)) = (&was.uuid, uuid)
        && !ours.is(theirs)
    {
        return Ok(None);
    }
    if !matches!(was.phase, Phase::Booting | Phase::Installing) || was.fresh_boot {
        return Ok(None);
    }
    if was.served_at.is_some_and(|at| now < after(at, SAME_BOOT)) {
        return Ok(None);
    }
    let mut fresh = was.clone();
    fresh.fresh_boot = true;
    match may_boot(&fresh, now) {
        Ok(_) => moved(was.phase, &|b| b.fresh_boot = true),
        Err(why) if was.purpose == Purpose::Once => ends(
            Phase::Stalled,
            was.phase.word(),
            &format!("it booted again: {why}"),
        ),
        Err(why) => ends(Phase::Held, was.phase.word(), &why.to_string()),
    }
}

fn script_served(
    system: &Name,
    was: &Build,
    now: Timestamp,
    deadlines: &Deadlines,
) -> Result<Option<Build>, StepError> {
    may_boot(was, now).map_err(|why| StepError::OwnDisk {
        system: system.clone(),
        why,
    })?;
    let mut build = was.clone();
    if was.phase == Phase::Armed || was.fresh_boot {
        build.attempts += 1;
        build.phase = Phase::Booting;
        build.since = now;
        build.deadline = next_deadline(Phase::Booting, deadlines, now);
        build.stage = None;
        build.stage_since = None;
        build.observed = None;
        build.handoff_asked = false;
    }
    build.fresh_boot = false;
    build.started = build.started.or(Some(now));
    build.served_at = Some(now);
    build.served = build.served.saturating_add(1);
    Ok(Some(build))
}

#[cfg(test)]
#[path = "step_tests.rs"]
pub(crate) mod tests;
