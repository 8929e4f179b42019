//! What a booting machine is told, and the reason.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::artefact::LOADERS;
use super::{ArtefactRef, BuildKey, Digest, Name, Phase, ProfileKind, Timestamp, Way};

/// The answer of `decide`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The system, if the machine is declared.
    pub system: Option<Name>,
    /// What it is told.
    pub action: Action,
    /// The reason.
    pub why: Why,
}

/// What a machine is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// No answer at all.
    Ignore,
    /// Its own disk: an address and no boot options on DHCP; `exit` and the like in scripts.
    LocalDisk,
    /// The network boot that was asked for.
    Boot(Box<BootPlan>),
}

/// Everything a loader script needs to start a kernel. Paths become URLs in `boot::paths` only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootPlan {
    /// Which build.
    pub build: BuildKey,
    /// The profile.
    pub profile: Name,
    /// Which chain of loaders leads there.
    pub loader: LoaderKind,
    /// The kernel.
    pub kernel: PlannedFile,
    /// Initial RAM disks, in order.
    pub initrds: Vec<PlannedFile>,
    /// Kernel command line, rendered, with the build's tokens filled in.
    pub cmdline: String,
    /// What is installed or run.
    pub kind: ProfileKind,
    /// How it is started, where that is not Linux's usual way.
    #[serde(default)]
    pub way: Way,
    /// Nothing is flagged: this is how the system that is there runs.
    #[serde(default)]
    pub resident: bool,
}

/// A kernel or initrd as the build pinned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Which artefact.
    pub id: ArtefactRef,
    /// Its digest, which is part of its URL.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// The chain of network boot loaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoaderKind {
    /// iPXE (undionly.kpxe, snponly.efi, or the one in ROM).
    Ipxe,
    /// shim and the distribution's signed GRUB, for Secure Boot.
    Grub,
    /// The distro's own boot program, which reads its own configuration.
    Own,
}

