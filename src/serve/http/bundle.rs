//! `/r/TOKEN/bundle`: the logs of an installer that is about to fail, as one file.

use axum::body::Body;
use axum::http::StatusCode;

use super::machine::{Answer, Asked, MachinePlane};
use super::reply;
use super::report::{large, read_most, tell};
use crate::control::Authorised;
use crate::model::{BundleKind, EventKind};

/// Most bytes of a bundle.
const MOST: usize = 8 * 1024 * 1024;

/// Keeps the bundle with its build, in the place of an earlier one. 200 means that it is durable.
pub(super) async fn bundle(
    plane: &MachinePlane,
    asked: &Asked,
    granted: &Authorised,
    body: Body,
) -> Answer {
    let place = match large(asked, &granted.build.key).await {
        Ok(place) => place,
        Err(response) => return response.into(),
    };
    let bytes = match read_most(asked, body, MOST).await {
        Ok(bytes) if bytes.is_empty() => {
            return reply::text(StatusCode::BAD_REQUEST, "an empty bundle\n").into();
        }
        Ok(bytes) => bytes,
        Err(response) => return response.into(),
    };
    let (format, size) = (BundleKind::of(&bytes), bytes.len() as u64);
    let kept = plane.waist.keep_bundle(&granted.build.key, bytes).await;
    drop(place);
    if let Err(error) = kept {
        return Answer::remark(reply::not_told(&error), error.to_string());
    }
    let event = EventKind::BundleKept { format, size };
    let remark = event.detail();
    match tell(plane, granted, event).await {
        Ok(()) => Answer::remark(reply::ok(), remark),
        Err(answer) => answer,
    }
}
