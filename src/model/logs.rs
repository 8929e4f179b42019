//! What a machine logs while a build is under way.

use serde::{Deserialize, Serialize};

use super::{BuildKey, Name, Timestamp};

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

/// What a bundle of logs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BundleKind {
    /// Something gzip packed: a tar.
    TarGz,
    /// Anything else.
    Text,
}

impl BundleKind {
    /// Every kind.
    pub const ALL: [BundleKind; 2] = [BundleKind::TarGz, BundleKind::Text];

    /// What these bytes are (RFC 1952 section 2.3.1).
    pub fn of(bytes: &[u8]) -> BundleKind {
        match bytes.starts_with(&[0x1f, 0x8b]) {
            true => BundleKind::TarGz,
            false => BundleKind::Text,
        }
    }

    /// How its file's name ends.
    pub fn suffix(self) -> &'static str {
        match self {
            BundleKind::TarGz => "tar.gz",
            BundleKind::Text => "txt",
        }
    }
}

/// A bundle of logs that an installer sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Whose.
    pub system: Name,
    /// Of which build.
    pub build: u32,
    /// What it is.
    pub kind: BundleKind,
    /// Bytes.
    pub size: u64,
    /// When it came in.
    pub kept: Timestamp,
}

impl Bundle {
    /// What its file is called where it is fetched to.
    pub fn file_name(&self) -> String {
        format!("{}-{}.{}", self.system, self.build, self.kind.suffix())
    }
}
