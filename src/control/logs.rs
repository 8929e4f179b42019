//! The logs of builds: what machines send, and reading it.

use tokio::sync::oneshot;

use super::writer::Command;
use super::{Control, TellError};
use crate::lifecycle::log::{clean, step_of};
use crate::model::logs::{LogPage, LogQuery};
use crate::model::{BuildKey, Code, Event, EventKind, LogEntry, MacAddr, Phase, Refusal, Stage};

/// Lines of one report that are kept, the last ones.
const TAIL: usize = 500;
/// Lines of one answer at most.
const PAGE: i64 = 10_000;

impl Control {
    /// A line that the machine with this interface logs. Kept if a build of it is under way; nobody
    /// waits for it, and what comes too fast is dropped and counted.
    pub fn hear(&self, mac: MacAddr, line: &str) {
        let snapshot = self.snapshot();
        let Some(system) = snapshot.site.by_mac.get(&mac) else {
            return;
        };
        let machine = snapshot.machines.get(&system.name);
        let Some(build) = machine.and_then(|m| m.current()) else {
            return;
        };
        if !build.phase.is_active() || build.phase == Phase::Armed {
            return;
        }
        self.heard.add(&build.key, "syslog", line, self.clock());
        let Some(step) = step_of(line).map(Stage::clean) else {
            return;
        };
        // What it says itself is better, and what was seen already is no news.
        if build.observed.as_ref().or(build.stage.as_ref()) != Some(&step) {
            self.note(Event {
                system: build.key.system.clone(),
                epoch: Some(build.key.epoch),
                kind: EventKind::Seen {
                    stage: step,
                    detail: clean(line),
                    by: "syslog".to_string(),
                },
            });
        }
    }

    /// The end of a log that a report of this build carries. When this returns, it is durable. What
    /// comes too fast is dropped, as of syslog.
    ///
    /// # Errors
    /// If it could not be made durable.
    pub async fn keep_log(
        &self,
        build: &BuildKey,
        source: &str,
        text: &str,
    ) -> Result<(), TellError> {
        let time = self.clock();
        let all: Vec<&str> = text.lines().collect();
        let mut lines: Vec<String> = all[all.len().saturating_sub(TAIL)..]
            .iter()
            .map(|line| clean(line))
            .filter(|line| !line.is_empty())
            .collect();
        let kept = self.heard.admit(build, lines.len(), time);
        if kept == 0 {
            return Ok(());
        }
        let dropped = lines.len() - kept;
        lines.drain(..dropped);
        if dropped > 0 {
            lines[0] = format!("({} lines came too fast and were dropped)", dropped + 1);
        }
        let lines: Vec<LogEntry> = lines
            .into_iter()
            .map(|text| LogEntry {
                build: build.clone(),
                time,
                source: source.to_string(),
                text,
            })
            .collect();
        let (done, wait) = oneshot::channel();
        self.commands
            .send(Command::Lines { lines, done })
            .await
            .map_err(|_| TellError::Stopped)?;
        wait.await.map_err(|_| TellError::Stopped)?
    }

    /// The log of one build.
    ///
    /// # Errors
    /// If there is no such system or build, or the store fails.
    pub async fn logs(&self, subject: &str, query: &LogQuery) -> Result<LogPage, Refusal> {
        let snapshot = self.snapshot();
        let system = self.one(&snapshot, subject)?;
        let name = &system.name;
        let machine = snapshot.machines.get(name);
        let latest = machine.map_or(0, |m| m.last_epoch());
        let epoch = query.build.unwrap_or(latest);
        if epoch == 0 || epoch > latest {
            let message = match query.build {
                Some(epoch) => format!("`{name}` has no build {epoch}"),
                None => format!("`{name}` was never flagged, so it has no log"),
            };
            return Err(Refusal::new(Code::NotFound, message).help(format!("farrier show {name}")));
        }
        let limit = query.limit.unwrap_or(1000).clamp(1, PAGE);
        let build = BuildKey {
            system: name.clone(),
            epoch,
        };
        let (lines, cursor) = self
            .store
            .log(&build, query.after, query.grep.as_deref(), limit)
            .await
            .map_err(|e| Refusal::failed(e.to_string()))?;
        Ok(LogPage {
            system: name.to_string(),
            build: epoch,
            lines,
            cursor,
        })
    }
}
