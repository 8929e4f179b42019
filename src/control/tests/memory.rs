//! What an installer needs of a machine's memory is said where somebody waits for it.

use super::*;

#[tokio::test]
async fn what_an_installer_needs_is_said_until_it_is_through_and_when_it_is_silent() {
    let bench = Bench::new();
    let control = bench.open().await;
    let mut records = control.subscribe();
    let needs = "its installer needs 4GiB of memory";
    bench
        .flag_with(&control, |pinned| pinned.way.memory = Some(4 << 30))
        .await;
    let expected = async || control.show("web01").await.expect("shown").expected;
    let told = expected().await.expect("a network boot");
    assert!(told.ends_with(needs), "{told}");
    let served = event(1, EventKind::ScriptServed);
    control.tell(served).await.expect("served");
    let told = expected().await.expect("its answers");
    assert!(told.ends_with(needs), "{told}");

    bench.seconds.fetch_add(11 * 60, Ordering::Relaxed);
    while records.recv().await.expect("a record").phase != Phase::Stalled {}
    let told = expected().await.expect("what may be wrong");
    assert!(
        told.starts_with("nothing; its installer needs 4GiB"),
        "{told}"
    );

    bench.flag_with(&control, |_| ()).await;
    let told = expected().await.expect("a network boot");
    assert!(!told.contains("memory"), "{told}");
}

/// The documents that are held of a machine that became ready, before and after a restart.
async fn held_when_ready(kind: ProfileKind) -> Vec<String> {
    let bench = Bench::new();
    let control = bench.open().await;
    let names = |control: &Control| -> Vec<String> {
        let snapshot = control.snapshot();
        let pinned = snapshot.pinned.values();
        pinned.flat_map(|p| p.documents.keys().cloned()).collect()
    };
    bench
        .flag_with(&control, |pinned| {
            pinned.kind = kind;
            let bundle = Document {
                name: "bundle.sh".into(),
                secret: true,
                ..(*pinned.documents["preseed.cfg"]).clone()
            };
            let bundle = (bundle.name.clone(), Arc::new(bundle));
            pinned.documents.extend([bundle]);
        })
        .await;
    let report = crate::model::event::AgentReport::well("steps");
    for kind in [
        EventKind::ScriptServed,
        EventKind::InstallerEnded,
        EventKind::HandoffRedeemed { key: "k".into() },
        EventKind::AgentReported(report),
    ] {
        assert_eq!(names(&control), ["bundle.sh", "preseed.cfg"], "{kind:?}");
        control.tell(event(1, kind)).await.expect("told");
    }
    assert_eq!(phase(&control), Phase::Ready);
    let held = names(&control);
    let control = bench.open().await;
    assert_eq!(names(&control), held, "after a restart");
    bench.flag(&control).await.expect("flagged again");
    assert_eq!(names(&control), ["preseed.cfg"]);
    held
}

#[tokio::test]
async fn a_machine_that_is_ready_holds_no_installer_s_documents() {
    assert_eq!(held_when_ready(ProfileKind::Preseed).await, ["bundle.sh"]);
    let all = held_when_ready(ProfileKind::Smartos).await;
    assert_eq!(all, ["bundle.sh", "preseed.cfg"], "it boots from them");
}
