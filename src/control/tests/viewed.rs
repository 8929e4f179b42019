//! What operators are shown.

use super::*;
use crate::model::command::{CancelRequest, EventQuery};
use crate::model::{Code, Selection};

#[tokio::test]
async fn who_is_idle_is_declared() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let mut site = (*control.site()).clone();
    let mut system = (*site.systems[&web01()]).clone();
    system.name = "web02".parse().expect("a name");
    system.interfaces[0].mac = "52:54:00:00:00:02".parse().expect("a mac");
    let system = Arc::new(system);
    let mac = system.interfaces[0].mac;
    site.systems = [(system.name.clone(), system.clone())]
        .into_iter()
        .collect();
    site.by_mac = [(mac, system)].into_iter().collect();
    let (done, wait) = oneshot::channel();
    let renamed = Command::Site {
        site: Arc::new(site),
        revision: None,
        done,
    };
    control.commands.send(renamed).await.expect("a writer");
    wait.await.expect("an answer").expect("published");
    let phases = control.status().phases;
    assert_eq!(phases.get("idle"), Some(&1), "{phases:?}");
    assert_eq!(phases.len(), 1, "{phases:?}");
}

#[tokio::test]
async fn who_asks_for_no_events_is_told_where_now_is() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let none = EventQuery {
        limit: Some(0),
        ..EventQuery::default()
    };
    let page = control.events(&none).await.expect("a page");
    assert_eq!((page.events.len(), page.cursor), (0, 1));
}

#[tokio::test]
async fn what_was_shown_is_what_is_called_off() {
    let bench = Bench::new();
    let control = bench.open().await;
    bench.flag(&control).await.expect("flagged");
    let mut request = CancelRequest {
        selection: Selection::one("web01"),
        expect: None,
        dry_run: true,
        agreed: None,
    };
    let plan = control.cancel(&request, "root").await.expect("a plan");
    let served = event(1, EventKind::ScriptServed);
    control.tell(served).await.expect("served");
    request.dry_run = false;
    request.agreed = Some(plan.fingerprint());
    let refusal = control.cancel(&request, "root").await.expect_err("changed");
    assert_eq!(refusal.code, Code::Refused);
    assert_eq!(phase(&control), Phase::Booting);

    let again = CancelRequest {
        dry_run: true,
        agreed: None,
        ..request.clone()
    };
    let plan = control.cancel(&again, "root").await.expect("a plan");
    request.agreed = Some(plan.fingerprint());
    control.cancel(&request, "root").await.expect("called off");
    assert_eq!(phase(&control), Phase::Idle);
}
