//! The waist against a real store, with a clock that the tests turn.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::writer::Command;
use super::*;
use crate::model::{
    Action, Artefact, ArtefactRef, ClientStage, Deadlines, Digest, DiskRule, Document, Event,
    EventKind, Interface, Name, Nature, Phase, Pinned, PlannedFile, ProfileKind, Purpose, System,
    Way, Why,
};

mod again;
mod changed;
mod logged;
mod memory;
mod misused;
mod obstacles;
mod viewed;

pub(super) struct Bench {
    dir: tempfile::TempDir,
    pub(super) seconds: Arc<AtomicI64>,
}

fn web01() -> Name {
    "web01".parse().expect("a name")
}

fn mac() -> MacAddr {
    "52:54:00:00:00:01".parse().expect("a mac")
}

fn facts() -> Facts {
    Facts {
        mac: mac(),
        ip: None,
        door: Door::Http,
        firmware: None,
        stage: ClientStage::Ipxe,
    }
}

/// Puts a site in force.
async fn put(control: &Control, site: Site) {
    let (done, wait) = oneshot::channel();
    let new_site = Command::Site {
        site: Arc::new(site),
        revision: None,
        done,
    };
    control.commands.send(new_site).await.expect("a writer");
    wait.await.expect("an answer").expect("published");
}

impl Bench {
    pub(super) fn new() -> Self {
        Bench {
            dir: tempfile::tempdir().expect("a directory"),
            seconds: Arc::new(AtomicI64::new(1_800_000_000)),
        }
    }

    /// Opens the waist, as after a start or a crash, with one declared system.
    pub(super) async fn open(&self) -> Arc<Control> {
        let seconds = self.seconds.clone();
        let clock: Clock = Arc::new(move || {
            Timestamp::from_second(seconds.load(Ordering::Relaxed)).expect("a time")
        });
        let control = Control::open(Options {
            site: self.dir.path().join("site"),
            state: self.dir.path().join("state"),
            clock,
        })
        .await
        .expect("open");
        let system = Arc::new(System {
            name: web01(),
            interfaces: vec![Interface {
                mac: mac(),
                ip: None,
                static_ip: false,
                name: None,
                ip6: None,
            }],
            profile: "debian-12".parse().expect("a name"),
            tags: Vec::new(),
            vars: serde_json::Map::new(),
            intent: None,
            disk: None,
            wipe: false,
            protected: false,
            secure_boot: false,
            ssh_keys: Vec::new(),
            broken: None,
            bmc: None,
        });
        let mut site = Site::default();
        site.systems.insert(web01(), system.clone());
        site.by_mac.insert(mac(), system);
        put(&control, site).await;
        publish(&control, index()).await;
        control
    }

    async fn flag_with(&self, control: &Control, change: impl FnOnce(&mut Pinned)) {
        let mut pinned = pinned();
        change(&mut pinned);
        let told = self.flag_for(control, pinned).await;
        told.expect("flagged");
    }

    pub(super) async fn flag(&self, control: &Control) -> Result<Told, TellError> {
        self.flag_for(control, pinned()).await
    }

    async fn flag_for(&self, control: &Control, pinned: Pinned) -> Result<Told, TellError> {
        let expires = Timestamp::from_second(self.seconds.load(Ordering::Relaxed) + 86_400);
        let event = Event {
            system: web01(),
            epoch: None,
            kind: EventKind::Flagged {
                purpose: Purpose::Install,
                profile: "debian-12".parse().expect("a name"),
                revision: Digest([0; 32]),
                expires: expires.expect("a time"),
                attempts: 2,
                retry_after_write: false,
                revoke: Vec::new(),
                actor: "root".into(),
            },
        };
        let epoch = control
            .snapshot()
            .machines
            .get(&web01())
            .map_or(0, |m| m.last_epoch())
            + 1;
        let (done, wait) = oneshot::channel();
        let flag = Command::Flag {
            event,
            epoch,
            pinned: Arc::new(pinned),
            done,
        };
        control.commands.send(flag).await.expect("a writer");
        wait.await.expect("an answer")
    }
}

