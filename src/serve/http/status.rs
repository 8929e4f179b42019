//! `/r/TOKEN/status`: what curtin, subiquity and cloud-init report by their `webhook` handlers.

use axum::body::Body;
use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::machine::{Answer, Asked, MachinePlane};
use super::reply;
use super::report::{MOST, PATIENCE, kept, read_most, tell};
use crate::control::Authorised;
use crate::lifecycle::status;
use crate::model::event::printable;

/// Most bytes of a message: curtin's last one brings its whole log along, encoded.
const MOST_WITH_FILES: usize = 4 * 1024 * 1024;
/// Large messages that are in memory at once.
static LARGE: Semaphore = Semaphore::const_new(8);

/// Takes one message down: always as a line of the log, and as an event if it tells of another stage,
/// of trouble or of the end. 200 means that it is durable.
pub(super) async fn status(
    plane: &MachinePlane,
    asked: &Asked,
    granted: &Authorised,
    body: Body,
) -> Answer {
    let small = asked.announces().is_some_and(|n| n <= MOST as u64);
    let place = match small {
        true => None,
        false => match tokio::time::timeout(PATIENCE, LARGE.acquire()).await {
            Ok(Ok(place)) => Some(place),
            _ => return reply::text(StatusCode::SERVICE_UNAVAILABLE, "too busy\n").into(),
        },
    };
    let bytes = match read_most(asked, body, MOST_WITH_FILES).await {
        Ok(bytes) => bytes,
        Err(response) => return response.into(),
    };
    let said = match status::parse(&bytes) {
        Ok(said) => said,
        Err(sentence) => {
            let sentence = printable(&sentence, 300);
            let response = reply::text(StatusCode::BAD_REQUEST, format!("{sentence}\n"));
            return Answer::remark(response, sentence);
        }
    };
    drop(bytes);
    for file in &said.files {
        if let Err(answer) = kept(plane, granted, &file.name, &file.text).await {
            return answer;
        }
    }
    drop(place);
    let line = said.line();
    if let Err(answer) = kept(plane, granted, &said.origin, &line).await {
        return answer;
    }
    if let Some(event) = said.event(granted.build.stage.as_ref())
        && let Err(answer) = tell(plane, granted, event).await
    {
        return answer;
    }
    Answer::remark(reply::ok(), line)
}
