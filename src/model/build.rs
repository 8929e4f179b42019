//! A build: one numbered attempt to (re)make a system.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Digest, Firmware, Name, Phase, Revocation, Stage, Timestamp};

/// Which build of which system: stale call-backs cannot finish a newer one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// When that step began, if it is under way.
    #[serde(default)]
    pub stage_since: Option<Timestamp>,
    /// How many steps there were so far: there is an end to what is recorded of them.
    #[serde(default)]
    pub stages: u32,
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
    /// Disks that this system was permitted to write, in this build or those before it, and of which
    /// no installer has said since that it is done: what each is known by (serial number, world-wide
    /// name, bytes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<String>,
    /// Install again after a power cut although writing had begun.
    pub retry_after_write: bool,
    /// The digest of the first-boot unit's own random key: the hand-off is redeemed once, and asking
    /// again with the same key gets the same answer until the result is reported.
    pub handoff_key: Option<String>,
    /// The installer asked where its hand-off is: it is about to end, and the first boot may come
    /// before its last report does.
    #[serde(default)]
    pub handoff_asked: bool,
    /// Where another server hands out the addresses: the one that the boot script went to. The
    /// build's tokens work from nowhere else.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// The firmware that booted it.
    #[serde(default)]
    pub firmware: Option<Firmware>,
    /// The machine's own identifier, as its firmware gave it while the build was armed (option 97).
    #[serde(default)]
    pub uuid: Option<MachineId>,
    /// What was last seen of it, if that is newer than what it last said itself. It moves nothing.
    #[serde(default)]
    pub observed: Option<Stage>,
    /// Something happened that a person must look at, in a sentence: it stays until the next flag.
    #[serde(default)]
    pub alarm: Option<String>,
    /// What its agent's server knew the machine by before, and must know no more: until then the
    /// flag is not in force.
    #[serde(default)]
    pub revoke: Vec<Revocation>,
    /// The digest of the key that the agent was enrolled with: the challenge is good for one.
    #[serde(default)]
    pub enrolled: Option<String>,
    /// What the agent's server said is wrong, in a sentence.
    #[serde(default)]
    pub finding: Option<String>,
    /// The first boot is done, and this server runs a playbook against the machine.
    #[serde(default)]
    pub pushing: bool,
    /// The ssh host keys that the first boot reported.
    #[serde(default)]
    pub host_keys: Vec<String>,
    /// Who flagged it.
    pub actor: String,
}

/// A machine's identifier (RFC 4578 option 97, SMBIOS type 1), as 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(String);

impl MachineId {
    /// Reads the sixteen bytes; none for what boards without an identifier send (all the same byte).
    pub fn read(bytes: [u8; 16]) -> Option<MachineId> {
        let blank = bytes.iter().all(|b| *b == bytes[0]);
        (!blank).then(|| MachineId(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// Whether both are one machine's. SMBIOS writes the first three fields in either byte order,
    /// and a ROM and the loader after it need not agree.
    pub fn is(&self, other: &MachineId) -> bool {
        self == other || self.swapped() == other.0
    }

    /// Its 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn swapped(&self) -> String {
        let pairs: Vec<&str> = (0..16)
            .filter_map(|i| self.0.get(i * 2..i * 2 + 2))
            .collect();
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        order
            .iter()
            .filter_map(|i| pairs.get(*i).copied())
            .collect()
    }
}
