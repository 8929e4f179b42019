//! Every statement, against a real file.

mod past;

use std::sync::Arc;

use super::*;
use crate::model::{
    ArtefactRef, Build, BuildKey, Deadlines, Digest, DiskRule, Document, EventKind, Firmware, Keep,
    Lease, LeaseState, LogEntry, MacAddr, Name, Phase, Pinned, PlannedFile, ProfileKind, Purpose,
    Record, SecretName, Timestamp, Way,
};

/// Makes a database refuse to record anything, as a full disk would, or take it again.
pub(crate) async fn refuse(path: &Path, refuse: bool) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut other = SqliteConnection::connect_with(&options)
        .await
        .expect("a connection");
    let statement = match refuse {
        true => {
            "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END"
        }
        false => "DROP TRIGGER full",
    };
    sqlx::query(statement)
        .execute(&mut other)
        .await
        .expect("done");
}

/// Copies a database that is in use, as an operator's backup does.
pub(crate) async fn copy(from: &Path, to: &Path) {
    let options = SqliteConnectOptions::new().filename(from);
    let mut other = SqliteConnection::connect_with(&options)
        .await
        .expect("a connection");
    sqlx::query("VACUUM INTO ?")
        .bind(to.to_str().expect("a path").to_string())
        .execute(&mut other)
        .await
        .expect("copied");
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn build(system: &str, epoch: u32, purpose: Purpose) -> Build {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    Build {
        key: BuildKey {
            system: name(system),
            epoch,
        },
        purpose,
        profile: name("debian-12"),
        revision: Digest::of(b"site"),
        phase: Phase::Armed,
        stage: None,
        stage_since: None,
        stages: 0,
        reason: None,
        flagged: now,
        started: None,
        since: now,
        deadline: Some(now),
        ended: None,
        attempts: 0,
        attempts_allowed: 2,
        fresh_boot: false,
        served_at: None,
        served: 0,
        disk: None,
        unfinished: Vec::new(),
        retry_after_write: false,
        handoff_key: None,
        handoff_asked: false,
        address: None,
        firmware: None,
        uuid: None,
        observed: None,
        alarm: None,
        revoke: Vec::new(),
        enrolled: None,
        finding: None,
        pushing: false,
        host_keys: Vec::new(),
        actor: "root".to_string(),
    }
}

fn pinned() -> Pinned {
    let document = Document {
        name: "config.tar.gz".to_string(),
        content_type: "application/gzip".to_string(),
        bytes: vec![0, 159, 146, 150],
        gzip: true,
        secret: false,
    };
    Pinned {
        kind: ProfileKind::Fai,
        secure_boot: false,
        kernel: PlannedFile {
            id: ArtefactRef {
                distro: "fai-6".into(),
                name: "vmlinuz".into(),
            },
            digest: Digest::of(b"k"),
            size: 1,
        },
        kernel_uefi: None,
        initrds: Vec::new(),
        artefacts: Vec::new(),
        cmdline: "quiet".to_string(),
        documents: [("config.tar.gz".to_string(), Arc::new(document))].into(),
        deadlines: Deadlines::default(),
        disk: DiskRule::default(),
        second: None,
        may_destroy: vec!["blank".to_string()],
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

#[tokio::test]
async fn what_is_committed_is_known_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("farrier.db");
    let (store, mut writer) = open(&path).await.expect("open");
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let lease = Lease {
        ip: "10.0.0.9".parse().expect("an address"),
        mac: "52:54:00:00:00:09".parse::<MacAddr>().expect("a mac"),
        state: LeaseState::Bound,
        granted: now,
        expires: now,
        hostname: Some("h".to_string()),
    };
    let secret: SecretName = "bmc/web01".parse().expect("a name");
    let gone: SecretName = "gone".parse().expect("a name");
    let sealed = Arc::new(SecretRow {
        sealed: b"sealed".to_vec(),
        time: now,
        actor: "root".to_string(),
    });
    let record = Record {
        number: 1,
        time: now,
        system: name("web01"),
        epoch: Some(2),
        phase: Phase::Armed,
        event: EventKind::Cancelled {
            actor: "root".into(),
        },
        ended: None,
    };
    let batch = Batch {
        builds: vec![
            build("web01", 1, Purpose::Install),
            build("web01", 2, Purpose::Install),
            build("web01", 3, Purpose::Once),
        ],
        pins: vec![(
            BuildKey {
                system: name("web01"),
                epoch: 2,
            },
            Arc::new(pinned()),
        )],
        records: vec![record.clone()],
        leases: vec![
            lease.clone(),
            Lease {
                hostname: None,
                ..lease.clone()
            },
        ],
        revisions: vec![(
            RevisionRow {
                digest: "abc123".into(),
                time: now,
                author: "root".into(),
                summary: "systems.toml added".into(),
                manifest: "{}".into(),
            },
            vec![("d1".into(), Arc::from(&b"hello"[..]))],
        )],
        secrets: vec![
            (secret.clone(), Some(sealed.clone())),
            (gone.clone(), Some(sealed.clone())),
            (gone, None),
        ],
    };
    assert_eq!(secret_names(&path).await.expect("read"), Some([].into()));
    writer.commit(&batch).await.expect("commit");
    drop((store, writer));

    let (store, _writer) = open(&path).await.expect("open again");
    let known = store.known().await.expect("known");
    assert_eq!(known.machines.len(), 1);
    assert_eq!(
        known.machines[0].build,
        Some(build("web01", 2, Purpose::Install))
    );
    assert_eq!(
        known.machines[0].once,
        Some(build("web01", 3, Purpose::Once))
    );
    assert_eq!(known.pins.len(), 1);
    assert_eq!(*known.pins[0].1, pinned());
    assert_eq!(
        known.leases,
        vec![Lease {
            hostname: None,
            ..lease
        }]
    );
    assert_eq!(known.secrets, [(secret.clone(), sealed)].into());
    let names = secret_names(&path).await.expect("beside the server");
    assert_eq!(names, Some([secret].into()));
    let none = secret_names(&dir.path().join("none.db")).await;
    assert_eq!(none.expect("no database"), None);
    assert_eq!(known.last_event, 1);
    assert_eq!(
        store
            .events(0, Some(&[name("web01")]), None, 10)
            .await
            .expect("events"),
        vec![record.clone()]
    );
    assert_eq!(
        store.latest_events(None, None, 10).await.expect("events"),
        vec![record]
    );
    assert_eq!(
        store.events(1, None, None, 10).await.expect("events"),
        vec![]
    );
    assert_eq!(
        store
            .last_revision()
            .await
            .expect("row")
            .expect("one")
            .digest,
        "abc123"
    );
    assert!(store.revision("abc").await.expect("row").is_some());
    assert!(store.revision("x").await.expect("row").is_none());
    assert_eq!(store.history(9).await.expect("rows").len(), 1);
    assert_eq!(
        store.blob("d1").await.expect("blob").expect("one"),
        b"hello"
    );
}

#[tokio::test]
async fn a_group_is_stored_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let record = Record {
        number: 1,
        time: now,
        system: name("web01"),
        epoch: None,
        phase: Phase::Idle,
        event: EventKind::ScriptServed,
        ended: None,
    };
    let twice = Batch {
        builds: vec![build("web01", 1, Purpose::Install)],
        records: vec![record.clone(), record],
        ..Batch::default()
    };
    assert!(
        writer.commit(&twice).await.is_err(),
        "the same number twice"
    );
    assert!(store.known().await.expect("known").machines.is_empty());
    let fine = Batch {
        builds: vec![build("web01", 1, Purpose::Install)],
        ..Batch::default()
    };
    writer
        .commit(&fine)
        .await
        .expect("the connection is usable after a failure");
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn record(number: i64, system: &str, epoch: u32, phase: Phase) -> Record {
    Record {
        number,
        time: at(number),
        system: name(system),
        epoch: Some(epoch),
        phase,
        event: EventKind::LocalServed,
        ended: None,
    }
}

#[tokio::test]
async fn one_row_that_cannot_be_read_hides_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let key = |system: &str| BuildKey {
        system: name(system),
        epoch: 1,
    };
    let batch = Batch {
        builds: ["web01", "web02", "web03"]
            .map(|s| build(s, 1, Purpose::Install))
            .to_vec(),
        pins: ["web01", "web02", "web03"]
            .map(|s| (key(s), Arc::new(pinned())))
            .to_vec(),
        records: vec![
            record(1, "web01", 1, Phase::Armed),
            record(2, "web02", 1, Phase::Armed),
        ],
        ..Batch::default()
    };
    writer.commit(&batch).await.expect("commit");
    for damage in [
        "UPDATE builds SET build = '{}' WHERE system = 'web01'",
        "UPDATE pins SET pinned = x'00' WHERE system = 'web02'",
        "UPDATE events SET event = 'x' WHERE number = 1",
    ] {
        sqlx::query(damage)
            .execute(&mut writer.connection)
            .await
            .expect("damaged");
    }
    let known = store.known().await.expect("the others");
    assert_eq!(known.unreadable, [name("web01"), name("web02")]);
    let names: Vec<&str> = known.machines.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["web02", "web03"]);
    let pins: Vec<&str> = known.pins.iter().map(|(k, _)| k.system.as_str()).collect();
    assert_eq!(pins, ["web01", "web03"]);
    assert_eq!(
        store
            .latest_events(None, None, 9)
            .await
            .expect("events")
            .len(),
        1
    );
}

