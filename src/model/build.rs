//! A build: one numbered attempt to (re)make a system.

use serde::{Deserialize, Serialize};

use super::{Digest, Name, Phase, Stage, Timestamp};

/// Which build of which system: stale call-backs cannot finish a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BuildKey {
    /// The system.
    pub system: Name,
    /// Counts up with every flag, from 1.
    pub epoch: u32,
}

/// What a flag is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Install the system's profile.
    Install,
    /// Boot another profile once without installing (rescue, memtest).
    Once,
}

/// One build and where it stands. The store keeps it; `lifecycle::step` is all that changes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Which one.
    pub key: BuildKey,
    /// Install, or boot something once.
    pub purpose: Purpose,
    /// The profile it uses.
    pub profile: Name,
    /// The site revision it pins.
    pub revision: Digest,
    /// Where it stands.
    pub phase: Phase,
    /// The last step heard of, or where it failed or stalled.
    pub stage: Option<Stage>,
    /// Why it failed, stalled or is held, in a sentence.
    pub reason: Option<String>,
    /// When it was flagged.
    pub flagged: Timestamp,
    /// When the first boot script was served.
    pub started: Option<Timestamp>,
    /// When the present phase began.
    pub since: Timestamp,
    /// When the present phase must have ended.
    pub deadline: Option<Timestamp>,
    /// When it ended (Ready, Failed, Stalled, Held, Idle).
    pub ended: Option<Timestamp>,
    /// Boots of the installer so far.
    pub attempts: u32,
    /// Boots allowed.
    pub attempts_allowed: u32,
    /// A firmware began a new boot since the boot script was last served: serving it again is a
    /// new attempt, not the same one asked twice.
    pub fresh_boot: bool,
    /// When the boot script was last served.
    pub served_at: Option<Timestamp>,
    /// How often the boot script was served: the last brake on a loop.
    pub served: u32,
    /// The disk that the machine was permitted to write; set means bytes may have been written.
    pub disk: Option<String>,
    /// Install again after a power cut although writing had begun.
    pub retry_after_write: bool,
    /// The digest of the first-boot unit's own random key: the hand-off is redeemed once, and asking
    /// again with the same key gets the same answer until the result is reported.
    pub handoff_key: Option<String>,
    /// Something happened that a person must look at, in a sentence: it stays until the next flag.
    #[serde(default)]
    pub alarm: Option<String>,
    /// Who flagged it.
    pub actor: String,
}
