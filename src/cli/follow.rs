//! Events as they happen: one long-held request after another, which survives a server's restart.

use std::time::Duration;

use super::client::{Pairs, pairs};
use super::session::Session;
use crate::model::command::EventPage;
use crate::model::view::EventView;
use crate::model::{Code, Refusal, Selection};

/// How long one request may be held by the server.
const HOLD: Duration = Duration::from_secs(25);
/// How long to wait before asking a server again that went away.
const AWAY: Duration = Duration::from_secs(1);

/// Asks on from one event to the next.
pub(super) struct Follower<'a> {
    session: &'a Session,
    pairs: Pairs,
    cursor: i64,
    away: bool,
}

impl<'a> Follower<'a> {
    /// From now on.
    pub(super) async fn from_now(
        session: &'a Session,
        selection: &Selection,
    ) -> Result<Follower<'a>, Refusal> {
        // Of all systems: the latest number of the whole site is where "now" is.
        let last: EventPage = session
            .client
            .get("/v1/events", &vec![("limit", "1".to_string())])
            .await?;
        Ok(Follower::after(session, selection, last.cursor))
    }

    /// From the event after this one on.
    pub(super) fn after(session: &'a Session, selection: &Selection, cursor: i64) -> Follower<'a> {
        Follower {
            session,
            pairs: pairs(selection),
            cursor,
            away: false,
        }
    }

    /// The next events, or none if nothing happened for a while. A server that went away is waited for.
    pub(super) async fn next(&mut self, most: Option<Duration>) -> Result<Vec<EventView>, Refusal> {
        let hold = most.map_or(HOLD, |m| m.min(HOLD));
        let mut pairs = self.pairs.clone();
        pairs.push(("after", self.cursor.to_string()));
        pairs.push(("wait", hold.as_secs().to_string()));
        match self
            .session
            .client
            .get::<EventPage>("/v1/events", &pairs)
            .await
        {
            Ok(page) => {
                if self.away {
                    self.session.printer.talk("the server is back");
                    self.away = false;
                }
                self.cursor = page.cursor.max(self.cursor);
                Ok(page.events)
            }
            Err(refusal) if refusal.code == Code::Unreachable => {
                if !self.away {
                    self.session
                        .printer
                        .talk(&format!("warning: {}; waiting for it", refusal.message));
                    self.away = true;
                }
                tokio::time::sleep(most.map_or(AWAY, |m| m.min(AWAY))).await;
                Ok(Vec::new())
            }
            Err(refusal) => Err(refusal),
        }
    }
}
