//! What is kept of the past, and how much of it.

use super::*;
use crate::model::view::DiscoveredView;

#[tokio::test]
async fn only_so_much_of_the_past_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let key = |epoch| BuildKey {
        system: name("web01"),
        epoch,
    };
    let hex = |n: u8| Digest([n; 32]).to_string();
    let revision = |n: u8| {
        let manifest =
            format!("{{\"files\":{{\"a\":{{\"digest\":\"f{n}\",\"executable\":false}}}}}}");
        let row = RevisionRow {
            digest: hex(n),
            time: at(i64::from(n)),
            author: "root".into(),
            summary: String::new(),
            manifest,
        };
        (row, vec![(format!("f{n}"), Arc::from(&b"x"[..]))])
    };
    let built = |epoch: u32, purpose| Build {
        revision: Digest([epoch as u8; 32]),
        ..build("web01", epoch, purpose)
    };
    let lease = |last: u8, expires| Lease {
        ip: [10, 0, 0, last].into(),
        mac: MacAddr([2, 0, 0, 0, 0, last]),
        state: LeaseState::Bound,
        granted: at(0),
        expires,
        hostname: None,
    };
    let mut builds: Vec<Build> = (2..=9).map(|e| built(e, Purpose::Install)).collect();
    builds.insert(0, built(1, Purpose::Once));
    let batch = Batch {
        builds,
        pins: (1..=9).map(|e| (key(e), Arc::new(pinned()))).collect(),
        records: (1..=50)
            .map(|n| record(n, "web01", 9, Phase::Armed))
            .collect(),
        leases: vec![lease(1, at(0)), lease(2, at(900))],
        revisions: (1..=20).map(revision).collect(),
        ..Batch::default()
    };
    writer.commit(&batch).await.expect("commit");
    let line = |epoch| LogEntry {
        build: key(epoch),
        time: at(0),
        source: "syslog".into(),
        text: "x".into(),
    };
    writer.log(&[line(2), line(9)], 100).await.expect("logged");
    let keep = Keep {
        events: 10,
        builds: 3,
        revisions: 2,
        log_lines: 100,
        bundles: 16,
        leases: Duration::from_secs(500),
    };
    let begun = writer.begin_tidying(&keep, at(1000)).await;
    let mut tidying = begun.expect("begun");
    while writer.tidy(&mut tidying).await.expect("tidied") {}
    assert!(tidying.rows() > 0);

    let known = store.known().await.expect("known");
    let machine = &known.machines[0];
    assert_eq!(machine.build.as_ref().map(|b| b.key.epoch), Some(9));
    assert_eq!(
        machine.once.as_ref().map(|b| b.key.epoch),
        Some(1),
        "it stands there now"
    );
    let epochs: Vec<i64> = sqlx::query_scalar("SELECT epoch FROM pins ORDER BY epoch")
        .fetch_all(&store.pool)
        .await
        .expect("rows");
    assert_eq!(epochs, [1, 7, 8, 9]);
    let events = store.events(0, None, None, 100).await.expect("events");
    assert_eq!((events.len(), events[0].number), (10, 41));
    assert_eq!(
        known
            .leases
            .iter()
            .map(|l| l.ip.octets()[3])
            .collect::<Vec<_>>(),
        [2]
    );
    let kept: Vec<String> = sqlx::query_scalar("SELECT digest FROM revisions ORDER BY time DESC")
        .fetch_all(&store.pool)
        .await
        .expect("rows");
    assert_eq!(
        kept,
        [20, 19, 9, 8, 7, 1].map(hex),
        "the newest, and what builds pin"
    );
    let before = store.revision_at(at(18)).await.expect("a look");
    assert!(
        before.is_none(),
        "no earlier one stands for one that is gone"
    );
    let then = store.revision_at(at(19)).await.expect("a look");
    assert_eq!(then.map(|r| r.digest), Some(hex(19)));
    assert!(store.blob("f8").await.expect("read").is_some());
    assert!(store.blob("f5").await.expect("read").is_none());
    for (epoch, lines) in [(2, 0), (9, 1)] {
        let (found, _) = store.log(&key(epoch), None, None, 9).await.expect("read");
        assert_eq!(found.len(), lines, "build {epoch}");
    }
}

