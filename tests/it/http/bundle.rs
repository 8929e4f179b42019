//! Bundles of logs that a failing installer sends.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn a_bundle_is_kept_before_the_failure_and_bounded() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let report = door.waist.token(&key, Scope::Report);
    let path = format!("/r/{report}/bundle");
    assert_eq!(door.post(ip(1), &path, "").await.status, 400);
    assert_eq!(door.get(ip(1), &path).await.status, 405);
    assert_eq!(
        door.post(ip(2), &path, "x").await.status,
        404,
        "another machine"
    );
    let head = |length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
    };
    assert_eq!(
        door.ask(ip(1), &head(8 * 1024 * 1024 + 1)).await.status,
        413
    );
    door.waist.fail(true);
    assert_eq!(door.post(ip(1), &path, "logs").await.status, 503);
    door.waist.fail(false);
    let large = "x".repeat(8 * 1024 * 1024);
    assert_eq!(door.post(ip(1), &path, &large).await.text(), "ok\n");
    assert_eq!(door.waist.phase(1), Phase::Booting, "it moves nothing");
    assert_eq!(door.waist.told(), ["script-served", "bundle-kept"]);
    let kept = door.waist.seen();
    let kept = kept
        .iter()
        .filter(|(_, line)| line.contains("bundle of 8388608 bytes"));
    assert_eq!(kept.count(), 1);
    door.post(ip(1), &format!("/r/{report}/fail/extract"), "no space")
        .await;
    assert_eq!(door.post(ip(1), &path, "late").await.status, 200);
    door.waist.seconds.fetch_add(600, Ordering::SeqCst);
    assert_eq!(door.post(ip(1), &path, "too late").await.status, 404);
}
