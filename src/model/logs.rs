//! What a machine logs while a build is under way.

use serde::{Deserialize, Serialize};

use super::{BuildKey, Timestamp};

/// A line as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Whose.
    pub build: BuildKey,
    /// When it was received.
    pub time: Timestamp,
    /// By which way: `syslog`, `report`, `first-boot`.
    pub source: String,
    /// One line, without control characters and tokens.
    pub text: String,
}

/// A line as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts up within its build.
    pub number: i64,
    /// When it was received.
    pub time: Timestamp,
    /// By which way it came: `syslog`, `report`, `first-boot`.
    pub source: String,
    /// The line.
    pub text: String,
}

/// Lines of one build's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// Whose.
    pub system: String,
    /// Of which build.
    pub build: u32,
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// Ask on with `after` set to this.
    pub cursor: i64,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Of this build; else of the latest.
    pub build: Option<u32>,
    /// Only lines after this number, the oldest first; else the latest.
    pub after: Option<i64>,
    /// Only lines that hold these words, in any case.
    pub grep: Option<String>,
    /// At most so many.
    pub limit: Option<i64>,
}
