//! `/r/TOKEN/status`: what curtin, subiquity and cloud-init report by their `webhook` handlers.

use axum::body::Body;
use axum::http::StatusCode;

use super::machine::{Answer, Asked, MachinePlane};
use super::reply;
use super::report::{kept, large, read_most, tell};
use crate::control::Authorised;
use crate::lifecycle::log::without_tokens;
use crate::lifecycle::status;
use crate::model::event::printable;

/// Most bytes of a message: curtin's last one brings its whole log along, encoded.
const MOST_WITH_FILES: usize = 4 * 1024 * 1024;

/// Takes one message down: always as a line of the log, and as an event if it tells of another stage,
/// of trouble or of the end. 200 means that it is durable.
pub(super) async fn status(
    plane: &MachinePlane,
    asked: &Asked,
    granted: &Authorised,
    body: Body,
) -> Answer {
    let place = match large(asked, &granted.build.key).await {
        Ok(place) => place,
        Err(response) => return response.into(),
    };
    let bytes = match read_most(asked, body, MOST_WITH_FILES).await {
        Ok(bytes) => bytes,
        Err(response) => return response.into(),
    };
    let mut said = match status::parse(&bytes) {
        Ok(said) => said,
        Err(sentence) => {
            let sentence = printable(&sentence, 300);
            let response = reply::text(StatusCode::BAD_REQUEST, format!("{sentence}\n"));
            return Answer::remark(response, sentence);
        }
    };
    drop(bytes);
    // What subiquity runs it describes by the command itself, which may fetch by an address of the
    // build's.
    said.name = without_tokens(&said.name);
    said.description = without_tokens(&said.description);
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
