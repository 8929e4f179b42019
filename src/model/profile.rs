//! A profile: how to make a system what it should be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AgentPlan, DiskRule, Name};

/// What sort of installer or live system a profile drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileKind {
    /// The Debian installer.
    Preseed,
    /// Fully Automatic Installation.
    Fai,
    /// A live system that changes nothing on disk and ends when switched off (rescue).
    Live,
    /// One kernel and nothing else (memtest).
    Kernel,
    /// A profile that others inherit from and that is never built itself.
    Base,
}

impl ProfileKind {
    /// Whether this kind writes a disk and therefore goes through a full build.
    pub fn installs(self) -> bool {
        matches!(self, ProfileKind::Preseed | ProfileKind::Fai)
    }
}

/// A profile with everything it inherits already merged in. Its files are in memory: rendering
/// never touches a disk, and a revision pins the very bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name: the folder under `profiles/`.
    pub name: Name,
    /// What it drives.
    pub kind: ProfileKind,
    /// Where kernel and initrd come from; none only for [`ProfileKind::Base`].
    pub distro: Option<Name>,
    /// Kernel command line, a template.
    pub cmdline: String,
    /// Documents the installer fetches, by the name in their URL.
    pub answers: BTreeMap<String, Answer>,
    /// Every file of the profile's folder and of those it inherits from, by path relative to the
    /// folder; the profile's own wins over an inherited one.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Paths of `files` that carry an executable bit.
    pub executable: std::collections::BTreeSet<String>,
    /// The rule for the disk if the system has none.
    pub disk: DiskRule,
    /// What may be on a disk that is overwritten: `blank`, `linux`, `any`, or names that blkid prints.
    pub may_destroy: Vec<String>,
    /// Values for templates.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// What happens on first boot.
    pub handoff: Handoff,
    /// How long each phase may last.
    pub deadlines: Deadlines,
    /// Boots of the installer allowed before the machine is held.
    pub attempts: u32,
    /// Install again after a power cut although the disk was already being written.
    pub retry_after_write: bool,
}

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One template, rendered.
    Template {
        /// Path in [`Profile::files`].
        file: String,
    },
    /// A folder packed as a gzipped tar: files ending `.j2` are rendered and lose the suffix.
    Folder {
        /// Folder prefix in [`Profile::files`].
        dir: String,
    },
}

/// What the first boot does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handoff {
    /// Nothing to hand over: `Ready` when the installed system reports its first boot.
    None,
    /// Numbered scripts, in order.
    Steps {
        /// Folder prefix in [`Profile::files`].
        dir: String,
        /// How long all of them may run.
        timeout: Duration,
    },
    /// An agent, with steps before and after it.
    Agent(AgentPlan),
}

/// How long each phase may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// From the first boot script to the first answer fetched.
    pub boot: Duration,
    /// From the first answer to the installer's end.
    pub install: Duration,
    /// From the installer's end to the hand-off being redeemed.
    pub first_boot: Duration,
    /// From the hand-off to the agent's result.
    pub configure: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let minutes = |m: u64| Duration::from_secs(60 * m);
        Deadlines {
            boot: minutes(10),
            install: minutes(60),
            first_boot: minutes(20),
            configure: minutes(30),
        }
    }
}
