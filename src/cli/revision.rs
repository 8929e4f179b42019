//! `farrier revision`: what was in force, and when.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::client::{Pairs, segment};
use super::printer::Column;
use super::unified::patch;
use super::{Exit, Session, time};
use crate::model::command::RevisionView;
use crate::model::{Code, Refusal, Timestamp};

/// `farrier revision VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum RevisionCommand {
    Ls(RevisionLs),
    Show(RevisionShow),
    Diff(RevisionDiff),
}

/// List what was in force, the latest first.
///
/// One line each time: a revision that came back has several.
#[derive(Debug, Args)]
pub(super) struct RevisionLs {}

/// Print one revision, with its files.
#[derive(Debug, Args)]
pub(super) struct RevisionShow {
    /// Its digest or the beginning of it, a date, a build (web01#3), or "live"
    #[arg(value_name = "REV", default_value = "live")]
    revision: String,
    /// Print this file as it was
    #[arg(value_name = "FILE")]
    file: Option<String>,
}

/// Print what changed from one revision to another, as a patch; exit 2 if something did.
#[derive(Debug, Args)]
pub(super) struct RevisionDiff {
    /// The earlier one: digest, date, or build (web01#3)
    #[arg(value_name = "REV")]
    from: String,
    /// The later one
    #[arg(value_name = "REV", default_value = "live")]
    to: String,
}

/// One file that differs between two revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FileDiff {
    /// Relative to the site.
    path: String,
    /// A unified diff.
    diff: String,
}

const COLUMNS: &[Column<RevisionView>] = &[
    Column::new("REVISION", |r| r.revision.chars().take(12).collect()),
    Column::new("TIME", |r| time::stamp(r.time)),
    Column::new("AUTHOR", |r| r.author.clone()),
    Column::new("LIVE", |r| if r.live { "live" } else { "" }.to_string()),
    Column::new("SUMMARY", |r| r.summary.clone()),
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
                let revision = get(session, &verb.revision).await?;
                match verb.file {
                    Some(file) => print_file(session, &revision, &file)?,
                    None => session
                        .printer
                        .object(&revision, &revision.revision, || text(&revision)),
                }
            }
            RevisionCommand::Diff(verb) => return verb.run(session).await,
        }
        Ok(Exit::Done)
    }
}

/// One revision of the server.
async fn get(session: &Session, which: &str) -> Result<RevisionView, Refusal> {
    let which = time::revision(which, None, Timestamp::now())
        .map_err(|e| Refusal::new(Code::Usage, e).help("farrier revision ls"))?;
    let path = format!("/v1/revisions/{}", segment(&which));
    session.client.get(&path, &Pairs::new()).await
}

impl RevisionDiff {
    async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let (from, to) = (
            get(session, &self.from).await?,
            get(session, &self.to).await?,
        );
        let changes = file_diffs(&from, &to);
        session.printer.list_with(
            &changes,
            |c| c.path.clone(),
            |_| changes.iter().map(|c| c.diff.as_str()).collect(),
        );
        if changes.is_empty() {
            session.printer.talk("the two revisions hold the same");
            return Ok(Exit::Done);
        }
        Ok(Exit::Differs)
    }
}

fn file_diffs(from: &RevisionView, to: &RevisionView) -> Vec<FileDiff> {
    let short = |r: &RevisionView| r.revision.chars().take(12).collect::<String>();
    let (old, new) = (short(from), short(to));
    let mut paths: Vec<&str> = [from, to]
        .iter()
        .flat_map(|r| r.files.iter().map(|f| f.document.name.as_str()))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let text = |r: &RevisionView, path: &str| {
        let file = r.files.iter().find(|f| f.document.name == path);
        file.map(|f| super::render::readable(&f.document))
            .unwrap_or_default()
    };
    paths
        .into_iter()
        .filter_map(|path| {
            let (before, after) = (text(from, path), text(to, path));
            let (a, b) = (format!("{old}:{path}"), format!("{new}:{path}"));
            (before != after).then(|| FileDiff {
                path: path.to_string(),
                diff: patch(&before, &after, &a, &b),
            })
        })
        .collect()
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
        "{}  {}  {}{}\n",
        revision.revision,
        time::stamp(revision.time),
        revision.author,
        if revision.live { "  live" } else { "" }
    );
    if !revision.summary.is_empty() {
        out.push_str(&format!("  {}\n", revision.summary));
    }
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
