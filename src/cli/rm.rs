//! `farrier rm`: remove systems from the files.

use clap::Args;

use super::agree::AgreeArguments;
use super::selection::SelectArguments;
use super::{Exit, Session, edit};
use crate::model::{EditRequest, Refusal, Selection};

/// Remove systems from the files.
///
/// The machine itself is left alone: it boots its own disk. Refuses a protected system and one whose
/// build is under way.
#[derive(Debug, Args)]
pub(super) struct Rm {
    #[command(flatten)]
    select: SelectArguments,
    #[command(flatten)]
    agree: AgreeArguments,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

impl Rm {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let selection = self.select.some("rm")?;
        let request = EditRequest::Remove {
            selection,
            expect: self.agree.expect,
            dry_run: true,
        };
        let plan = edit::make(session, &request).await?;
        if self.dry_run {
            return Ok(edit::print(session, &plan));
        }
        session.printer.talk(edit::table(session, &plan).trim_end());
        let names = edit::names(&plan);
        self.agree.ask(session, "rm", &names)?;
        let request = EditRequest::Remove {
            selection: Selection::named(&names),
            expect: Some(names.len()),
            dry_run: false,
        };
        let report = edit::make(session, &request).await?;
        Ok(edit::print(session, &report))
    }
}
