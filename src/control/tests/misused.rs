//! A token that somebody else has.

use super::*;
use crate::model::command::WhyRequest;

#[tokio::test]
async fn a_token_that_is_used_from_elsewhere_is_an_alarm_and_fills_no_store() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let served = event(1, EventKind::ScriptServed);
    control.tell(served).await.expect("served");
    let before = phase(&control);
    for n in 0..2000 {
        let from = [10, 77, 1, (n % 250) as u8].into();
        control.note(event(1, EventKind::TokenMisused { from }));
    }
    // it is behind all of these
    let started = EventKind::InstallerStarted {
        detail: String::new(),
    };
    control.tell(event(1, started)).await.expect("started");
    assert_eq!(before, Phase::Booting);

    let alarm = "its token was used from 10.77.1.0, an address that it does not hold";
    let alarms = control.status().alarms;
    assert!(alarms.len() == 1 && alarms[0].contains(alarm), "{alarms:?}");
    let request = WhyRequest {
        subject: "web01".into(),
        arch: None,
        stage: None,
    };
    let why = control.why(&request).await.expect("a reason");
    let build = why.system.and_then(|s| s.build).expect("a build");
    assert!(build.alarm.is_some_and(|a| a.contains(alarm)));

    let records = control.store.events(0, None, None, 10_000).await;
    let records = records.expect("events");
    let misused = records.iter().filter(|r| r.event.word() == "token-misused");
    let count = misused.count();
    assert!((2..=80).contains(&count), "{count} records");
}

#[tokio::test]
async fn it_is_also_an_alarm_after_the_build() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let actor = "root".to_string();
    let off = event(1, EventKind::Cancelled { actor });
    control.tell(off).await.expect("cancelled");
    let mut records = control.subscribe();
    let from = [10, 77, 1, 9].into();
    control.note(event(1, EventKind::TokenMisused { from }));
    let record = records.recv().await.expect("a record");
    assert_eq!(record.event.word(), "token-misused");
    assert!(
        control
            .status()
            .alarms
            .iter()
            .any(|a| a.contains("10.77.1.9"))
    );
}
