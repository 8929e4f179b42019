//! Events, at once or held until there are some.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Json};
use super::query::Pairs;
use crate::control::Control;
use crate::model::command::{EventPage, EventQuery};

/// The longest that a request is held.
const LONGEST: u64 = 60;
/// Events that happen together are answered together.
const GATHER: Duration = Duration::from_millis(50);

/// Answers what there is; with `wait`, not before there is something, or that many seconds are over.
pub(super) async fn events(
    State(control): State<Arc<Control>>,
    mut query: Pairs,
) -> Answer<EventPage> {
    let asked = EventQuery {
        after: query.one("after")?,
        since: query.one("since")?,
        limit: query.one("limit")?,
        selection: query.selection()?,
    };
    let wait: Option<u64> = query.one("wait")?;
    query.end()?;
    // Before the first look: what happens between look and wait is not missed.
    let mut records = control.subscribe();
    let until = Instant::now() + Duration::from_secs(wait.unwrap_or(0).min(LONGEST));
    let mut asked = asked;
    loop {
        let page = control.events(&asked).await?;
        if !page.events.is_empty() || Instant::now() >= until {
            return Ok(Json(page));
        }
        asked.after = asked.after.map(|after| after.max(page.cursor));
        // Lagging behind is news too: look again. A channel that is closed means the server stops.
        match timeout_at(until, records.recv()).await {
            Ok(Err(tokio::sync::broadcast::error::RecvError::Closed)) => return Ok(Json(page)),
            Ok(_) => {
                tokio::time::sleep(GATHER).await;
                while records.try_recv().is_ok() {}
            }
            Err(_over) => return Ok(Json(page)),
        }
    }
}
