//! Flagging for a rebuild or a one-shot boot, and calling it off. Guards are all or nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::pin::distro_of;
use super::writer::Command;
use super::{Control, Snapshot, TellError};
use crate::boot::pair;
use crate::lifecycle::deadline::after;
use crate::model::command::{CancelOutcome, CancelReport, CancelRequest, FlagOutcome};
use crate::model::{
    Agent, Build, Code, Event, EventKind, FlagReport, FlagRequest, Identity, Phase, Pinned,
    Profile, Purpose, Refusal, System,
};

/// How long a flag lives unless told otherwise.
const FLAG_LIVES: Duration = Duration::from_secs(24 * 3600);
/// The longest a flag may live: a forgotten one must not wipe a machine next year.
const FLAG_LIVES_AT_MOST: u64 = FLAG_DAYS_AT_MOST * 24 * 3600;
const FLAG_DAYS_AT_MOST: u64 = 30;

impl Control {
    /// Flags systems. If one is refused, none is flagged.
    ///
    /// # Errors
    /// If nothing is selected, the count is not the expected one, the plan is not the agreed one,
    /// or a flag could not be stored. A machine's own refusal is in the report.
    pub async fn flag(&self, request: &FlagRequest, actor: &str) -> Result<FlagReport, Refusal> {
        let snapshot = self.snapshot();
        let systems = self.resolve(&snapshot, &request.selection, false)?;
        expect(request.expect, systems.len())?;
        lives(request.expires)?;
        fits(request)?;
        let mut report = FlagReport {
            dry_run: request.dry_run,
            machines: Vec::new(),
        };
        let mut ready = Vec::new();
        for system in &systems {
            let (outcome, pinned) = self.consider(&snapshot, system, request, actor);
            report.machines.push(outcome);
            ready.push(pinned);
        }
        if let Some(agreed) = &request.agreed
            && *agreed != report.fingerprint()
        {
            return Err(changed());
        }
        if request.dry_run || report.refusal().is_some() {
            return Ok(report);
        }
        let mut flagged = Vec::new();
        for (outcome, ready) in report.machines.iter_mut().zip(ready) {
            let Some((pinned, epoch, event)) = ready else {
                continue;
            };
            let (done, wait) = oneshot::channel();
            let flag = Command::Flag {
                event,
                epoch,
                pinned: Arc::new(pinned),
                done,
            };
            let told = match self.commands.send(flag).await {
                Ok(()) => wait.await.unwrap_or(Err(TellError::Stopped)),
                Err(_) => Err(TellError::Stopped),
            };
            match told {
                Ok(told) => {
                    outcome.build = Some(told.build.key.epoch);
                    outcome.expires = told.build.deadline;
                    flagged.push(told.build.key);
                }
                Err(error) => outcome.refusal = Some(Refusal::failed(error.to_string())),
            }
        }
        for (key, left) in self.until_revoked(&flagged).await {
            let of = report.machines.iter_mut().find(|m| m.name == key.system);
            if let Some(outcome) = of {
                outcome.waits = Some(match left.failed {
                    Some(why) => format!("{} could not be taken back: {why}", left.identity),
                    None => format!("{} is being taken back", left.identity),
                });
            }
        }
        Ok(report)
    }

    fn consider(
        &self,
        snapshot: &Snapshot,
        system: &Arc<System>,
        request: &FlagRequest,
        actor: &str,
    ) -> (FlagOutcome, Option<(Pinned, u32, Event)>) {
        let machine = snapshot.machines.get(&system.name);
        let build = machine.and_then(|m| m.build.as_ref());
        let wanted = request.profile.as_ref().unwrap_or(&system.profile);
        let profile = snapshot.site.profiles.get(wanted);
        let mut outcome = FlagOutcome {
            name: system.name.clone(),
            purpose: request.purpose.clone(),
            profile: wanted.clone(),
            kind: profile.map_or(crate::model::ProfileKind::Base, |p| p.kind),
            phase: build.map_or(Phase::Idle, |b| b.phase),
            last_build: build.map(|b| b.key.epoch),
            last_ended: build.and_then(|b| b.ended),
            last_disk: build.and_then(|b| b.disk.clone()),
            disk: system
                .disk
                .clone()
                .or_else(|| profile.map(|p| p.disk.clone()))
                .unwrap_or_default(),
            second: profile.and_then(|p| crate::render::second_disk(system, p)),
            may_destroy: profile.map_or_else(Vec::new, |p| p.may_destroy.clone()),
            wipe: system.wipe,
            protected: system.protected,
            refusal: None,
            build: None,
            expires: None,
            warning: None,
            waits: None,
        };
        let Some(profile) = profile else {
            let names: Vec<String> = snapshot
                .site
                .profiles
                .keys()
                .map(|n| n.to_string())
                .collect();
            let near = super::near(wanted, &names);
            outcome.refusal = Some(
                Refusal::not_found("profile", wanted, &near).help_if_none("farrier profile ls"),
            );
            return (outcome, None);
        };
        let epoch = machine.map_or(0, |m| m.last_epoch()) + 1;
        match self
            .guard(snapshot, system, profile, build, request)
            .and_then(|()| self.pin(snapshot, system, profile, epoch))
        {
            Ok(pinned) => {
                let distro = distro_of(&snapshot.site, profile).ok();
                let distro = distro.filter(|_| system.secure_boot);
                let doubt = distro.and_then(|distro| pair::doubt(distro, &snapshot.artefacts));
                outcome.warning = doubt.map(|doubt| doubt.to_string());
                let now = self.clock();
                let lives = request.expires.map_or(FLAG_LIVES, Duration::from_secs);
                let event = Event {
                    system: system.name.clone(),
                    epoch: None,
                    kind: EventKind::Flagged {
                        purpose: request.purpose.clone(),
                        profile: profile.name.clone(),
                        revision: snapshot.site.revision,
                        expires: after(now, lives),
                        attempts: match request.purpose {
                            Purpose::Install => request.attempts.unwrap_or(profile.attempts),
                            Purpose::Once => 1,
                        },
                        retry_after_write: request
                            .retry_after_write
                            .unwrap_or(profile.retry_after_write),
                        revoke: match request.purpose {
                            Purpose::Install => to_revoke(snapshot, build, &pinned),
                            Purpose::Once => Vec::new(),
                        },
                        actor: actor.to_string(),
                    },
                };
                (outcome, Some((pinned, epoch, event)))
            }
            Err(refusal) => {
                outcome.refusal = Some(refusal);
                (outcome, None)
            }
        }
    }

