//! `farrier logs`: what a machine logged while it was built.

use std::time::Duration;

use clap::Args;

use super::client::{Pairs, segment};
use super::printer::{Column, compact};
use super::{Exit, Session, time};
use crate::model::logs::LogPage;
use crate::model::{Code, LogLine, Refusal};

/// Show what a machine logged while it was built
///
/// Lines of its installer's syslog, and the ends of the logs that its reports carried. Of the latest
/// build, unless told otherwise.
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
}

/// How often a followed log is asked for.
const AGAIN: Duration = Duration::from_secs(1);

const COLUMNS: &[Column<LogLine>] = &[
    Column::new("TIME", |l| time::stamp(l.time)),
    Column::new("FROM", |l| l.source.clone()),
    Column::new("LINE", |l| l.text.clone()),
];

impl Logs {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
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
        loop {
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
