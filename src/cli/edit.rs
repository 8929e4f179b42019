//! What `add`, `set` and `rm` share: through the server if one runs, else on the files.

use super::printer::Column;
use super::session::Session;
use super::{Exit, offline};
use crate::model::command::{EditOutcome, EditReport};
use crate::model::{EditRequest, Refusal};

/// Makes the edit. With a server the change is live when this returns.
pub(super) async fn make(session: &Session, request: &EditRequest) -> Result<EditReport, Refusal> {
    if session.has_server().await {
        session.client.post("/v1/edit", request).await
    } else {
        offline::edit(&session.place, request).await
    }
}

/// The columns, with the second as given.
const fn columns(outcome: Column<EditOutcome>) -> [Column<EditOutcome>; 7] {
    [
        Column::new("NAME", |s| s.name.to_string()),
        outcome,
        Column::new("PROFILE", |s| s.profile.to_string()),
        Column::new("MAC", |s| {
            let macs: Vec<String> = s.macs.iter().map(ToString::to_string).collect();
            macs.join(",")
        }),
        Column::new("FILE", |s| s.file.clone()),
        Column::wide("PHASE", |s| {
            s.phase.map(|p| p.to_string()).unwrap_or_default()
        }),
        Column::wide("PROBLEM", |s| s.broken.clone().unwrap_or_default()),
    ]
}

const DONE: &[Column<EditOutcome>] = &columns(Column::new("OUTCOME", |s| s.outcome.clone()));
/// Nothing has happened yet, and perhaps never will.
const PLANNED: &[Column<EditOutcome>] =
    &columns(Column::new("OUTCOME", |s| match s.outcome.as_str() {
        "unchanged" => "would stay as it is".to_string(),
        word => format!("would be {word}"),
    }));

/// Prints what an edit did, and where it is live.
pub(super) fn print(session: &Session, report: &EditReport) -> Exit {
    session.printer.list(
        &report.systems,
        if report.dry_run { PLANNED } else { DONE },
        |s| s.name.to_string(),
        "nothing was changed",
    );
    for warning in &report.warnings {
        session.printer.talk(&format!("warning: {warning}"));
    }
    for system in &report.systems {
        if let Some(problem) = &system.broken {
            session.printer.talk(&format!(
                "warning: `{}` boots its own disk until this is mended: {problem}",
                system.name
            ));
        }
    }
    if !report.dry_run && report.systems.iter().all(|s| s.phase.is_none()) {
        session.printer.talk(&format!(
            "no server runs on `{}`, so only the files were changed",
            session.place.site.display()
        ));
    }
    Exit::Done
}

/// The systems of a plan: they are what was shown and agreed to, and not what the same words select a
/// moment later.
pub(super) fn names(plan: &EditReport) -> Vec<String> {
    plan.systems.iter().map(|s| s.name.to_string()).collect()
}

/// A table of what would be removed or changed.
pub(super) fn table(session: &Session, report: &EditReport) -> String {
    session.printer.table(&report.systems, PLANNED, false)
}
