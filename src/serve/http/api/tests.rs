//! The admin plane's manners: who may do what, and how it says no.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::credentials::Operator;
use super::router;
use crate::control::{Control, Options};
use crate::model::Timestamp;

/// A server of an empty site.
struct Plane {
    _dir: tempfile::TempDir,
    app: axum::Router,
}

impl Plane {
    async fn new() -> Plane {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("systems.toml"), "").expect("written");
        let control = Control::open(Options {
            site: dir.path().to_path_buf(),
            state: dir.path().join(".farrier"),
            clock: Arc::new(Timestamp::now),
        })
        .await
        .expect("the waist");
        control.load().await.expect("an empty site is sound");
        Plane {
            app: router(control),
            _dir: dir,
        }
    }

    async fn ask(
        &self,
        who: Option<u32>,
        method: &str,
        path: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, serde_json::Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body.into())
            .expect("a request");
        if let Some(uid) = who {
            request.extensions_mut().insert(Operator::new(uid, 4711));
        }
        let response = self.app.clone().oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn check(&self, who: Option<u32>, asked: (&str, &str, &str), want: (u16, &str)) {
        let (method, path, body) = asked;
        let (status, answer) = self.ask(who, method, path, body.to_string()).await;
        assert_eq!(status.as_u16(), want.0, "{method} {path} {body}: {answer}");
        if !want.1.is_empty() {
            assert_eq!(answer["code"], want.1, "{method} {path} {body}: {answer}");
            assert!(answer["message"].is_string() && answer["spans"].is_array());
        }
    }
}

const ROOT: Option<u32> = Some(0);
const OWNER: Option<u32> = Some(4711);
const OTHER: Option<u32> = Some(1000);

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_change_things() {
    let plane = Plane::new().await;
    let reload = ("POST", "/v1/reload", "");
    plane.check(ROOT, reload, (200, "")).await;
    plane.check(OWNER, reload, (200, "")).await;
    plane.check(OTHER, reload, (403, "forbidden")).await;
    plane.check(None, reload, (403, "forbidden")).await;
    for path in [
        "/v1/status",
        "/v1/systems",
        "/v1/events",
        "/v1/metrics",
        "/v1/revisions",
    ] {
        plane.check(OTHER, ("GET", path, ""), (200, "")).await;
        plane
            .check(None, ("GET", path, ""), (403, "forbidden"))
            .await;
    }
    for path in [
        "/v1/revisions/live",
        "/v1/systems/nosuch/render",
        "/v1/systems/nosuch/bundle",
        "/v1/puppet/report-url",
    ] {
        let asked = ("GET", path, "");
        plane.check(OTHER, asked, (403, "forbidden")).await;
    }
    plane
        .check(OWNER, ("GET", "/v1/revisions/live", ""), (200, ""))
        .await;
    for (method, path) in [
        ("POST", "/v1/flag"),
        ("POST", "/v1/cancel"),
        ("POST", "/v1/edit"),
        ("POST", "/v1/systems"),
        ("PATCH", "/v1/systems/web01"),
        ("DELETE", "/v1/systems/web01"),
        ("POST", "/v1/distros/x/fetch"),
    ] {
        plane
            .check(OTHER, (method, path, "{}"), (403, "forbidden"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_no_is_a_refusal() {
    let plane = Plane::new().await;
    let deep = format!("{{\"selection\":{}", "[".repeat(10_000));
    for (asked, want) in [
        (("GET", "/v1/nothing", ""), (404, "not-found")),
        (("GET", "/", ""), (404, "not-found")),
        (("PUT", "/v1/status", ""), (405, "usage")),
        (("GET", "/v1/systems?tags=web", ""), (400, "usage")),
        (("GET", "/v1/systems?phase=done", ""), (400, "usage")),
        (("GET", "/v1/events?after=x", ""), (400, "usage")),
        (("GET", "/v1/why/nosuch", ""), (404, "not-found")),
        (("GET", "/v1/systems/nosuch", ""), (404, "not-found")),
        (("GET", "/v1/revisions/ffff", ""), (404, "not-found")),
        (
            ("GET", "/v1/why/52:54:00:00:00:01?stage=moon", ""),
            (400, "usage"),
        ),
        (("POST", "/v1/flag", ""), (400, "usage")),
        (("POST", "/v1/flag", "[]"), (400, "usage")),
        (("POST", "/v1/flag", deep.as_str()), (400, "usage")),
        (
            (
                "POST",
                "/v1/rebuild",
                r#"{"selection":{"selectors":["a"]},"wipe":true}"#,
            ),
            (400, "usage"),
        ),
        (
            ("POST", "/v1/rebuild", r#"{"selection":{}}"#),
            (409, "refused"),
        ),
        (
            ("POST", "/v1/cancel", r#"{"selection":{}}"#),
            (409, "refused"),
        ),
        (
            (
                "POST",
                "/v1/rebuild",
                r#"{"selection":{"selectors":["nosuch"]}}"#,
            ),
            (404, "not-found"),
        ),
        (("DELETE", "/v1/systems/*", ""), (400, "usage")),
        (("POST", "/v1/distros/nosuch/fetch", ""), (200, "")),
    ] {
        plane.check(ROOT, asked, want).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_capped() {
    let plane = Plane::new().await;
    let large = " ".repeat(super::MAX_BODY + 1);
    plane
        .check(ROOT, ("POST", "/v1/flag", &large), (400, "usage"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_held_no_longer_than_asked() {
    let plane = Plane::new().await;
    let asked = plane.ask(ROOT, "GET", "/v1/events?after=0&wait=1", "");
    let answered = tokio::time::timeout(std::time::Duration::from_secs(10), asked).await;
    let (status, page) = answered.expect("in time");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(page["events"], serde_json::json!([]));
    assert_eq!(page["cursor"], 0);
}

#[tokio::test]
async fn a_running_servers_socket_is_not_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let first = super::listen(&path).expect("free");
    let mode = std::fs::metadata(&path).expect("there").permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o660
    );
    let refused = super::listen(&path).expect_err("a server is there");
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    drop(first);
    super::listen(&path).expect("it is stale");
}
