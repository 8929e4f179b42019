//! What is done at agents' servers by this one, while nobody waits for a packet: identities are taken
//! back, playbooks are run.
//!
//! What is to be done stands in the builds themselves, so a restart of the server forgets none of it.
//! It is tried again, later and later, for as long as its build waits for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::Control;
use crate::enrol;
use crate::model::{BuildKey, Event, EventKind, Identity, Machine, Name, Phase, Revocation};

/// How long nothing is looked at if nothing is recorded and nothing is due.
const LOOK: Duration = Duration::from_secs(60);
/// Revocations at once: tools of Puppet's take a second of a core each.
const REVOCATIONS: usize = 4;
/// Playbooks at once; they wait for their machines most of the time.
const PUSHES: usize = 16;
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(60);
/// How long whoever flags waits for revocations, to be told that the flag is in force.
const FLAG_WAITS: Duration = Duration::from_secs(15);

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Errand {
    Revoke(BuildKey, Identity),
    Push(BuildKey),
}

impl Errand {
    fn is_like(&self, other: &Errand) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn at_once(&self) -> usize {
        match self {
            Errand::Revoke(..) => REVOCATIONS,
            Errand::Push(..) => PUSHES,
        }
    }

    fn system(&self) -> &Name {
        match self {
            Errand::Revoke(build, _) | Errand::Push(build) => &build.system,
        }
    }
}

/// What a machine's build waits for.
fn errands_of(machine: &Machine) -> Vec<Errand> {
    let Some(build) = &machine.build else {
        return Vec::new();
    };
    let key = || build.key.clone();
    if build.phase == Phase::Armed {
        let revoke = build.revoke.iter();
        return revoke
            .map(|r| Errand::Revoke(key(), r.identity.clone()))
            .collect();
    }
    match build.pushing {
        true => vec![Errand::Push(key())],
        false => Vec::new(),
    }
}

/// When an errand that failed is tried again.
#[derive(Debug, Default)]
struct Tries {
    count: u32,
    next: Option<Instant>,
}

impl Control {
    /// Does what there is to do at agents' servers, now and after each change. Never returns; run it
    /// as a task of its own.
    pub async fn errands(self: Arc<Self>) {
        let mut records = self.subscribe();
        let mut running: JoinSet<(Errand, bool)> = JoinSet::new();
        let mut busy: HashSet<Errand> = HashSet::new();
        let mut failed: HashMap<Errand, Tries> = HashMap::new();
        let mut wanted = self.wanted();
        loop {
            for errand in wanted.values().flatten() {
                let alike = busy.iter().filter(|other| errand.is_like(other)).count();
                if alike >= errand.at_once() {
                    continue;
                }
                let waits = failed.get(errand).and_then(|t| t.next);
                if waits.is_some_and(|at| Instant::now() < at) || !busy.insert(errand.clone()) {
                    continue;
                }
                let (control, errand) = (self.clone(), errand.clone());
                running.spawn(async move {
                    let done = control.run_errand(&errand).await;
                    (errand, done)
                });
            }
            let waiting = failed.iter().filter(|(errand, _)| !busy.contains(*errand));
            let due = waiting.filter_map(|(_, tries)| tries.next).min();
            let due = due.unwrap_or_else(|| Instant::now() + LOOK);
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                Some(ended) = running.join_next() => {
                    let Ok((errand, done)) = ended else {
                        continue;
                    };
                    busy.remove(&errand);
                    if done {
                        failed.remove(&errand);
                    } else {
                        let tries = failed.entry(errand).or_default();
                        let pause = Duration::from_secs(1 << tries.count.min(6)).min(PAUSE);
                        tries.count += 1;
                        tries.next = Some(Instant::now() + pause);
                    }
                }
                record = records.recv() => match record {
                    Ok(record) => {
                        let errands = self.wanted_of(&record.system);
                        if errands.is_empty() {
                            wanted.remove(&record.system);
                        } else {
                            wanted.insert(record.system, errands);
                        }
                        failed.retain(|errand, _| {
                            wanted.get(errand.system()).is_some_and(|w| w.contains(errand))
                        });
                    }
                    Err(RecvError::Lagged(_)) => wanted = self.wanted(),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// What all builds wait for.
    fn wanted(&self) -> BTreeMap<Name, Vec<Errand>> {
        let snapshot = self.snapshot();
        let all = snapshot.machines.iter();
        all.map(|(name, machine)| (name.clone(), errands_of(machine)))
            .filter(|(_, errands)| !errands.is_empty())
            .collect()
    }

    fn wanted_of(&self, system: &Name) -> Vec<Errand> {
        let snapshot = self.snapshot();
        let machine = snapshot.machines.get(system);
        machine.map_or_else(Vec::new, |machine| errands_of(machine))
    }

    /// Whether it is done, or at least needs no other try.
    async fn run_errand(&self, errand: &Errand) -> bool {
        match errand {
            Errand::Revoke(build, identity) => self.take_back(build, identity).await,
            Errand::Push(build) => self.push(build).await,
        }
    }

    async fn take_back(&self, build: &BuildKey, identity: &Identity) -> bool {
        let servers = self.site().agents.clone();
        let result = enrol::revoke(identity, &servers).await;
        let done = result.is_ok();
        let kind = match result {
            Ok(()) => EventKind::IdentityRevoked {
                identity: identity.clone(),
            },
            Err(reason) => {
                tracing::warn!(machine.name = %build.system, %identity, reason, "an identity could not be taken back");
                EventKind::RevocationFailed {
                    identity: identity.clone(),
                    reason,
                }
            }
        };
        let event = Event {
            system: build.system.clone(),
            epoch: Some(build.epoch),
            kind,
        };
        match self.tell(event).await {
            Ok(_) => done,
            Err(error) => {
                tracing::error!(%error, machine.name = %build.system, "a revocation could not be recorded");
                false
            }
        }
    }

    /// Waits for a moment until these builds' flags are in force. Returns those that are not.
    pub(in crate::control) async fn until_revoked(
        &self,
        builds: &[BuildKey],
    ) -> Vec<(BuildKey, Revocation)> {
        let mut records = self.subscribe();
        let left = || -> Vec<(BuildKey, Revocation)> {
            let snapshot = self.snapshot();
            let first = |key: &BuildKey| {
                let build = snapshot.machines.get(&key.system)?.with_epoch(key.epoch)?;
                let first = build.revoke.first()?.clone();
                Some((key.clone(), first))
            };
            builds.iter().filter_map(first).collect()
        };
        let waiting = async {
            while left().iter().any(|(_, r)| r.failed.is_none()) {
                if matches!(records.recv().await, Err(RecvError::Closed)) {
                    return;
                }
            }
        };
        if tokio::time::timeout(FLAG_WAITS, waiting).await.is_err() {
            tracing::debug!("revocations go on after the flag was answered");
        }
        left()
    }
}
