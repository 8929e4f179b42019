//! What agents and their servers say: a Puppet server's reports, a machine's public key.

use super::*;

#[tokio::test]
async fn a_puppet_server_reports_by_either_speech_and_with_the_sites_token_only() {
    let door = open(Limits::default()).await;
    let path = format!("/puppet/{}/report", door.waist.report_token());
    assert_eq!(door.post(ip(1), &path, "a report").await.status, 200);
    assert_eq!(door.send_from(ip(1), &path, "a report").await.status, 200);
    assert_eq!(door.post(ip(1), &path, "no report").await.status, 400);
    assert_eq!(door.get(ip(1), &path).await.status, 405);
    let wrong = format!("/puppet/{}/report", "0".repeat(40));
    assert_eq!(door.post(ip(1), &wrong, "a report").await.status, 404);
    // larger than any other request: a run of many resources
    let large = "x".repeat(1024 * 1024);
    assert_eq!(door.post(ip(1), &path, &large).await.status, 200);
}

#[tokio::test]
async fn a_public_key_comes_over_tls_with_the_secret_token() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let report = door.waist.token(&key, Scope::Report);
    door.post(ip(1), &format!("/r/{report}/end"), "").await;
    let of = |scope| format!("/h/{}/enrol", door.waist.token(&key, scope));
    let path = of(Scope::Secret);
    assert_eq!(door.send_from(ip(1), &path, "a key").await.status, 200);
    assert_eq!(door.send_from(ip(1), &path, "later").await.status, 503);
    let never = door.send_from(ip(1), &path, "never").await;
    assert_eq!((never.status, never.text().trim()), (409, "never"));
    for (from, path) in [
        (ip(2), &path),
        (ip(1), &of(Scope::Report)),
        (ip(1), &of(Scope::Enrol)),
    ] {
        assert_eq!(door.send_from(from, path, "a key").await.status, 404);
    }
    assert_eq!(
        door.post(ip(1), &path, "a key").await.status,
        404,
        "in the clear"
    );
}