fn pinned() -> Pinned {
    let document = Document {
        name: "preseed.cfg".into(),
        content_type: "text/plain".into(),
        bytes: Scope::Report.placeholder().as_bytes().to_vec(),
        gzip: false,
        secret: false,
    };
    Pinned {
        kind: ProfileKind::Preseed,
        secure_boot: false,
        kernel: PlannedFile {
            id: ArtefactRef {
                distro: "debian-12".into(),
                name: "linux".into(),
            },
            digest: Digest([1; 32]),
            size: 1,
        },
        kernel_uefi: None,
        initrds: Vec::new(),
        artefacts: Vec::new(),
        cmdline: format!("url=http://s/b/{}/preseed.cfg", Scope::Read.placeholder()),
        documents: BTreeMap::from([("preseed.cfg".to_string(), Arc::new(document))]),
        deadlines: Deadlines::default(),
        disk: DiskRule::default(),
        second: None,
        may_destroy: Vec::new(),
        wipe: false,
        handoff: true,
        server: None,
        uefi: None,
        way: Way::default(),
        macs: Vec::new(),
        identity: None,
        push: None,
        agent: None,
    }
}

/// The kernel that is pinned, and the loaders.
fn index() -> ArtefactIndex {
    let mut index = ArtefactIndex::default();
    let kernel = pinned().kernel;
    let loaders = crate::boot::paths::LOADERS.map(|name| ArtefactRef {
        distro: "loaders".into(),
        name: name.into(),
    });
    for id in loaders.into_iter().chain([kernel.id]) {
        index.insert(Artefact {
            id,
            path: PathBuf::new(),
            digest: kernel.digest,
            size: 1,
            bytes: None,
            nature: Nature::default(),
        });
    }
    index
}

async fn publish(control: &Control, index: ArtefactIndex) {
    let (done, wait) = oneshot::channel();
    let index = Arc::new(index);
    let artefacts = Command::Artefacts { index, done };
    control.commands.send(artefacts).await.expect("a writer");
    wait.await.expect("an answer");
}

pub(super) fn event(epoch: u32, kind: EventKind) -> Event {
    Event {
        system: web01(),
        epoch: Some(epoch),
        kind,
    }
}

fn phase(control: &Control) -> Phase {
    let snapshot = control.snapshot();
    let machine = snapshot.machines.get(&web01()).expect("a machine");
    machine.build.as_ref().expect("a build").phase
}

#[tokio::test]
async fn asking_changes_nothing_and_telling_survives_a_crash() {
    let bench = Bench::new();
    let control = bench.open().await;
    assert_eq!(control.ask(&facts()).why, Why::NotFlagged);
    bench.flag(&control).await.expect("flagged");
    for _ in 0..5 {
        assert!(matches!(control.ask(&facts()).action, Action::Boot(_)));
    }
    assert_eq!(phase(&control), Phase::Armed);
    control
        .tell(event(1, EventKind::ScriptServed))
        .await
        .expect("served");
    // No shutdown: the next one opens what a power cut would have left.
    let control = bench.open().await;
    assert_eq!(phase(&control), Phase::Booting);
    let decision = control.ask(&facts());
    let Action::Boot(plan) = decision.action else {
        panic!("{decision:?}")
    };
    let token = control.key().token(&plan.build, Scope::Read);
    assert!(
        plan.cmdline.contains(token.reveal()),
        "tokens are filled in"
    );
    assert!(
        control.authorise(token.reveal(), Scope::Read).is_some(),
        "and good after a restart"
    );
}

