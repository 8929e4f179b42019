//! The life of a build, in the words people see.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a machine's build stands (DESIGN section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Never flagged, or its flag expired or was cancelled.
    Idle,
    /// Flagged; the next network boot installs.
    Armed,
    /// The boot script was served; the installer is starting.
    Booting,
    /// The installer fetched its answers.
    Installing,
    /// The installer reported success; the machine boots its own disk.
    Installed,
    /// The first-boot unit redeemed its hand-off.
    Configuring,
    /// The agent succeeded.
    Ready,
    /// Something reported failure.
    Failed,
    /// A deadline passed without a report.
    Stalled,
    /// Attempts are spent, or a second write would have been needed: a person must decide.
    Held,
}

impl Phase {
    /// Every phase, for exhaustive tests and tables.
    pub const ALL: [Phase; 10] = [
        Phase::Idle,
        Phase::Armed,
        Phase::Booting,
        Phase::Installing,
        Phase::Installed,
        Phase::Configuring,
        Phase::Ready,
        Phase::Failed,
        Phase::Stalled,
        Phase::Held,
    ];

    /// The lower-case word used in files, JSON and output.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Armed => "armed",
            Phase::Booting => "booting",
            Phase::Installing => "installing",
            Phase::Installed => "installed",
            Phase::Configuring => "configuring",
            Phase::Ready => "ready",
            Phase::Failed => "failed",
            Phase::Stalled => "stalled",
            Phase::Held => "held",
        }
    }

    /// Whether the build is under way and therefore has a deadline.
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Phase::Armed
                | Phase::Booting
                | Phase::Installing
                | Phase::Installed
                | Phase::Configuring
        )
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl std::str::FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Phase::ALL
            .into_iter()
            .find(|p| p.word() == text)
            .ok_or_else(|| {
                let all: Vec<&str> = Phase::ALL.iter().map(|p| p.word()).collect();
                format!("`{text}` is not a phase; there are {}", all.join(", "))
            })
    }
}

/// The short word for a step within a phase: what the installer last said it was doing
/// (`partition`, `extract`, ...), or where it failed. At most 32 letters, digits and hyphens.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stage(String);

impl Stage {
    /// Cleans what a machine sent: other characters become hyphens, the length is cut.
    pub fn clean(text: &str) -> Stage {
        let word: String = text
            .chars()
            .take(32)
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        Stage(if word.is_empty() {
            "unknown".to_string()
        } else {
            word
        })
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
