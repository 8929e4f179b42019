//! `farrier events`: what happened.

use clap::Args;

use super::client::pairs;
use super::follow::Follower;
use super::printer::{Column, compact};
use super::selection::SelectArguments;
use super::{Exit, Session, time};
use crate::model::command::EventPage;
use crate::model::view::EventView;
use crate::model::{Code, Refusal, Timestamp};

/// The most events that the server answers at once.
const MOST: usize = 10_000;

/// List what happened.
#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(flatten)]
    select: SelectArguments,
    /// Only from this time on: 2h (ago), 2026-11-20, 2026-11-20T12:00
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many, the latest (50; with --since 10000)
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Go on until interrupted; JSON is one line for each event
    #[arg(short, long)]
    follow: bool,
}

pub(super) const COLUMNS: &[Column<EventView>] = &[
    Column::new("TIME", |e| time::stamp(e.time)),
    Column::new("SYSTEM", |e| e.system.clone()),
    Column::new("BUILD", |e| {
        e.build.map(|b| b.to_string()).unwrap_or_default()
    }),
    Column::new("PHASE", |e| e.phase.to_string()),
    Column::new("EVENT", |e| e.kind.clone()),
    Column::new("DETAIL", sentence),
];

/// What happened, and how long the step took that was over with it.
pub(super) fn sentence(event: &EventView) -> String {
    match &event.ended {
        Some(ended) => format!(
            "{} ({} took {})",
            event.detail,
            ended.stage,
            time::fine(ended.milliseconds)
        ),
        None => event.detail.clone(),
    }
}

impl Events {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let selection = self.select.selection()?;
        let mut query = pairs(&selection);
        let limit = self.limit.unwrap_or(match self.since {
            Some(_) => MOST,
            None => 50,
        });
        query.push(("limit", limit.to_string()));
        if let Some(since) = &self.since {
            let since = time::parse_since(since, Timestamp::now())
                .map_err(|e| Refusal::new(Code::Usage, e))?;
            query.push(("since", since.to_string()));
        }
        let page: EventPage = session.client.get("/v1/events", &query).await?;
        if !self.follow {
            session.printer.list(
                &page.events,
                COLUMNS,
                |e| e.number.to_string(),
                "nothing has happened yet",
            );
            if self.since.is_some() && page.events.len() >= limit {
                session.printer.talk(&format!(
                    "only the latest {limit} are shown; there may be more since then"
                ));
            }
            return Ok(Exit::Done);
        }
        for event in &page.events {
            print(session, event);
        }
        if session.printer.is_unread() {
            return Ok(Exit::Done);
        }
        let mut follower = Follower::after(session, &selection, page.cursor);
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
                events = follower.next(None) => {
                    for event in events? {
                        print(session, &event);
                    }
                    if session.printer.is_unread() {
                        return Ok(Exit::Done);
                    }
                }
            }
        }
    }
}

/// One event as it happens: a line of JSON, or a line for people.
pub(super) fn print(session: &Session, event: &EventView) {
    if session.printer.is_json() {
        session.printer.line(&compact(event));
    } else if session.printer.is_name() {
        session.printer.line(&event.system);
    } else {
        let build = event.build.map(|b| format!("#{b}")).unwrap_or_default();
        // The word is padded before it is coloured, so that columns stay in line.
        let phase = session.printer.phase(event.phase);
        let pad = " ".repeat(11usize.saturating_sub(event.phase.word().len()));
        session.printer.line(
            format!(
                "{}  {:<12} {build:<4} {phase}{pad} {:<17} {}",
                time::clock(event.time),
                event.system,
                event.kind,
                sentence(event)
            )
            .trim_end(),
        );
    }
}