#[tokio::test]
async fn a_build_of_an_earlier_version_is_read() {
    let mut old = serde_json::to_value(build("web01", 1, Purpose::Install)).expect("JSON");
    let fields = old.as_object_mut().expect("an object");
    for new in ["handoff_asked", "address", "firmware", "uuid", "observed"] {
        assert!(fields.remove(new).is_some(), "{new}");
    }
    let read: Build = serde_json::from_value(old).expect("with defaults");
    assert_eq!(read, build("web01", 1, Purpose::Install));
    let mut old = serde_json::to_value(pinned()).expect("JSON");
    assert!(
        old.as_object_mut()
            .expect("an object")
            .remove("wipe")
            .is_some()
    );
    assert_eq!(
        serde_json::from_value::<Pinned>(old).expect("with defaults"),
        pinned()
    );
}

#[tokio::test]
async fn events_of_several_systems_are_chosen_before_they_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let system = |n: i64| {
        if n <= 4 {
            ["a", "b"][n as usize % 2]
        } else {
            "noisy"
        }
    };
    let batch = Batch {
        records: (1..=100)
            .map(|n| record(n, system(n), 1, Phase::Armed))
            .collect(),
        ..Batch::default()
    };
    writer.commit(&batch).await.expect("commit");
    let both = [name("a"), name("b")];
    let numbers = |records: Vec<Record>| records.iter().map(|r| r.number).collect::<Vec<_>>();
    let latest = store
        .latest_events(Some(&both), None, 3)
        .await
        .expect("events");
    assert_eq!(numbers(latest), [2, 3, 4]);
    let after = store.events(1, Some(&both), None, 2).await.expect("events");
    assert_eq!(numbers(after), [2, 3]);
    let late = store.events(0, Some(&both), Some(at(3)), 2).await;
    assert_eq!(
        numbers(late.expect("events")),
        [3, 4],
        "what is too early does not count"
    );
    let late = store.latest_events(None, Some(at(99)), 9).await;
    assert_eq!(numbers(late.expect("events")), [99, 100]);
}

