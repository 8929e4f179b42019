//! `farrier apply`: put the files in force now, without waiting for the server to notice them.

use clap::Args;

use super::{Exit, Session, plan};
use crate::model::Refusal;
use crate::model::command::ReloadReport;

/// Put the site's files in force now.
///
/// The server does so by itself when a file is saved; this does not return before it has.
#[derive(Debug, Args)]
pub(super) struct Apply {
    /// Only say what would change; exit 2 if something would
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        if self.dry_run {
            let report = plan::compare(session, "live", false).await?;
            session
                .printer
                .object(&report, &report.files_revision, || plan::text(&report));
            plan::warn(session, &report);
            return Ok(if report.files.is_empty() {
                Exit::Done
            } else {
                Exit::Differs
            });
        }
        let report: ReloadReport = session
            .client
            .post("/v1/reload", &serde_json::Value::Null)
            .await?;
        session.printer.object(&report, &report.revision, || {
            let word = if report.changed {
                "is now in force"
            } else {
                "was in force already"
            };
            format!("revision {} {word}\n", report.revision)
        });
        for warning in &report.warnings {
            session.printer.talk(&format!("warning: {warning}"));
        }
        Ok(Exit::Done)
    }
}
