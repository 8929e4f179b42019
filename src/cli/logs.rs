//! `farrier logs`: what a machine logged while it was built.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::client::{Pairs, segment};
use super::printer::{Column, compact};
use super::{Exit, Session, time};
use crate::model::logs::LogPage;
use crate::model::{Bundle, Code, LogLine, Refusal};

/// Show what a machine logged while it was built
///
/// Lines of its installer's syslog, and the ends of the logs that its reports carried. Of the latest
/// build, unless told otherwise. With --bundle, the file of logs that its installer sent when it failed.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The system: its name or a MAC
    #[arg(value_name = "NAME")]
    name: String,
    /// Of this build
    #[arg(long, value_name = "N")]
    build: Option<u32>,
    /// Only lines that hold this text, in any case
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// At most so many lines, the latest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Go on until interrupted; JSON is one line for each line
    #[arg(short, long)]
    follow: bool,
    /// Fetch the installer's logs into FILE (NAME-BUILD.tar.gz if none is given, `-` for stdout)
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with_all = ["follow", "grep"]
    )]
    bundle: Option<String>,
    /// List the bundles of all builds
    #[arg(long, conflicts_with_all = ["follow", "grep", "bundle"])]
    bundles: bool,
}

/// How often a followed log is asked for.
const AGAIN: Duration = Duration::from_secs(1);

const COLUMNS: &[Column<LogLine>] = &[
    Column::new("TIME", |l| time::stamp(l.time)),
    Column::new("FROM", |l| l.source.clone()),
    Column::new("LINE", |l| l.text.clone()),
];

const BUNDLES: &[Column<Bundle>] = &[
    Column::new("BUILD", |b| b.build.to_string()),
    Column::new("RECEIVED", |b| time::stamp(b.kept)),
    Column::new("SIZE", |b| time::bytes(b.size)),
    Column::new("FILE", Bundle::file_name),
];

impl Logs {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        if self.bundles {
            let path = format!("/v1/systems/{}/bundles", segment(&self.name));
            let all: Vec<Bundle> = session.client.get(&path, &Pairs::new()).await?;
            let none = "no installer sent a bundle of logs";
            session.printer.list(&all, BUNDLES, Bundle::file_name, none);
            return Ok(Exit::Done);
        }
        if let Some(file) = &self.bundle {
            return self.fetch(session, file).await;
        }
        let page = self.page(session, None).await?;
        if !self.follow {
            session.printer.list(
                &page.lines,
                COLUMNS,
                |l| l.text.clone(),
                "nothing was logged",
            );
            return Ok(Exit::Done);
        }
        let mut at = (page.build, page.cursor);
        print(session, &page);
        while !session.printer.is_unread() {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
                () = tokio::time::sleep(AGAIN) => {}
            }
            let page = match self.page(session, Some(at.1)).await {
                Ok(page) => page,
                Err(refusal) if refusal.code == Code::Unreachable => continue,
                Err(refusal) => return Err(refusal),
            };
            // A new build has begun: its log from the beginning.
            let page = if page.build == at.0 {
                page
            } else {
                self.page(session, Some(0)).await?
            };
            at = (page.build, page.cursor);
            print(session, &page);
        }
        Ok(Exit::Done)
    }

    /// Fetches a bundle. A file that is there already is not written over.
    async fn fetch(&self, session: &Session, file: &str) -> Result<Exit, Refusal> {
        let path = format!("/v1/systems/{}/bundle", segment(&self.name));
        let build = self.build.iter().map(|b| ("build", b.to_string()));
        let (name, bytes) = session.client.bytes(&path, &build.collect()).await?;
        if file == "-" {
            session.printer.bytes(&bytes);
            return Ok(Exit::Done);
        }
        let to = Path::new(if file.is_empty() { name.as_str() } else { file });
        let failed = |e: std::io::Error| {
            Refusal::failed(format!("`{}` cannot be written: {e}", to.display()))
                .help(format!("farrier logs {} --bundle=FILE", self.name))
        };
        let mut made = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)
            .map_err(failed)?;
        made.write_all(&bytes).map_err(failed)?;
        let (shown, size) = (to.display().to_string(), bytes.len());
        session.printer.object(
            &serde_json::json!({ "file": shown, "size": size }),
            &shown,
            || format!("{shown}\n"),
        );
        Ok(Exit::Done)
    }

    async fn page(&self, session: &Session, after: Option<i64>) -> Result<LogPage, Refusal> {
        let mut pairs: Pairs = vec![("limit", self.limit.to_string())];
        let more = [
            ("build", self.build.map(|b| b.to_string())),
            ("after", after.map(|a| a.to_string())),
            ("grep", self.grep.clone()),
        ];
        pairs.extend(
            more.into_iter()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        let path = format!("/v1/systems/{}/logs", segment(&self.name));
        session.client.get(&path, &pairs).await
    }
}

fn print(session: &Session, page: &LogPage) {
    for line in &page.lines {
        if session.printer.is_json() {
            session.printer.line(&compact(line));
        } else {
            let text = format!(
                "{}  {:<10} {}",
                time::clock(line.time),
                line.source,
                line.text
            );
            session.printer.line(text.trim_end());
        }
    }
}
