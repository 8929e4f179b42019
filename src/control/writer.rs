//! The single writer: event -> step -> commit -> publish.
//!
//! It takes everything that waits, applies it to a copy of the snapshot, commits it as one group,
//! publishes the copy, and only then answers. If the commit fails the copy is thrown away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use super::discovered::{Discovered, MOST};
use super::heard::Heard;
use super::recent::{Admitted, Recent};
use super::snapshot::Snapshot;
use super::{Clock, Told};
use crate::boot::TokenKey;
use crate::lifecycle::{StepError, implied, over, silent, step};
use crate::model::{
    ArtefactIndex, Build, BuildKey, Deadlines, Event, EventKind, Lease, LogEntry, Machine, Name,
    Pinned, Purpose, Record, SecretName, Site, Timestamp,
};
use crate::store::{
    Batch, Bundles, RevisionFiles, RevisionRow, SecretRow, Tidying, Witness, Writer as StoreWriter,
};

/// Why a `tell` changed nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TellError {
    /// The state of the build does not allow it.
    #[error("{0}")]
    Refused(StepError),
    /// It could not be made durable; the same `tell` may succeed later.
    #[error("it could not be stored: {0}")]
    Store(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
}

pub(super) enum Command {
    /// Something happened.
    Tell {
        event: Event,
        done: oneshot::Sender<Result<Told, TellError>>,
    },
    /// Something was seen; nobody waits.
    Note { event: Event },
    /// A flag, with what its build pins. `epoch` is the one that was rendered for.
    Flag {
        event: Event,
        epoch: u32,
        pinned: Arc<Pinned>,
        done: oneshot::Sender<Result<Told, TellError>>,
    },
    /// What a build pins, made again for another place.
    Repin {
        key: BuildKey,
        pinned: Arc<Pinned>,
        done: oneshot::Sender<Result<(), TellError>>,
    },
    /// Leases to make durable.
    Leases {
        leases: Vec<Lease>,
        done: oneshot::Sender<Result<(), TellError>>,
    },
    /// Lines of a build's log to make durable.
    Lines {
        lines: Vec<LogEntry>,
        done: oneshot::Sender<Result<(), TellError>>,
    },
    /// A new revision of the site.
    Site {
        site: Arc<Site>,
        revision: Option<(RevisionRow, RevisionFiles)>,
        done: oneshot::Sender<Result<(), TellError>>,
    },
    /// A secret as it is now; none to remove it.
    Secret {
        name: SecretName,
        row: Option<Arc<SecretRow>>,
        done: oneshot::Sender<Result<(), TellError>>,
    },
    /// A new set of artefacts.
    Artefacts {
        index: Arc<ArtefactIndex>,
        done: oneshot::Sender<()>,
    },
}

/// Most commands taken into one group.
const GROUP: usize = 1024;
/// From one commit to the next at least. What comes alone is committed at once; of what comes in a
/// stream (a rack that powers on) each commit takes a millisecond's worth, and the disk and the threads
/// between are asked that much less often.
const PACE: Duration = Duration::from_millis(1);
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How often what is older than the site keeps is removed.
const TIDY: Duration = Duration::from_secs(3600);
/// How long of each tick that may take.
const TIDIES: Duration = Duration::from_millis(50);

pub(super) struct Writer {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) store: StoreWriter,
    /// Logs of installers, beside the store.
    pub(super) bundles: Bundles,
    pub(super) published: Arc<ArcSwap<Snapshot>>,
    pub(super) records: broadcast::Sender<Record>,
    pub(super) key: TokenKey,
    pub(super) clock: Clock,
    pub(super) last_event: i64,
    /// Remembers that number beside the store.
    pub(super) witness: Witness,
    /// Lines that machines log.
    pub(super) heard: Arc<Heard>,
    /// Machines that were seen and not declared.
    pub(super) discovered: Arc<Discovered>,
    /// What was lately recorded.
    pub(super) recent: Recent,
    /// When the store was last tidied, by a clock that nobody sets.
    pub(super) tidied: Option<Instant>,
    /// What is left of that.
    pub(super) tidying: Option<Tidying>,
    /// When each build that is under way must have ended its phase.
    pub(super) due: HashMap<BuildKey, Timestamp>,
}

/// Answers that wait for the commit.
type Waiting = Box<dyn FnOnce(Result<(), TellError>) + Send>;

struct Group {
    next: Snapshot,
    batch: Batch,
    waiting: Vec<Waiting>,
    due: Vec<(BuildKey, Option<Timestamp>)>,
    lines: Vec<LogEntry>,
    /// Answers that wait for the lines.
    kept: Vec<Waiting>,
    last_event: i64,
    /// What is worth a record although it changes nothing.
    admitted: Admitted,
    changed: bool,
}

