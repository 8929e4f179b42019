//! `farrier revision`: what was in force, and when.

use clap::{Args, Subcommand};

use super::client::{Pairs, segment};
use super::printer::Column;
use super::{Exit, Session, time};
use crate::model::Refusal;
use crate::model::command::RevisionView;

/// `farrier revision VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum RevisionCommand {
    Ls(RevisionLs),
    Show(RevisionShow),
}

/// List revisions, newest first.
#[derive(Debug, Args)]
pub struct RevisionLs {}

/// Print one revision, with its files.
#[derive(Debug, Args)]
pub struct RevisionShow {
    /// Its digest, the beginning of it, or "live"
    #[arg(value_name = "REV", default_value = "live")]
    revision: String,
    /// Print this file as it was
    #[arg(value_name = "FILE")]
    file: Option<String>,
}

const COLUMNS: &[Column<RevisionView>] = &[
    Column::new("REVISION", |r| r.revision.chars().take(12).collect()),
    Column::new("TIME", |r| time::stamp(r.time)),
    Column::new("AUTHOR", |r| r.author.clone()),
];

impl RevisionCommand {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        match self {
            RevisionCommand::Ls(_) => {
                let revisions: Vec<RevisionView> =
                    session.client.get("/v1/revisions", &Pairs::new()).await?;
                session.printer.list(
                    &revisions,
                    COLUMNS,
                    |r| r.revision.clone(),
                    "no revision was ever in force",
                );
            }
            RevisionCommand::Show(verb) => {
                let path = format!("/v1/revisions/{}", segment(&verb.revision));
                let revision: RevisionView = session.client.get(&path, &Pairs::new()).await?;
                match verb.file {
                    Some(file) => print_file(session, &revision, &file)?,
                    None => session
                        .printer
                        .object(&revision, &revision.revision, || text(&revision)),
                }
            }
        }
        Ok(Exit::Done)
    }
}

fn print_file(session: &Session, revision: &RevisionView, path: &str) -> Result<(), Refusal> {
    let found = revision.files.iter().find(|f| f.document.name == path);
    let file = found.ok_or_else(|| {
        let short: String = revision.revision.chars().take(12).collect();
        let mut refusal = Refusal::not_found("file", path, &[]);
        refusal.help = Some(format!("farrier revision show {short}"));
        refusal
    })?;
    session.printer.bytes(&file.document.bytes());
    Ok(())
}

fn text(revision: &RevisionView) -> String {
    let mut out = format!(
        "{}  {}  {}\n",
        revision.revision,
        time::stamp(revision.time),
        revision.author
    );
    for file in &revision.files {
        out.push_str(&format!(
            "  {:>10}  {}{}\n",
            time::bytes(file.document.size as u64),
            file.document.name,
            if file.executable { " *" } else { "" }
        ));
    }
    out
}