    fn guard(
        &self,
        snapshot: &Snapshot,
        system: &System,
        profile: &Profile,
        build: Option<&Build>,
        request: &FlagRequest,
    ) -> Result<(), Refusal> {
        let name = &system.name;
        if let Some(note) = &snapshot.site.frozen {
            return Err(Refusal::refused(format!("the site is frozen: {note}"))
                .help("remove `freeze` from farrier.toml"));
        }
        match request.purpose {
            Purpose::Install if !profile.kind.installs() => {
                return Err(Refusal::refused(format!(
                    "profile `{}` installs nothing",
                    profile.name
                ))
                .help(format!("farrier boot {name} {}", profile.name)));
            }
            Purpose::Once if profile.kind.installs() => {
                return Err(Refusal::refused(format!(
                    "profile `{}` installs and is not for booting once",
                    profile.name
                ))
                .help(format!(
                    "farrier set {name} profile={}; farrier rebuild {name}",
                    profile.name
                )));
            }
            Purpose::Install if system.protected => {
                return Err(
                    Refusal::refused(format!("`{name}` is protected")).help(format!(
                        "farrier set {name} protected=false, if it really is to be rebuilt"
                    )),
                );
            }
            _ => {}
        }
        if let Some(problem) = &system.broken {
            return Err(Refusal::refused(format!(
                "the entry of `{name}` cannot be used: {problem}"
            ))
            .help("farrier check"));
        }
        if let Some(build) = build
            && build.phase.is_active()
            && build.phase != Phase::Armed
        {
            return Err(Refusal::refused(format!(
                "build {} of `{name}` is {}",
                build.key.epoch, build.phase
            ))
            .help(format!(
                "wait for it, or end it with `farrier cancel {name}`"
            )));
        }
        let here = self.places();
        if let Some(ip) = system.ip()
            && here.addresses.iter().any(|a| a.ip == ip)
        {
            return Err(
                Refusal::refused(format!("`{name}` has this server's own address {ip}"))
                    .help(format!("farrier set {name} ip=...")),
            );
        }
        Ok(())
    }

    /// Calls off flags and builds under way.
    ///
    /// # Errors
    /// If nothing is selected, the count is not the expected one or the plan is not the agreed one. A
    /// machine's own refusal is in the report.
    pub async fn cancel(
        &self,
        request: &CancelRequest,
        actor: &str,
    ) -> Result<CancelReport, Refusal> {
        let snapshot = self.snapshot();
        let systems = self.resolve(&snapshot, &request.selection, false)?;
        expect(request.expect, systems.len())?;
        let mut report = CancelReport {
            dry_run: request.dry_run,
            machines: Vec::new(),
        };
        let mut builds: Vec<Vec<u32>> = Vec::new();
        for system in &systems {
            let machine = snapshot.machines.get(&system.name);
            let build = machine.and_then(|m| m.build.as_ref());
            let under_way: Vec<&Build> = machine
                .into_iter()
                .flat_map(|m| [&m.once, &m.build])
                .flatten()
                .filter(|b| {
                    b.phase.is_active()
                        || matches!(b.phase, Phase::Failed | Phase::Stalled | Phase::Held)
                })
                .filter(|b| b.purpose == Purpose::Install || b.phase.is_active())
                .collect();
            let of = |purpose| under_way.iter().find(|b| b.purpose == purpose);
            let mut outcome = CancelOutcome {
                name: system.name.clone(),
                phase: build.map_or(Phase::Idle, |b| b.phase),
                build: of(Purpose::Install).map(|b| b.key.epoch),
                once: of(Purpose::Once).map(|b| b.key.epoch),
                disk: of(Purpose::Install).and_then(|b| b.disk.clone()),
                refusal: None,
            };
            if under_way.is_empty() {
                outcome.refusal = Some(
                    Refusal::refused(format!("nothing of `{}` is under way", system.name))
                        .help(format!("farrier show {}", system.name)),
                );
            }
            builds.push(under_way.iter().map(|b| b.key.epoch).collect());
            report.machines.push(outcome);
        }
        if let Some(agreed) = &request.agreed
            && *agreed != report.fingerprint()
        {
            return Err(changed());
        }
        if request.dry_run {
            return Ok(report);
        }
        for (outcome, epochs) in report.machines.iter_mut().zip(builds) {
            for epoch in epochs {
                let event = Event {
                    system: outcome.name.clone(),
                    epoch: Some(epoch),
                    kind: EventKind::Cancelled {
                        actor: actor.to_string(),
                    },
                };
                if let Err(error) = self.tell(event).await {
                    outcome.refusal = Some(Refusal::failed(error.to_string()));
                }
            }
        }
        Ok(report)
    }
}

