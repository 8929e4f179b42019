//! `farrier status`: what the server is doing and what needs a person.

use clap::Args;

use super::client::Pairs;
use super::{Exit, Session, time};
use crate::model::view::StatusView;
use crate::model::{Phase, Refusal, Timestamp};

/// Say what the server is doing and what needs a person.
#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let status: StatusView = session.client.get("/v1/status", &Pairs::new()).await?;
        session.printer.object(&status, &status.revision, || {
            text(&status, Timestamp::now())
        });
        Ok(Exit::Done)
    }
}

fn text(status: &StatusView, now: Timestamp) -> String {
    let mut out = format!(
        "farrier {}, process {}, up {}, revision {}\n",
        status.version,
        status.pid,
        time::human(time::between(status.started, now)),
        status.revision
    );
    for (i, door) in status.doors.iter().enumerate() {
        out.push_str(&format!(
            "  {:<8} {door}\n",
            if i == 0 { "doors" } else { "" }
        ));
    }
    let phases: Vec<String> = Phase::ALL
        .iter()
        .filter_map(|p| {
            let count = *status.phases.get(p.word())?;
            (count > 0).then(|| format!("{count} {p}"))
        })
        .collect();
    out.push_str(&format!("  {:<8} {}", "systems", status.systems));
    if !phases.is_empty() {
        out.push_str(&format!(": {}", phases.join(", ")));
    }
    if status.unrendered > 0 {
        out.push_str(&format!("; {} not rendered yet", status.unrendered));
    }
    out.push('\n');
    if let Some(stale) = &status.stale {
        out.push_str(&format!(
            "files refused since {}: revision {} stays in force\n",
            time::stamp(stale.since),
            status.revision
        ));
        for problem in &stale.problems {
            out.push_str(&format!("  {problem}\n"));
        }
        out.push_str("  farrier check\n");
    }
    if !status.attention.is_empty() {
        out.push_str("needs a person\n");
        for line in &status.attention {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out
}
