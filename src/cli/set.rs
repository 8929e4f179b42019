//! `farrier set`: change values of systems.

use clap::Args;

use super::agree::AgreeArguments;
use super::{Exit, Session, change, edit, selection};
use crate::model::{Code, EditRequest, Refusal, Selection};

/// Change values of systems: ip=10.77.0.12 vars.role=db tags+=web tags-=old disk=
///
/// key=value replaces, key+=value adds to a list, key-=value takes from a list, key= removes.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// Systems, then KEY=VALUE
    #[arg(value_name = "NAME|KEY=VALUE", required = true)]
    words: Vec<String>,
    /// Only systems with this tag; give it again for "and"
    #[arg(short = 'l', long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    agree: AgreeArguments,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
}

impl Set {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let (changes, names): (Vec<String>, Vec<String>) =
            self.words.into_iter().partition(|word| word.contains('='));
        if changes.is_empty() {
            return Err(Refusal::new(Code::Usage, "nothing is to be changed")
                .help("farrier set NAME key=value"));
        }
        let changes = change::parse_all(&changes)?;
        let selection = Selection {
            selectors: selection::expand(names)?,
            tags: self.tags,
            phases: Vec::new(),
        };
        if selection.is_empty() {
            return Err(selection::nothing("set"));
        }
        let request = |dry_run| EditRequest::Set {
            selection: selection.clone(),
            expect: self.agree.expect,
            changes: changes.clone(),
            dry_run,
        };
        if self.dry_run {
            let plan = edit::make(session, &request(true)).await?;
            return Ok(edit::print(session, &plan));
        }
        // One system that is named is not asked about, so it is not worked out twice either.
        if !selection.names_one() {
            let plan = edit::make(session, &request(true)).await?;
            if plan.systems.len() > 1 {
                session.printer.talk(edit::table(session, &plan).trim_end());
                let names: Vec<String> = plan.systems.iter().map(|s| s.name.to_string()).collect();
                self.agree.ask(session, "set", &names)?;
            }
        }
        let report = edit::make(session, &request(false)).await?;
        Ok(edit::print(session, &report))
    }
}
