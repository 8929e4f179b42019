//! `farrier cancel`: call off flags and builds.

use clap::Args;

use super::agree::AgreeArguments;
use super::printer::Column;
use super::selection::SelectArguments;
use super::{Exit, Session};
use crate::model::command::{CancelOutcome, CancelReport, CancelRequest};
use crate::model::{Phase, Refusal, Selection};

/// Call off flags and builds.
///
/// A flag that no machine has used yet is simply gone. A build that is writing its disk is asked about:
/// the machine boots its own disk from then on, whatever is on it.
#[derive(Debug, Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    select: SelectArguments,
    #[command(flatten)]
    agree: AgreeArguments,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

const COLUMNS: &[Column<CancelOutcome>] = &[
    Column::new("NAME", |m| m.name.to_string()),
    Column::new("WAS", |m| m.phase.to_string()),
    Column::new("BUILD", |m| match (m.build, m.once) {
        (None, None) => "none".to_string(),
        (build, _) => build.map(|b| b.to_string()).unwrap_or_default(),
    }),
    Column::new("ONCE", |m| {
        m.once.map(|b| b.to_string()).unwrap_or_default()
    }),
    Column::new("ITS DISK", |m| {
        let disk = m.disk.as_deref();
        disk.map(|d| format!("{d}, {}", left_as(m.phase)))
            .unwrap_or_default()
    }),
    Column::new("REFUSED", |m| {
        m.refusal
            .as_ref()
            .map(|r| r.message.clone())
            .unwrap_or_default()
    }),
];

impl Cancel {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let mut request = CancelRequest {
            selection: self.select.some("cancel")?,
            expect: self.agree.expect,
            dry_run: true,
            agreed: None,
        };
        let plan: CancelReport = session.client.post("/v1/cancel", &request).await?;
        if plan.machines.is_empty() {
            return Err(super::selection::nothing("cancel"));
        }
        if self.dry_run {
            print(session, &plan);
            return plan.refusal().map_or(Ok(Exit::Done), Err);
        }
        let names: Vec<String> = plan.machines.iter().map(|m| m.name.to_string()).collect();
        let risky = plan.machines.iter().any(|m| m.disk.is_some());
        if plan.machines.len() > 1 || risky {
            session.printer.talk(
                session
                    .printer
                    .table(&plan.machines, COLUMNS, false)
                    .trim_end(),
            );
            self.agree.ask(session, "cancel", &names)?;
        }
        request.dry_run = false;
        request.selection = Selection::named(&names);
        request.expect = Some(names.len());
        request.agreed = Some(plan.fingerprint());
        let report: CancelReport = session.client.post("/v1/cancel", &request).await?;
        print(session, &report);
        report.refusal().map_or(Ok(Exit::Done), Err)
    }
}

/// What is on the disk of a build that is called off in this phase.
fn left_as(phase: Phase) -> &'static str {
    match phase {
        Phase::Installed | Phase::Configuring => "installed but not configured",
        // it may have ended before or after the installer did
        Phase::Failed | Phase::Stalled | Phase::Held => "perhaps half written",
        _ => "half written",
    }
}

fn print(session: &Session, report: &CancelReport) {
    session.printer.list(
        &report.machines,
        COLUMNS,
        |m| m.name.to_string(),
        "no system is selected",
    );
}