#[tokio::test]
async fn a_token_opens_its_own_build_scope_and_phase_only() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let key = crate::model::BuildKey {
        system: web01(),
        epoch: 1,
    };
    let read = control.key().token(&key, Scope::Read).reveal().to_string();
    let report = control
        .key()
        .token(&key, Scope::Report)
        .reveal()
        .to_string();
    assert!(
        control.authorise(&read, Scope::Read).is_none(),
        "not before a boot"
    );
    control
        .tell(event(1, EventKind::ScriptServed))
        .await
        .expect("served");
    assert!(control.authorise(&read, Scope::Read).is_some());
    assert!(control.authorise(&read, Scope::Report).is_none());
    assert!(control.authorise("guess", Scope::Read).is_none());
    let document = &pinned().documents["preseed.cfg"];
    let served = served_document(document, control.key(), &key);
    assert_eq!(served, report.as_bytes());
    control
        .tell(event(
            1,
            EventKind::AnswerFetched {
                name: "preseed.cfg".into(),
            },
        ))
        .await
        .expect("fetched");
    control
        .tell(event(1, EventKind::InstallerEnded))
        .await
        .expect("ended");
    assert!(
        control.authorise(&read, Scope::Read).is_none(),
        "dead when the phase moves on"
    );
    control
        .tell(event(
            1,
            EventKind::Cancelled {
                actor: "root".into(),
            },
        ))
        .await
        .expect("cancelled");
    bench.flag(&control).await.expect("flagged again");
    control
        .tell(event(2, EventKind::ScriptServed))
        .await
        .expect("served");
    assert!(
        control.authorise(&read, Scope::Read).is_none(),
        "an older epoch's is dead"
    );
    let stale = control.tell(event(1, EventKind::InstallerEnded)).await;
    assert!(matches!(
        stale,
        Err(TellError::Refused(StepError::StaleEpoch { said: 1, .. }))
    ));
}

#[tokio::test]
async fn a_deadline_ends_a_phase_without_anyone_asking() {
    let bench = Bench::new();
    let control = bench.open().await;
    let mut records = control.subscribe();
    bench.flag(&control).await.expect("flagged");
    control
        .tell(event(1, EventKind::ScriptServed))
        .await
        .expect("served");
    bench.seconds.fetch_add(11 * 60, Ordering::Relaxed);
    loop {
        let record = records.recv().await.expect("a record");
        if record.event == EventKind::DeadlinePassed {
            assert_eq!(record.phase, Phase::Stalled);
            break;
        }
    }
    assert_eq!(phase(&control), Phase::Stalled);
    assert_eq!(control.ask(&facts()).action, Action::LocalDisk);
}

#[tokio::test]
async fn an_address_outlives_its_lease_while_a_build_is_under_way() {
    let bench = Bench::new();
    let control = bench.open().await;
    let now = Timestamp::from_second(bench.seconds.load(Ordering::Relaxed)).expect("a time");
    let ip = Ipv4Addr::new(10, 77, 0, 100);
    let lease = crate::model::Lease {
        ip,
        mac: mac(),
        state: crate::model::LeaseState::Bound,
        granted: now,
        expires: now + std::time::Duration::from_secs(60),
        hostname: None,
    };
    *control.leases().table() = crate::dhcp::LeaseTable::load([lease]);
    assert_eq!(control.holder(ip), Some(mac()));
    bench.flag(&control).await.expect("flagged");
    bench.seconds.fetch_add(61, Ordering::Relaxed);
    assert_eq!(control.holder(ip), None, "not before it boots");
    control
        .tell(event(1, EventKind::ScriptServed))
        .await
        .expect("served");
    assert_eq!(control.holder(ip), Some(mac()), "its installer has it");
    let started = EventKind::InstallerStarted {
        detail: String::new(),
    };
    control.tell(event(1, started)).await.expect("told");
    assert_eq!(control.holder(ip), Some(mac()));
    let failed = EventKind::InstallerFailed {
        stage: crate::model::Stage::clean("setup"),
        detail: "it was enough".into(),
    };
    control.tell(event(1, failed)).await.expect("told");
    assert_eq!(phase(&control), Phase::Failed);
    assert_eq!(control.holder(ip), None, "and nobody once it is over");
}

#[tokio::test]
async fn events_are_numbered_without_gaps_over_a_restart() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    control
        .tell(event(1, EventKind::ScriptServed))
        .await
        .expect("served");
    assert!(
        control
            .tell(event(1, EventKind::HandoffRedeemed { key: "k".into() }))
            .await
            .is_err()
    );
    let control = bench.open().await;
    control
        .tell(event(1, EventKind::InstallerEnded))
        .await
        .expect("ended");
    let records = control
        .store
        .events(0, None, None, 100)
        .await
        .expect("events");
    let numbers: Vec<i64> = records.iter().map(|r| r.number).collect();
    assert_eq!(numbers, vec![1, 2, 3]);
}