#[tokio::test]
async fn logs_are_bounded_searched_and_read_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let key = BuildKey {
        system: name("web01"),
        epoch: 1,
    };
    let lines = |from: u32, to: u32| -> Vec<LogEntry> {
        (from..to)
            .map(|n| LogEntry {
                build: key.clone(),
                time: at(i64::from(n)),
                source: "syslog".into(),
                text: format!("Line {n}"),
            })
            .collect()
    };
    writer.log(&lines(1, 6), 8).await.expect("logged");
    writer.log(&lines(6, 13), 8).await.expect("logged");
    let read = async |after, words, limit| {
        let (lines, cursor) = store.log(&key, after, words, limit).await.expect("read");
        (
            lines.into_iter().map(|l| l.number).collect::<Vec<_>>(),
            cursor,
        )
    };
    assert_eq!(read(None, None, 100).await, ((5..=12).collect(), 12));
    assert_eq!(read(None, None, 2).await, (vec![11, 12], 12));
    assert_eq!(read(Some(5), None, 2).await, (vec![6, 7], 7));
    assert_eq!(read(Some(11), None, 2).await, (vec![12], 12));
    assert_eq!(read(Some(12), None, 2).await, (vec![], 12));
    assert_eq!(read(None, Some("lINE 1"), 9).await, (vec![10, 11, 12], 12));
    assert_eq!(read(Some(0), Some("line 5"), 9).await, (vec![5], 12));
}

#[tokio::test]
async fn discovered_machines_are_known_again_the_latest_of_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let seen = |last: u8| DiscoveredView {
        mac: MacAddr([2, 0, 0, 0, 0, last]),
        firmware: Some("uefi".into()),
        uuid: None,
        hostname: None,
        relay: None,
        first_seen: at(0),
        last_seen: at(i64::from(last)),
        times: 1,
    };
    let all: Vec<DiscoveredView> = (1..=9).map(seen).collect();
    writer.discovered(&all, 3).await.expect("stored");
    let known = store.discovered().await.expect("read");
    assert_eq!(known, [seen(9), seen(8), seen(7)]);
}

/// SQLite gives a transaction up by itself when the disk is full. Once there is room again everything
/// works as before.
#[tokio::test]
async fn a_full_disk_is_only_full_while_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_store, mut writer) = open(&dir.path().join("farrier.db")).await.expect("open");
    let pages = async |writer: &mut Writer, most: i64| {
        let set = format!("PRAGMA max_page_count = {most}");
        sqlx::query(sqlx::AssertSqlSafe(set))
            .execute(&mut writer.connection)
            .await
            .expect("set");
    };
    let big = |n: i64| Batch {
        pins: vec![(
            BuildKey {
                system: name("web01"),
                epoch: u32::try_from(n).expect("an epoch"),
            },
            Arc::new(Pinned {
                cmdline: (0..200_000_i64)
                    .map(|i| format!("{:x}", i * i * n))
                    .collect(),
                ..pinned()
            }),
        )],
        records: vec![record(n, "web01", 1, Phase::Armed)],
        ..Batch::default()
    };
    let line = LogEntry {
        build: BuildKey {
            system: name("web01"),
            epoch: 1,
        },
        time: at(0),
        source: "syslog".into(),
        text: "x".into(),
    };
    pages(&mut writer, 1).await;
    for n in 1..3 {
        writer.commit(&big(n)).await.expect_err("full");
    }
    let many: Vec<LogEntry> = (0..50_000).map(|_| line.clone()).collect();
    writer.log(&many, 100_000).await.expect_err("full");
    pages(&mut writer, 1 << 30).await;
    writer.commit(&big(1)).await.expect("there is room");
    writer.log(&[line], 100).await.expect("there is room");
}
