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
        let mut selection = Selection {
            selectors: selection::expand(names)?,
            tags: self.tags,
            phases: Vec::new(),
        };
        if selection.is_empty() {
            return Err(selection::nothing("set"));
        }
        let named = selection.names_one().then_some(1);
        let mut expect = self.agree.expect.or(named);
        let request =
            |selection: &Selection, expect: Option<usize>, dry_run: bool| EditRequest::Set {
                selection: selection.clone(),
                expect,
                changes: changes.clone(),
                dry_run,
            };
        if self.dry_run {
            let plan = edit::make(session, &request(&selection, expect, true)).await?;
            return Ok(edit::print(session, &plan));
        }
        // One system that is named is not asked about, so it is not worked out twice either.
        if named.is_none() || expect != named {
            let plan = edit::make(session, &request(&selection, expect, true)).await?;
            let names = edit::names(&plan);
            if names.len() > 1 {
                session.printer.talk(edit::table(session, &plan).trim_end());
                self.agree.ask(session, "set", &names)?;
            }
            selection = Selection::named(&names);
            expect = Some(names.len());
        }
        let report = edit::make(session, &request(&selection, expect, false)).await?;
        Ok(edit::print(session, &report))
    }
}
