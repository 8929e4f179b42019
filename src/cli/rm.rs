//! `farrier rm`: remove systems from the files.

use clap::Args;

use super::agree::AgreeArguments;
use super::selection::SelectArguments;
use super::{Exit, Session, edit};
use crate::model::{EditRequest, Refusal};

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
        let request = |dry_run| EditRequest::Remove {
            selection: selection.clone(),
            expect: self.agree.expect,
            dry_run,
        };
        let plan = edit::make(session, &request(true)).await?;
        if self.dry_run {
            return Ok(edit::print(session, &plan));
        }
        session.printer.talk(edit::table(session, &plan).trim_end());
        let names: Vec<String> = plan.systems.iter().map(|s| s.name.to_string()).collect();
        self.agree.ask(session, "rm", &names)?;
        let report = edit::make(session, &request(false)).await?;
        Ok(edit::print(session, &report))
    }
}