impl Writer {
    /// Until every [`super::Control`] is gone.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut taken = Vec::new();
        let mut committed: Option<Instant> = None;
        loop {
            tokio::select! {
                count = self.commands.recv_many(&mut taken, GROUP) => {
                    if count == 0 {
                        return;
                    }
                    if let Some(at) = committed && at.elapsed() < PACE {
                        tokio::time::sleep_until(at + PACE).await;
                        while taken.len() < GROUP && let Ok(command) = self.commands.try_recv() {
                            taken.push(command);
                        }
                    }
                    let group = self.group(taken.drain(..));
                    self.commit(group).await;
                    committed = Some(Instant::now());
                }
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    /// What is due without anybody asking: deadlines, lines that wait, tidying.
    async fn tick(&mut self) {
        let now = (self.clock)();
        let overdue: Vec<BuildKey> = self
            .due
            .iter()
            .filter(|(_, at)| now >= **at)
            .map(|(key, _)| key.clone())
            .collect();
        let lines = self.heard.take();
        if !overdue.is_empty() || !lines.is_empty() {
            let events = overdue.into_iter().map(|key| Command::Note {
                event: Event {
                    system: key.system,
                    epoch: Some(key.epoch),
                    kind: EventKind::DeadlinePassed,
                },
            });
            let mut group = self.group(events);
            group.lines.extend(lines);
            self.commit(group).await;
        }
        let seen = self.discovered.news();
        if !seen.is_empty()
            && let Err(error) = self.store.discovered(&seen, MOST as u32).await
        {
            tracing::error!(%error, "discovered machines were not stored");
        }
        // Not before a site says how much is kept.
        let loaded = self.published.load().site.revision != Site::default().revision;
        if loaded && self.tidied.is_none_or(|at| at.elapsed() >= TIDY) {
            self.tidied = Some(Instant::now());
            let keep = self.published.load().site.keep;
            match self.store.begin_tidying(&keep, now).await {
                Ok(begun) => self.tidying = Some(begun),
                Err(error) => tracing::error!(%error, "the store could not be tidied"),
            }
        }
        self.tidy().await;
    }

    /// As much of a tidying as nobody notices who waits for the writer.
    async fn tidy(&mut self) {
        let Some(mut tidying) = self.tidying.take() else {
            return;
        };
        let begun = Instant::now();
        while begun.elapsed() < TIDIES {
            match self.store.tidy(&mut tidying).await {
                Ok(true) => {}
                Ok(false) => {
                    if tidying.rows() > 0 {
                        tracing::info!(rows = tidying.rows(), "tidied the store");
                    }
                    let keep = self.published.load().site.keep;
                    self.tidy_bundles(u64::from(keep.bundles) * 1024 * 1024)
                        .await;
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the store could not be tidied");
                    return;
                }
            }
        }
        self.tidying = Some(tidying);
    }

    /// Bundles of builds that are gone, and the oldest beyond what is kept. Nobody waits for it.
    async fn tidy_bundles(&mut self, most: u64) {
        let known = match self.store.builds().await {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(%error, "bundles of logs could not be tidied");
                return;
            }
        };
        let bundles = self.bundles.clone();
        tokio::task::spawn_blocking(move || {
            let removed = bundles.tidy(&known, most);
            if removed > 0 {
                tracing::info!(removed, "tidied bundles of logs");
            }
        });
    }

    fn group(&mut self, commands: impl Iterator<Item = Command>) -> Group {
        let mut group = Group {
            next: (**self.published.load()).clone(),
            batch: Batch::default(),
            waiting: Vec::new(),
            due: Vec::new(),
            lines: Vec::new(),
            kept: Vec::new(),
            last_event: self.last_event,
            admitted: Admitted::default(),
            changed: false,
        };
        for command in commands {
            self.apply(command, &mut group);
        }
        group
    }

    fn apply(&mut self, command: Command, group: &mut Group) {
        match command {
            Command::Tell { event, done } => {
                let told = self.event(event, None, group, false);
                group.waiting.push(Box::new(move |stored| {
                    let _receiver_gone = done.send(stored.and(told.map_err(Into::into)));
                }));
            }
            Command::Note { event } => {
                if let Err(refusal) = self.event(event, None, group, true) {
                    tracing::debug!(%refusal, "an observation changed nothing");
                }
            }
            Command::Flag {
                event,
                epoch,
                pinned,
                done,
            } => {
                let told = self.event(event, Some((epoch, pinned)), group, false);
                group.waiting.push(Box::new(move |stored| {
                    let _receiver_gone = done.send(stored.and(told.map_err(Into::into)));
                }));
            }
            Command::Repin { key, pinned, done } => {
                // A build that is gone meanwhile is served nothing anyway.
                if group.next.pinned.contains_key(&key) {
                    group.batch.pins.push((key.clone(), pinned.clone()));
                    group.next.pinned.insert(key, pinned);
                    group.changed = true;
                }
                group.waiting.push(Box::new(move |stored| {
                    let _receiver_gone = done.send(stored);
                }));
            }
            Command::Leases { leases, done } => {
                group.batch.leases.extend(leases);
                group.waiting.push(Box::new(move |stored| {
                    let _receiver_gone = done.send(stored);
                }));
            }
            Command::Lines { lines, done } => {
                group.lines.extend(lines);
                group.kept.push(Box::new(move |stored| {
                    let _receiver_gone = done.send(stored);
                }));
            }
            Command::Site {
                site,
                revision,
                done,
            } => {
                group.next.site = site;
                group.changed = true;
                group.batch.revisions.extend(revision);
                group.waiting.push(Box::new(move |stored| {
                    let _receiver_gone = done.send(stored);
                }));
            }
            Command::Secret { name, row, done } => {
                let mut secrets = (*group.next.secrets).clone();
                match &row {
                    Some(row) => secrets.insert(name.clone(), row.clone()),
                    None => secrets.remove(&name),
                };
                group.next.secrets = Arc::new(secrets);
                group.changed = true;
                group.batch.secrets.push((name, row));
                group.waiting.push(Box::new(move |stored| {
                    let _receiver_gone = done.send(stored);
                }));
            }
            Command::Artefacts { index, done } => {
                group.next.artefacts = index;
                group.changed = true;
                group.waiting.push(Box::new(move |_| {
                    let _receiver_gone = done.send(());
                }));
            }
        }
    }

    /// Applies one event to the group's copy.
    fn event(
        &mut self,
        event: Event,
        flag: Option<(u32, Arc<Pinned>)>,
        group: &mut Group,
        noted: bool,
    ) -> Result<Told, StepError> {
        let now = (self.clock)();
        let Event {
            system,
            epoch,
            kind,
        } = event;
        let known = |group: &Group| {
            let machine = group.next.machines.get(&system);
            machine.map_or_else(|| Machine::new(system.clone()), |m| (**m).clone())
        };
        let mut machine = known(group);
        let unheard = machine
            .build
            .as_ref()
            .filter(|b| epoch == Some(b.key.epoch));
        if let Some(before) = unheard.and_then(|was| implied(was, &kind)) {
            let before = Event {
                system: system.clone(),
                epoch,
                kind: before,
            };
            self.event(before, None, group, false)?;
            machine = known(group);
        }
        let last = machine.last_epoch();
        if let Some((rendered_for, _)) = &flag
            && *rendered_for != last + 1
        {
            return Err(StepError::StaleEpoch {
                system,
                said: *rendered_for,
                present: last,
            });
        }
        let slot = choose(&machine, epoch, &kind)?;
        let was = match slot {
            Purpose::Install => machine.build.as_ref(),
            Purpose::Once => machine.once.as_ref(),
        };
        if flag.is_some() {
            still_wanted(&group.next.site, &system, &kind)?;
        }
        let deadlines = was
            .and_then(|b| group.next.pinned.get(&b.key))
            .map_or_else(Deadlines::default, |p| p.deadlines);
        let mut now_is = step(&system, was, last, &kind, &deadlines, now)?;
        now_is = now_is.map(|next| {
            let pinned = group.next.pinned.get(&next.key);
            match pinned.is_some_and(|p| p.kind.silent()) {
                true => silent(was, next, &kind, now),
                false => next,
            }
        });
        let build = now_is
            .clone()
            .or_else(|| was.cloned())
            .ok_or(StepError::NoBuild(system.clone()))?;
        // What changes nothing that matters is not worth a row each time it is said.
        let soft = match &now_is {
            None => true,
            // Said again it is the same: whoever repeats a report without end fills nothing.
            Some(next) => was.is_some_and(|was| was == next || noted && is_soft(was, next)),
        };
        let recent = &self.recent;
        if soft && !recent.admit(&mut group.admitted, &build.key, &kind, now) {
            let build = was.cloned().unwrap_or(build);
            return Ok(Told { build });
        }
        let ended = now_is.as_ref().and_then(|next| over(was, next, now));
        group.last_event += 1;
        group.batch.records.push(Record {
            number: group.last_event,
            time: now,
            system: system.clone(),
            epoch: Some(build.key.epoch),
            phase: build.phase,
            event: kind,
            ended,
        });
        group.changed = true;
        if now_is.is_some() {
            let deadline = build.phase.is_active().then_some(build.deadline).flatten();
            for old in [&machine.build, &machine.once].into_iter().flatten() {
                if old.purpose == slot && old.key != build.key {
                    group.due.push((old.key.clone(), None));
                }
            }
            group.due.push((build.key.clone(), deadline));
            if let Some((_, pinned)) = flag {
                group.batch.pins.push((build.key.clone(), pinned.clone()));
                group.next.pinned.insert(build.key.clone(), pinned);
            }
            group.batch.builds.push(build.clone());
            match slot {
                Purpose::Install => machine.build = Some(build.clone()),
                Purpose::Once => machine.once = Some(build.clone()),
            }
            group.next.put(machine, &self.key);
        }
        Ok(Told { build })
    }

    async fn commit(&mut self, group: Group) {
        let stored = if group.batch.is_empty() {
            Ok(())
        } else {
            self.store.commit(&group.batch).await.map_err(|error| {
                tracing::error!(%error, cause = ?std::error::Error::source(&error), "nothing of a group was stored");
                TellError::Store(error.to_string())
            })
        };
        if stored.is_ok() {
            if group.last_event != self.last_event {
                self.witness.write(group.last_event);
            }
            self.last_event = group.last_event;
            self.recent.stored(group.admitted);
            for (key, deadline) in group.due {
                match deadline {
                    Some(at) => self.due.insert(key, at),
                    None => {
                        self.recent.forget(&key);
                        self.due.remove(&key)
                    }
                };
            }
            if group.changed {
                self.published.store(Arc::new(group.next));
            }
            for record in group.batch.records {
                log(&record);
                let _nobody_listens = self.records.send(record);
            }
        }
        for answer in group.waiting {
            answer(stored.clone());
        }
        if group.lines.is_empty() {
            return;
        }
        let keep = self.published.load().site.keep.log_lines;
        let kept = self.store.log(&group.lines, keep).await.map_err(|error| {
            tracing::error!(%error, "lines of machines' logs were not stored");
            TellError::Store(error.to_string())
        });
        for answer in group.kept {
            answer(kept.clone());
        }
    }
}

/// Whether a system may be flagged as the site is by now: the flags of a rack take their time, and an
/// operator whose `set` was answered meanwhile relies on it.
fn still_wanted(site: &Site, name: &Name, kind: &EventKind) -> Result<(), StepError> {
    let refused = |why| {
        Err(StepError::NotWanted {
            system: name.clone(),
            why,
        })
    };
    let installs = matches!(
        kind,
        EventKind::Flagged {
            purpose: Purpose::Install,
            ..
        }
    );
    match site.systems.get(name) {
        None => refused("it is not declared any more"),
        Some(system) if system.broken.is_some() => refused("its entry cannot be used"),
        Some(system) if system.protected && installs => refused("it is protected"),
        Some(_) => Ok(()),
    }
}

/// Whether a build is where it was, so far as anything is decided by it.
fn is_soft(was: &Build, next: &Build) -> bool {
    let mut same = next.clone();
    same.observed = was.observed.clone();
    same.firmware = was.firmware;
    same.uuid = was.uuid.clone();
    same == *was
}

/// Which of a machine's two slots an event is about.
fn choose(machine: &Machine, epoch: Option<u32>, kind: &EventKind) -> Result<Purpose, StepError> {
    if let EventKind::Flagged { purpose, .. } = kind {
        return Ok(purpose.clone());
    }
    if let Some(said) = epoch {
        return machine
            .with_epoch(said)
            .map(|b| b.purpose.clone())
            .ok_or_else(|| match machine.last_epoch() {
                0 => StepError::NoBuild(machine.name.clone()),
                present => StepError::StaleEpoch {
                    system: machine.name.clone(),
                    said,
                    present,
                },
            });
    }
    let once = machine.once.as_ref().is_some_and(|b| b.phase.is_active());
    Ok(if once {
        Purpose::Once
    } else {
        Purpose::Install
    })
}

/// One line for the text log.
fn log(record: &Record) {
    tracing::info!(
        machine.name = %record.system,
        build.epoch = record.epoch,
        phase = %record.phase,
        "{}: {}",
        record.event.word(),
        record.event.detail()
    );
}
