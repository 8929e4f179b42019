//! `/puppet/TOKEN/report`: what a Puppet server reports of a run (`reports = http`).

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};

use super::machine::{Answer, Asked, MachinePlane};
use super::reply;
use crate::control::TellReport;

/// Most bytes of a report: one of ten thousand resources is a tenth of it more or less.
const MOST: usize = 16 * 1024 * 1024;
/// How long one may take to come in.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn report(plane: &MachinePlane, asked: &Asked, token: &str, body: Body) -> Answer {
    if !plane.waist.is_report_token(token) {
        return reply::not_found().into();
    }
    if asked.method != Method::POST {
        return reply::wrong_method("POST").into();
    }
    let body = tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, MOST)).await;
    let Ok(Ok(bytes)) = body else {
        let sentence = "the report is too long, too slow or was cut off\n";
        return reply::text(StatusCode::PAYLOAD_TOO_LARGE, sentence).into();
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return reply::text(StatusCode::BAD_REQUEST, "the report is no text\n").into();
    };
    match plane.waist.run_reported(text).await {
        Ok(remark) => Answer::remark(reply::ok(), remark),
        Err(TellReport::Unreadable(why)) => Answer::remark(
            reply::text(StatusCode::BAD_REQUEST, format!("{why}\n")),
            why,
        ),
        Err(TellReport::Store(error)) => Answer::remark(reply::not_told(&error), error.to_string()),
    }
}
