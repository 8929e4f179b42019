//! `decide`: the one place that says what a booting machine is told.

use super::fit;
use crate::model::{
    Action, ArtefactIndex, BootPlan, Build, Content, Decision, Facts, Firmware, Machine, Module,
    Phase, Pinned, Purpose, System, Timestamp, Why,
};

/// What is known when a machine asks.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The declared system, if the hardware address belongs to one.
    pub system: Option<&'a System>,
    /// Its builds, if there are any.
    pub machine: Option<&'a Machine>,
    /// What the build that would boot pinned.
    pub pinned: Option<&'a Pinned>,
    /// What the one-shot that would boot pinned.
    pub once_pinned: Option<&'a Pinned>,
    /// The boot files that are on this server.
    pub artefacts: &'a ArtefactIndex,
    /// Why nothing may be installed, if the site is frozen.
    pub frozen: Option<&'a str>,
    /// Machines that nobody declared get no answer at all (else an address and their own disk).
    pub ignore_unknown: bool,
    /// The present time.
    pub now: Timestamp,
}

/// Boot scripts served beyond this many times the allowed boots end a build, whatever else holds:
/// a machine that restarts within seconds must not loop.
pub const SERVINGS_PER_ATTEMPT: u32 = 6;

/// What this machine is told now. Reads only; may be repeated; a boot asks the same question five
/// times. First match wins.
pub fn decide(facts: &Facts, s: &Situation<'_>) -> Decision {
    let Some(system) = s.system else {
        let action = if s.ignore_unknown {
            Action::Ignore
        } else {
            Action::LocalDisk
        };
        return Decision {
            system: None,
            action,
            why: Why::Unknown,
        };
    };
    // It writes nothing: what would make its pool is left out. So it holds while the site is frozen.
    let runs = |build: &Build, pinned: &Pinned| {
        pinned.kind.resident() && build.purpose == Purpose::Install && build.phase == Phase::Ready
    };
    let own_disk = |why: Why| Decision {
        system: Some(system.name.clone()),
        action: Action::LocalDisk,
        why,
    };
    let resident = s.machine.and_then(|m| m.build.as_ref()).zip(s.pinned);
    let resident =
        resident.filter(|(build, pinned)| runs(build, pinned) && pinned.is_for(facts.mac));
    let once = s.machine.and_then(|m| m.once.as_ref()).zip(s.once_pinned);
    let once = once.and_then(|(once, pinned)| {
        let why = may_boot(once, s.now).ok()?;
        pinned.is_for(facts.mac).then_some((once, pinned, why))
    });
    let once_waits = s.frozen.is_none() && once.is_some();
    if let (Some((build, pinned)), false) = (resident, once_waits) {
        return boot(
            facts,
            system,
            build,
            &without_answers(pinned),
            s.artefacts,
            Why::Resident,
        );
    }
    if let Some(note) = s.frozen {
        return own_disk(Why::Frozen {
            note: note.to_string(),
        });
    }
    let machine = s.machine;
    if let Some((once, pinned, why)) = once {
        return boot(facts, system, once, pinned, s.artefacts, why);
    }
    let Some(build) = machine.and_then(|m| m.build.as_ref()) else {
        return own_disk(
            system
                .broken
                .clone()
                .map_or(Why::NotFlagged, |problem| Why::Broken { problem }),
        );
    };
    let epoch = build.key.epoch;
    if build.phase.is_active() && s.pinned.is_some_and(|p| !p.is_for(facts.mac)) {
        return own_disk(Why::OtherHardware { epoch });
    }
    match may_boot(build, s.now) {
        Err(why) => own_disk(why),
        // What is under way goes on: to protect a machine while it installs is usual.
        Ok(_) if system.protected && build.phase == Phase::Armed => {
            own_disk(Why::Protected { epoch })
        }
        Ok(why) => match s.pinned {
            Some(pinned) => boot(facts, system, build, pinned, s.artefacts, why),
            None => own_disk(Why::Broken {
                problem: "its pinned inputs are missing".to_string(),
            }),
        },
    }
}

/// Whether the state of a build lets the machine boot its installer (again), and why.
///
/// # Errors
/// The reason for booting its own disk instead.
pub fn may_boot(build: &Build, now: Timestamp) -> Result<Why, Why> {
    let epoch = build.key.epoch;
    let allowed = build.attempts_allowed;
    let again = |why: Why| {
        if build.served >= allowed.saturating_mul(SERVINGS_PER_ATTEMPT) {
            Err(Why::AttemptsSpent { allowed })
        } else {
            Ok(why)
        }
    };
    match build.phase {
        Phase::Armed => match build.deadline {
            Some(at) if now >= at => Err(Why::FlagExpired { at }),
            _ if let Some(first) = build.revoke.first() => Err(Why::Revoking {
                epoch,
                identity: first.identity.to_string(),
                failed: first.failed.clone(),
            }),
            _ => Ok(Why::Flagged {
                epoch,
                attempt: 1,
                allowed,
            }),
        },
        Phase::Booting if !build.fresh_boot => again(Why::SameBoot { epoch }),
        Phase::Booting if build.attempts < allowed => again(Why::Flagged {
            epoch,
            attempt: build.attempts + 1,
            allowed,
        }),
        Phase::Booting => Err(Why::AttemptsSpent { allowed }),
        Phase::Installing => match &build.disk {
            Some(disk) if !build.retry_after_write => {
                Err(Why::AlreadyWriting { disk: disk.clone() })
            }
            _ if !build.fresh_boot => again(Why::SameBoot { epoch }),
            _ if build.attempts >= allowed => Err(Why::AttemptsSpent { allowed }),
            Some(_) => again(Why::Flagged {
                epoch,
                attempt: build.attempts + 1,
                allowed,
            }),
            None => again(Why::NothingWritten { epoch }),
        },
        Phase::Idle => Err(Why::NotFlagged),
        phase => Err(Why::InPhase { phase }),
    }
}

/// What runs once the installation is over: no document of the build is handed to it any more.
fn without_answers(pinned: &Pinned) -> Pinned {
    let mut bare = pinned.clone();
    let is_file = |m: &Module<Content>| matches!(m.content, Content::File(_));
    bare.way.modules.retain(is_file);
    bare
}

fn boot(
    facts: &Facts,
    system: &System,
    build: &Build,
    pinned: &Pinned,
    here: &ArtefactIndex,
    why: Why,
) -> Decision {
    let firmware = facts.firmware.unwrap_or(Firmware::BIOS);
    let uefi = firmware.is_uefi();
    let loader = match pinned.way.loader(firmware, pinned.secure_boot) {
        Ok(loader) => loader,
        Err(lack) => {
            return Decision {
                system: Some(system.name.clone()),
                action: Action::LocalDisk,
                why: fit::unsupported(firmware, lack),
            };
        }
    };
    let kernel = match &pinned.kernel_uefi {
        Some(kernel) if uefi => kernel.clone(),
        _ => pinned.kernel.clone(),
    };
    if let Some(why) = fit::obstacle(facts, loader, &kernel, pinned, here) {
        return Decision {
            system: Some(system.name.clone()),
            action: Action::LocalDisk,
            why,
        };
    }
    let plan = BootPlan {
        build: build.key.clone(),
        profile: build.profile.clone(),
        loader,
        kernel,
        initrds: pinned.initrds.clone(),
        cmdline: pinned.cmdline.clone(),
        kind: pinned.kind,
        way: pinned.way.clone(),
        resident: why == Why::Resident,
    };
    Decision {
        system: Some(system.name.clone()),
        action: Action::Boot(Box::new(plan)),
        why,
    }
}
