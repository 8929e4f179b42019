//! What could not be stored, and is said again.

use super::*;

#[tokio::test]
async fn what_was_not_stored_is_stored_when_it_is_said_again() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let served = event(1, EventKind::ScriptServed);
    control.tell(served).await.expect("served");
    let database = bench.dir.path().join("state/farrier.db");
    // an event that changes nothing, and is worth a record all the same
    let warned = || {
        let stage = crate::model::Stage::clean("packages");
        let detail = "one mirror of two".to_string();
        event(1, EventKind::Warned { stage, detail })
    };
    crate::store::tests::refuse(&database, true).await;
    for _ in 0..2 {
        let lost = control.tell(warned()).await;
        assert!(matches!(lost, Err(TellError::Store(_))), "{lost:?}");
    }
    crate::store::tests::refuse(&database, false).await;
    control.tell(warned()).await.expect("stored");
    control.tell(warned()).await.expect("known");
    let records = control.store.events(0, None, None, 100).await;
    let records = records.expect("events");
    let kept = records.iter().filter(|r| r.event.word() == "warned");
    assert_eq!(kept.count(), 1);
}