#[tokio::test]
async fn a_frozen_site_and_an_unknown_machine_boot_nothing() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let mut site = (*control.site()).clone();
    site.frozen = Some("audit".into());
    let (done, wait) = oneshot::channel();
    control
        .commands
        .send(Command::Site {
            site: Arc::new(site),
            revision: None,
            done,
        })
        .await
        .expect("a writer");
    wait.await.expect("an answer").expect("published");
    assert!(matches!(control.ask(&facts()).why, Why::Frozen { .. }));
    let stranger = Facts {
        mac: "52:54:00:00:00:99".parse().expect("a mac"),
        ..facts()
    };
    assert_eq!(control.ask(&stranger).action, Action::Ignore);
}

#[tokio::test]
async fn who_repeats_itself_does_not_fill_the_store() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let claimed = |n: u16| EventKind::BootBegan {
        mac: mac(),
        firmware: Firmware::UEFI,
        uuid: crate::model::MachineId::read(std::array::from_fn(|i| {
            n.to_be_bytes()[i % 2].wrapping_add(i as u8)
        })),
    };
    for n in 0..2000 {
        control.note(event(1, claimed(n)));
        control.note(event(1, EventKind::LocalServed));
    }
    control
        .tell(event(1, EventKind::ScriptServed))
        .await
        .expect("what counts is recorded all the same");
    bench.seconds.fetch_add(60, Ordering::Relaxed);
    for n in 0..500 {
        let kind = EventKind::AnswerFetched {
            name: "preseed.cfg".into(),
        };
        control.tell(event(1, kind)).await.expect("served");
        let kind = EventKind::Seen {
            stage: crate::model::Stage::clean(&format!("task{n}")),
            detail: String::new(),
            by: "fai-monitor".into(),
        };
        control.note(event(1, kind));
    }
    control
        .tell(event(1, EventKind::InstallerEnded))
        .await
        .expect("ended");
    let records = control
        .store
        .events(0, None, None, 10_000)
        .await
        .expect("events");
    assert!(records.len() < 120, "{} records", records.len());
    let count = |word: &str| records.iter().filter(|r| r.event.word() == word).count();
    assert_eq!(count("boot-began"), 1);
    assert_eq!((count("script-served"), count("installer-ended")), (1, 1));
    assert_eq!(count("answer-fetched"), 2, "the change, and once more");
}

#[tokio::test]
async fn memtest_is_served_for_one_boot_not_for_one_request() {
    let bench = Bench::new();
    let control = bench.open().await;
    let mut records = control.subscribe();
    let (done, wait) = oneshot::channel();
    let expires = Timestamp::from_second(bench.seconds.load(Ordering::Relaxed) + 86_400);
    let flag = Command::Flag {
        event: Event {
            system: web01(),
            epoch: None,
            kind: EventKind::Flagged {
                purpose: Purpose::Once,
                profile: "memtest".parse().expect("a name"),
                revision: Digest([0; 32]),
                expires: expires.expect("a time"),
                attempts: 1,
                retry_after_write: false,
                revoke: Vec::new(),
                actor: "root".into(),
            },
        },
        epoch: 1,
        pinned: Arc::new(Pinned {
            kind: ProfileKind::Kernel,
            ..pinned()
        }),
        done,
    };
    control.commands.send(flag).await.expect("a writer");
    wait.await.expect("an answer").expect("flagged");
    for _ in 0..3 {
        let decision = control.ask(&facts());
        assert!(matches!(decision.action, Action::Boot(_)), "{decision:?}");
        control
            .tell(event(1, EventKind::ScriptServed))
            .await
            .expect("iPXE tries again");
        bench.seconds.fetch_add(2, Ordering::Relaxed);
    }
    bench.seconds.fetch_add(8, Ordering::Relaxed);
    while records.recv().await.expect("a record").phase != Phase::Ready {}
    assert_eq!(
        control.ask(&facts()).action,
        Action::LocalDisk,
        "another boot"
    );
    let again = control.tell(event(1, EventKind::ScriptServed)).await;
    assert!(matches!(
        again,
        Err(TellError::Refused(StepError::OwnDisk { .. }))
    ));
}