#[tokio::test]
async fn how_long_it_takes_depends_on_the_firmware() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let done = |system: &str, firmware| Build {
        phase: Phase::Ready,
        firmware: Some(firmware),
        ..build(system, 1, Purpose::Install)
    };
    let batch = Batch {
        builds: vec![done("slow", Firmware::UEFI), done("fast", Firmware::BIOS)],
        records: vec![
            record(1, "fast", 1, Phase::Installing),
            record(2, "slow", 1, Phase::Installing),
            record(10, "fast", 1, Phase::Installed),
            record(90, "slow", 1, Phase::Installed),
        ],
        ..Batch::default()
    };
    writer.commit(&batch).await.expect("commit");
    for (firmware, seconds) in [(Firmware::BIOS, 9), (Firmware::UEFI, 88)] {
        let found = store
            .beginnings(&name("debian-12"), Some(firmware))
            .await
            .expect("read");
        let usual = crate::lifecycle::usual::usual(&found);
        assert_eq!(usual.get("installing"), Some(&Duration::from_secs(seconds)));
    }
    let all = store
        .beginnings(&name("debian-12"), None)
        .await
        .expect("read");
    assert_eq!(all.len(), 4);
}

#[tokio::test]
async fn leases_alone_and_beside_something_else_are_stored() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let lease = |ip: &str| Lease {
        ip: ip.parse().expect("an address"),
        mac: "52:54:00:00:00:09".parse::<MacAddr>().expect("a mac"),
        state: LeaseState::Bound,
        granted: now,
        expires: now,
        hostname: None,
    };
    let alone = Batch {
        leases: vec![lease("10.0.0.9")],
        ..Batch::default()
    };
    writer.commit(&alone).await.expect("a lease alone");
    let beside = Batch {
        leases: vec![lease("10.0.0.10")],
        secrets: vec![(
            "bmc/web01".parse().expect("a name"),
            Some(Arc::new(SecretRow {
                sealed: b"sealed".to_vec(),
                time: now,
                actor: "root".to_string(),
            })),
        )],
        ..Batch::default()
    };
    writer.commit(&beside).await.expect("a lease and a secret");
    let known = store.known().await.expect("known");
    assert_eq!(known.leases.len(), 2);
    assert_eq!(known.secrets.len(), 1, "the secret came with a lease");
}

#[tokio::test]
async fn a_revision_that_comes_back_is_in_the_history_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    // The third is what a restart with the same files does.
    for (second, digest) in [(0, "aaa1"), (10, "bbb2"), (15, "bbb2"), (20, "aaa1")] {
        let row = RevisionRow {
            digest: digest.into(),
            time: at(second),
            author: "root".into(),
            summary: format!("at {second}"),
            manifest: "{}".into(),
        };
        let batch = Batch {
            revisions: vec![(row, Vec::new())],
            ..Batch::default()
        };
        writer.commit(&batch).await.expect("commit");
    }
    let history = store.history(9).await.expect("rows");
    let shown: Vec<String> = history
        .iter()
        .map(|r| format!("{} {}", r.digest, r.summary))
        .collect();
    assert_eq!(shown, ["aaa1 at 20", "bbb2 at 10", "aaa1 at 0"]);
    for (second, want) in [
        (-1, None),
        (0, Some("aaa1")),
        (9, Some("aaa1")),
        (12, Some("bbb2")),
        (99, Some("aaa1")),
    ] {
        let row = store.revision_at(at(second)).await.expect("a look");
        assert_eq!(row.map(|r| r.digest).as_deref(), want, "{second}");
    }
}
