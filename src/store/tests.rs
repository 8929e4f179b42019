//! Every statement, against a real file.

use std::sync::Arc;

use super::*;
use crate::model::{
    ArtefactRef, Build, BuildKey, Deadlines, Digest, DiskRule, Document, EventKind, Lease,
    LeaseState, MacAddr, Name, Phase, Pinned, PlannedFile, ProfileKind, Purpose, Record, Timestamp,
};

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
        retry_after_write: false,
        handoff_key: None,
        handoff_asked: false,
        address: None,
        firmware: None,
        uuid: None,
        observed: None,
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
        cmdline: "quiet".to_string(),
        documents: [("config.tar.gz".to_string(), Arc::new(document))].into(),
        deadlines: Deadlines::default(),
        disk: DiskRule::default(),
        may_destroy: vec!["blank".to_string()],
        wipe: false,
        handoff: true,
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
    let record = Record {
        number: 1,
        time: now,
        system: name("web01"),
        epoch: Some(2),
        phase: Phase::Armed,
        event: EventKind::Cancelled {
            actor: "root".into(),
        },
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
                manifest: "{}".into(),
            },
            vec![("d1".into(), Arc::from(&b"hello"[..]))],
        )],
    };
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
    assert_eq!(known.last_event, 1);
    assert_eq!(
        store
            .events(0, Some(&name("web01")), 10)
            .await
            .expect("events"),
        vec![record.clone()]
    );
    assert_eq!(
        store.latest_events(None, 10).await.expect("events"),
        vec![record]
    );
    assert_eq!(store.events(1, None, 10).await.expect("events"), vec![]);
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
    assert_eq!(store.revisions(9).await.expect("rows").len(), 1);
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