/// The reason as data; its [`fmt::Display`] is the sentence people read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Why {
    /// No declared system has this interface.
    Unknown,
    /// The site is frozen.
    Frozen {
        /// What the operator wrote.
        note: String,
    },
    /// The entry cannot be used.
    Broken {
        /// What is wrong with it.
        problem: String,
    },
    /// It was never flagged.
    NotFlagged,
    /// The phase says so.
    InPhase {
        /// The phase.
        phase: Phase,
    },
    /// The flag's time is over.
    FlagExpired {
        /// When.
        at: Timestamp,
    },
    /// Flagged, attempts left.
    Flagged {
        /// Which build.
        epoch: u32,
        /// This would be boot number..
        attempt: u32,
        /// .. of so many.
        allowed: u32,
    },
    /// It is flagged, and the old identity at its agent's server is not taken back yet.
    Revoking {
        /// Which build.
        epoch: u32,
        /// Whose, in words.
        identity: String,
        /// Why the last try failed.
        failed: Option<String>,
    },
    /// The same boot asks again.
    SameBoot {
        /// Which build.
        epoch: u32,
    },
    /// It was cut off while installing, before a byte was written, and may try again.
    NothingWritten {
        /// Which build.
        epoch: u32,
    },
    /// It was cut off after writing had begun.
    AlreadyWriting {
        /// The disk.
        disk: String,
    },
    /// No boot is left.
    AttemptsSpent {
        /// How many there were.
        allowed: u32,
    },
    /// Kernel or initrd are not on this server.
    MissingArtefact {
        /// Which.
        name: String,
        /// Of which distro.
        distro: String,
    },
    /// Its firmware cannot boot what the build has, or there is nothing to boot it with.
    UnsupportedFirmware {
        /// Its word, and whether it boots by HTTP.
        firmware: String,
        /// Why not, in a sentence.
        lack: String,
    },
    /// The system has the flag, and this interface was not the system's when it was flagged.
    OtherHardware {
        /// Which build.
        epoch: u32,
    },
    /// It is flagged, and was protected after that.
    Protected {
        /// Which build.
        epoch: u32,
    },
    /// What it runs is on no disk: this server boots it every time.
    Resident,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Unknown => write!(f, "no declared system has this interface"),
            Why::Frozen { note } => write!(f, "the site is frozen: {note}"),
            Why::Broken { problem } => write!(f, "its entry cannot be used: {problem}"),
            Why::NotFlagged => write!(f, "it is not flagged for a build"),
            Why::InPhase {
                phase: Phase::Ready,
            } => write!(f, "it is ready"),
            Why::InPhase { phase } => write!(f, "its build is {phase}"),
            Why::FlagExpired { at } => write!(f, "its flag expired {at:.0}"),
            Why::Flagged {
                epoch,
                attempt,
                allowed,
            } => {
                write!(
                    f,
                    "it is flagged (build {epoch}, boot {attempt} of {allowed})"
                )
            }
            Why::Revoking {
                epoch,
                identity,
                failed,
            } => {
                write!(
                    f,
                    "build {epoch} waits until the old identity {identity} is taken back"
                )?;
                match failed {
                    Some(failed) => write!(f, ", which failed: {failed}"),
                    None => Ok(()),
                }
            }
            Why::SameBoot { epoch } => write!(f, "build {epoch} is booting and asks again"),
            Why::NothingWritten { epoch } => {
                write!(f, "build {epoch} was cut off before anything was written")
            }
            Why::AlreadyWriting { disk } => {
                write!(f, "it was cut off while `{disk}` was being written")
            }
            Why::AttemptsSpent { allowed } => write!(f, "its {allowed} boots are spent"),
            Why::MissingArtefact { name, distro } if distro == LOADERS => {
                write!(f, "the boot loader `{name}` is not on this server")
            }
            Why::MissingArtefact { name, distro } => {
                write!(f, "`{name}` of distro `{distro}` is not on this server")
            }
            Why::UnsupportedFirmware { firmware, lack } => {
                write!(f, "its firmware ({firmware}) cannot boot this: {lack}")
            }
            Why::OtherHardware { epoch } => write!(
                f,
                "build {epoch} was flagged when its system did not have this interface: this may be another machine"
            ),
            Why::Protected { epoch } => {
                write!(f, "it was protected after it was flagged (build {epoch})")
            }
            Why::Resident => write!(f, "it runs from this server at every boot"),
        }
    }
}

impl Why {
    /// Whether something is wrong that a person must mend: the machine was flagged and cannot be
    /// booted.
    pub fn is_obstacle(&self) -> bool {
        matches!(
            self,
            Why::MissingArtefact { .. }
                | Why::UnsupportedFirmware { .. }
                | Why::OtherHardware { .. }
                | Why::Protected { .. }
        )
    }

    /// What an operator would type next, if there is something.
    pub fn hint(&self, system: Option<&Name>) -> Option<String> {
        let name = system.map_or("NAME", |n| n.as_str());
        match self {
            Why::Unknown => Some("farrier add NAME MAC PROFILE".to_string()),
            Why::Broken { .. } => Some("farrier check".to_string()),
            Why::NotFlagged | Why::FlagExpired { .. } => Some(format!("farrier rebuild {name}")),
            Why::InPhase {
                phase: Phase::Failed | Phase::Stalled | Phase::Held,
            }
            | Why::AttemptsSpent { .. }
            | Why::AlreadyWriting { .. } => {
                Some(format!("farrier why {name}; then farrier rebuild {name}"))
            }
            Why::MissingArtefact { distro, .. } => Some(format!("farrier distro fetch {distro}")),
            Why::UnsupportedFirmware { .. } => Some(format!("farrier show {name}")),
            Why::OtherHardware { .. } => Some(format!(
                "farrier cancel {name}; then farrier rebuild {name}, if this machine is meant"
            )),
            Why::Protected { .. } => Some(format!("farrier cancel {name}")),
            Why::Revoking {
                failed: Some(_), ..
            } => Some("farrier doctor".to_string()),
            Why::Frozen { .. } => Some("remove `freeze` from farrier.toml".to_string()),
            _ => None,
        }
    }
}
