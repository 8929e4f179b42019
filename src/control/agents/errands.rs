//! What is done at agents' servers by this one, while nobody waits for a packet: identities are taken
//! back, playbooks are run.
//!
//! What is to be done stands in the builds themselves, so a restart of the server forgets none of it.
//! It is tried again, later and later, for as long as its build waits for it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::super::Control;
use super::queue::{Errand, Outcome, Queue, errands_of};
use crate::enrol;
use crate::model::{BuildKey, Event, EventKind, Identity, Name, Revocation};

/// How long nothing is looked at if nothing is recorded and nothing is due.
const LOOK: Duration = Duration::from_secs(60);
/// How long whoever flags waits for revocations, to be told that the flag is in force.
const FLAG_WAITS: Duration = Duration::from_secs(15);

impl Control {
    /// Does what there is to do at agents' servers, now and after each change. Never returns; run it
    /// as a task of its own.
    pub async fn errands(self: Arc<Self>) {
        let run = |control: Arc<Self>, errand| async move { control.run_errand(&errand).await };
        self.errands_by(run).await;
    }

    /// The same, by whoever is to do them. Whoever does one is stopped, with all that it started, as
    /// soon as nobody waits for it.
    async fn errands_by<F, R>(self: Arc<Self>, run: F)
    where
        F: Fn(Arc<Self>, Errand) -> R,
        R: Future<Output = bool> + Send + 'static,
    {
        let mut records = self.subscribe();
        let mut running: JoinSet<bool> = JoinSet::new();
        let mut handles: HashMap<Id, (Errand, AbortHandle)> = HashMap::new();
        let mut queue = Queue::default();
        queue.all(self.wanted());
        loop {
            for errand in queue.begin(Instant::now()) {
                let handle = running.spawn(run(self.clone(), errand.clone()));
                handles.insert(handle.id(), (errand, handle));
            }
            let stop = queue.to_stop();
            for (_, handle) in handles.values().filter(|(e, _)| stop.contains(e)) {
                handle.abort();
            }
            let due = queue.due().unwrap_or_else(|| Instant::now() + LOOK);
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                Some(ended) = running.join_next_with_id() => {
                    let (id, outcome) = outcome(&ended);
                    let Some((errand, _)) = handles.remove(&id) else {
                        continue;
                    };
                    // What it told may have come before the record of it.
                    let system = errand.system().clone();
                    queue.of(system.clone(), self.wanted_of(&system));
                    queue.ended(errand, outcome, Instant::now());
                }
                record = records.recv() => match record {
                    Ok(record) => {
                        let errands = self.wanted_of(&record.system);
                        queue.of(record.system, errands);
                    }
                    Err(RecvError::Lagged(_)) => queue.all(self.wanted()),
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

/// Whose try it was, and what came of it. One that ended by a fault of its own leaves its place.
fn outcome(ended: &Result<(Id, bool), JoinError>) -> (Id, Outcome) {
    match ended {
        Ok((id, true)) => (*id, Outcome::Done),
        Ok((id, false)) => (*id, Outcome::Again),
        Err(error) if error.is_cancelled() => (error.id(), Outcome::CalledOff),
        Err(error) => {
            tracing::error!(%error, "what was being done at an agent's server ended by a fault; it is tried again");
            (error.id(), Outcome::Again)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::control::tests::{Bench, event};
    use crate::model::event::AgentReport;

    /// Until this holds. What is waited for here is another task's, and nothing tells of it.
    async fn until(what: &str, holds: impl Fn() -> bool) {
        let waits = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), waits).await;
        assert!(in_time.is_ok(), "{what}");
    }

    /// A machine whose playbook is next.
    async fn pushing(bench: &Bench) -> Arc<Control> {
        let control = bench.open().await;
        bench.flag(&control).await.expect("flagged");
        let report = AgentReport::well("steps");
        let detail = String::new();
        for kind in [
            EventKind::ScriptServed,
            EventKind::InstallerStarted { detail },
            EventKind::InstallerEnded,
            EventKind::HandoffRedeemed { key: "k".into() },
            EventKind::PushDue(report),
        ] {
            control.tell(event(1, kind)).await.expect("told");
        }
        control
    }

    fn alive(file: &Path) -> bool {
        let Ok(id) = std::fs::read_to_string(file) else {
            return false;
        };
        let commands = PathBuf::from("/proc").join(id.trim()).join("cmdline");
        std::fs::read(commands).is_ok_and(|c| !c.is_empty())
    }

    #[tokio::test]
    async fn a_playbook_of_a_build_that_is_called_off_is_stopped_and_not_run_again() {
        let bench = Bench::new();
        let control = pushing(&bench).await;
        let dir = tempfile::tempdir().expect("a folder");
        let (begun, child) = (dir.path().join("begun"), dir.path().join("child"));
        let script = format!(
            "echo x >>'{}'; sleep 600 & echo $! >'{}'; wait",
            begun.display(),
            child.display()
        );
        let run = move |_: Arc<Control>, _: Errand| {
            let words = ["sh", "-c", &script].map(str::to_string);
            async move {
                let ended = enrol::run(&words, &[], Duration::from_secs(600)).await;
                ended.is_ok()
            }
        };
        let task = tokio::spawn(control.clone().errands_by(run));
        until("it runs", || alive(&child)).await;
        let actor = "root".to_string();
        let off = event(1, EventKind::Cancelled { actor });
        control.tell(off).await.expect("cancelled");
        until("all that it started is stopped", || !alive(&child)).await;
        // what happens next is no reason to run it
        let bound = EventKind::LocalServed;
        control.tell(event(1, bound)).await.expect("told");
        assert!(!task.is_finished());
        let runs = std::fs::read_to_string(&begun).expect("it had begun");
        assert_eq!(runs, "x\n");
        task.abort();
    }

    #[tokio::test]
    async fn a_fault_of_an_errands_own_leaves_its_place_and_is_tried_again() {
        let bench = Bench::new();
        let control = pushing(&bench).await;
        let (tries, mut tried) = tokio::sync::mpsc::unbounded_channel();
        let run = move |_: Arc<Control>, errand: Errand| {
            let tries = tries.clone();
            async move {
                let unheard = tries.send(errand).is_err();
                assert!(unheard, "a fault of its own");
                unheard
            }
        };
        let task = tokio::spawn(control.clone().errands_by(run));
        for _ in 0..2 {
            let next = tokio::time::timeout(Duration::from_secs(20), tried.recv());
            assert!(next.await.expect("another try").is_some());
        }
        task.abort();
    }
}