/// What an operator said yes to is not what would be done.
fn changed() -> Refusal {
    Refusal::refused("what would happen has changed since it was shown")
        .help("run the command again and look at the new list")
}

/// Every name that an agent's server may know the machine by: the new build's too, for a machine may
/// have been enrolled before it was Farrier's. What an earlier flag left to do is done now.
///
/// CFEngine knows a machine by its key alone, and a build that was never enrolled has none.
fn to_revoke(snapshot: &Snapshot, before: Option<&Build>, pinned: &Pinned) -> Vec<Identity> {
    let left = before.iter().flat_map(|b| &b.revoke);
    let mut all: Vec<Identity> = left.map(|r| r.identity.clone()).collect();
    let last = before.and_then(|b| Some((b, snapshot.pinned.get(&b.key)?.identity.clone()?)));
    let by_key = |identity: &Identity| identity.agent == Agent::Cfengine;
    if let Some((build, identity)) = last {
        if !by_key(&identity) {
            all.push(identity);
        } else if let Some(key) = &build.enrolled {
            all.push(Identity {
                name: key.clone(),
                ..identity
            });
        }
    }
    all.extend(pinned.identity.clone().filter(|identity| !by_key(identity)));
    all.sort();
    all.dedup();
    all
}

/// Refuses what has no meaning for this purpose, rather than to forget it.
fn fits(request: &FlagRequest) -> Result<(), Refusal> {
    let word = match request {
        _ if request.purpose == Purpose::Install => None,
        FlagRequest {
            attempts: Some(_), ..
        } => Some("attempts"),
        FlagRequest {
            retry_after_write: Some(_),
            ..
        } => Some("retry_after_write"),
        _ => None,
    };
    if let Some(word) = word {
        return Err(Refusal::new(
            Code::Usage,
            format!("`{word}` is said of an installation, and this boots a profile once"),
        )
        .help(format!("leave `{word}` out")));
    }
    match request.attempts {
        Some(0) => Err(Refusal::new(
            Code::Usage,
            "`attempts` is 0: an installer that may not boot installs nothing",
        )
        .help("leave it out for what the profile says")),
        _ => Ok(()),
    }
}

/// Refuses a flag that would be dead at once, or be forgotten before it is.
fn lives(expires: Option<u64>) -> Result<(), Refusal> {
    match expires {
        None | Some(1..=FLAG_LIVES_AT_MOST) => Ok(()),
        Some(seconds) => Err(Refusal::new(
            Code::Usage,
            format!(
                "a flag lives from one second to {FLAG_DAYS_AT_MOST} days, not {seconds} seconds"
            ),
        )
        .help(format!("--expires {FLAG_DAYS_AT_MOST}d is the longest"))),
    }
}

pub(super) fn expect(expected: Option<usize>, selected: usize) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != selected => Err(Refusal::refused(format!(
            "{} selected, not the expected {expected}",
            match selected {
                1 => "1 machine is".to_string(),
                n => format!("{n} machines are"),
            }
        ))
        .help("look at the selection with `farrier ls` and give its count")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Selection;

    #[test]
    fn what_is_of_installations_is_refused_for_one_boot() {
        let asked = |purpose, attempts, retry_after_write| {
            fits(&FlagRequest {
                selection: Selection::one("web01"),
                purpose,
                profile: None,
                expect: None,
                expires: None,
                attempts,
                retry_after_write,
                dry_run: false,
                agreed: None,
            })
            .map_err(|refusal| refusal.message)
        };
        use Purpose::{Install, Once};
        assert_eq!(asked(Install, Some(3), Some(true)), Ok(()));
        assert_eq!(asked(Once, None, None), Ok(()));
        for (purpose, attempts, retry, word) in [
            (Install, Some(0), None, "`attempts` is 0"),
            (Once, Some(1), None, "`attempts` is said"),
            (Once, None, Some(false), "`retry_after_write` is said"),
        ] {
            let refused = asked(purpose, attempts, retry).expect_err(word);
            assert!(refused.starts_with(word), "{refused}");
        }
    }
}
