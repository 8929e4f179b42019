//! Fetching a distro's artefacts, told in lines.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::answer::No;
use super::query::Pairs;
use crate::control::{Control, Renew};
use crate::model::command::FetchLine;
use crate::model::{Name, Refusal};

/// Signs of life that may wait for a slow reader; more are dropped, because each replaces the last.
const WAITING: usize = 64;

/// With `renew=true`, newer versions too. Answers one line for each sign of life, and last the
/// distro or a refusal. The fetch goes on if the reader goes away: what was fetched is kept.
pub(super) async fn fetch(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    mut pairs: Pairs,
) -> Response {
    let asked = pairs.one("renew").and_then(|renew| {
        pairs.end()?;
        Ok(renew.unwrap_or(false))
    });
    let renew = match asked {
        Ok(true) => Renew::All,
        Ok(false) => Renew::Missing,
        Err(refusal) => return No(refusal).into_response(),
    };
    let name: Name = match name.parse() {
        Ok(name) => name,
        Err(_) => return No(Refusal::not_found("distro", &name, &[])).into_response(),
    };
    let (lines, mut told) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let progress = lines.clone();
        let tell = Arc::new(move |p| {
            let _dropped_if_slow = progress.try_send(FetchLine::Progress(p));
        });
        let last = match control.fetch(&name, renew, tell).await {
            Ok(view) => FetchLine::Done(view),
            Err(refusal) => FetchLine::Failed(refusal),
        };
        let _reader_gone = lines.send(last).await;
    });
    let stream = futures_lite::stream::poll_fn(move |cx| {
        told.poll_recv(cx).map(|line| {
            let mut text = serde_json::to_vec(&line?).unwrap_or_default();
            text.push(b'\n');
            Some(Ok::<_, Infallible>(Bytes::from(text)))
        })
    });
    (
        [(CONTENT_TYPE, "application/jsonl")],
        Body::from_stream(stream),
    )
        .into_response()
}
