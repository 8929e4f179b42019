//! What has changed since a flag was asked for: the site, the hardware, or the database itself.

use super::*;

/// The site with its one system changed.
async fn change(control: &Control, change: impl FnOnce(&mut System)) {
    let mut site = (*control.site()).clone();
    let mut system = (*site.systems[&web01()]).clone();
    change(&mut system);
    let system = Arc::new(system);
    site.by_mac = system
        .interfaces
        .iter()
        .map(|i| (i.mac, system.clone()))
        .collect();
    site.systems.insert(web01(), system);
    put(control, site).await;
}

#[tokio::test]
async fn a_flag_is_for_the_hardware_that_the_system_had() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag_with(&control, |p| p.macs = vec![mac()]).await;
    assert!(matches!(control.ask(&facts()).action, Action::Boot(_)));
    let other: MacAddr = "52:54:00:00:00:09".parse().expect("a mac");
    change(&control, |system| system.interfaces[0].mac = other).await;
    let asks = Facts {
        mac: other,
        ..facts()
    };
    let decision = control.ask(&asks);
    assert_eq!(decision.action, Action::LocalDisk);
    assert_eq!(decision.why, Why::OtherHardware { epoch: 1 });
    // nor once it is under way
    let served = event(1, EventKind::ScriptServed);
    control.tell(served).await.expect("served");
    assert_eq!(control.ask(&asks).why, Why::OtherHardware { epoch: 1 });
}

#[tokio::test]
async fn what_is_protected_by_now_is_not_installed() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    change(&control, |system| system.protected = true).await;
    let decision = control.ask(&facts());
    assert_eq!(decision.action, Action::LocalDisk);
    assert_eq!(decision.why, Why::Protected { epoch: 1 });
    // a flag that was asked for before is refused as well
    let told = bench.flag(&control).await;
    assert!(
        matches!(told, Err(TellError::Refused(StepError::NotWanted { .. }))),
        "{told:?}"
    );
    // what is under way goes on
    change(&control, |system| system.protected = false).await;
    let served = event(1, EventKind::ScriptServed);
    control.tell(served).await.expect("served");
    change(&control, |system| system.protected = true).await;
    assert!(matches!(control.ask(&facts()).action, Action::Boot(_)));
}

/// What was flagged when a backup was taken may be in production when it is put back.
#[tokio::test]
async fn an_old_copy_of_the_database_arms_nothing() {
    let bench = Bench::new();
    let state = bench.dir.path().join("state");
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let backup = bench.dir.path().join("backup.db");
    crate::store::tests::copy(&state.join("farrier.db"), &backup).await;
    // put back beside what the server has by now
    let put_back = || {
        let other = Bench::new();
        let there = other.dir.path().join("state");
        std::fs::create_dir(&there).expect("a directory");
        for entry in std::fs::read_dir(&state).expect("a directory").flatten() {
            let name = entry.file_name();
            let of_database = name.to_string_lossy().starts_with("farrier.db");
            if entry.path().is_file() && !of_database {
                std::fs::copy(entry.path(), there.join(name)).expect("copied");
            }
        }
        std::fs::copy(&backup, there.join("farrier.db")).expect("copied");
        other
    };
    let same = put_back().open().await;
    assert!(
        matches!(same.ask(&facts()).action, Action::Boot(_)),
        "nothing has happened since"
    );
    let fetched = EventKind::AnswerFetched {
        name: "preseed.cfg".into(),
    };
    for kind in [EventKind::ScriptServed, fetched, EventKind::InstallerEnded] {
        control.tell(event(1, kind)).await.expect("told");
    }
    let other = put_back();
    let old = other.open().await;
    assert_eq!(old.ask(&facts()).action, Action::LocalDisk);
    let machine = old.snapshot().machines[&web01()].clone();
    let build = machine.build.as_ref().expect("a build");
    assert_eq!(build.phase, Phase::Idle);
    let reason = build.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("old copy"), "{reason}");
    other.flag(&old).await.expect("flagged again");
    assert!(matches!(old.ask(&facts()).action, Action::Boot(_)));
}
