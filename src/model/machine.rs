//! A machine: a system plus what is known of it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Build, Deadlines, Identity, MacAddr, Name, PlannedFile, ProfileKind, Way};

/// What is known of a declared system: its builds. A system without an entry was never flagged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Which system.
    pub name: Name,
    /// Its latest build.
    pub build: Option<Build>,
    /// A one-shot boot (rescue, memtest): it never touches the build.
    pub once: Option<Build>,
}

impl Machine {
    /// A machine that nothing is known of.
    pub fn new(name: Name) -> Self {
        Machine {
            name,
            build: None,
            once: None,
        }
    }

    /// The highest epoch used so far, over builds and one-shots.
    pub fn last_epoch(&self) -> u32 {
        let of = |b: &Option<Build>| b.as_ref().map_or(0, |b| b.key.epoch);
        of(&self.build).max(of(&self.once))
    }

    /// The one-shot that is under way, else the build.
    pub fn current(&self) -> Option<&Build> {
        let once = self.once.as_ref().filter(|b| b.phase.is_active());
        once.or(self.build.as_ref())
    }

    /// The build or one-shot with this epoch.
    pub fn with_epoch(&self, epoch: u32) -> Option<&Build> {
        [&self.build, &self.once]
            .into_iter()
            .flatten()
            .find(|b| b.key.epoch == epoch)
    }
}

/// Everything a build pinned when it was flagged, so that an edit in mid-install mixes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// What the profile drives.
    pub kind: ProfileKind,
    /// Boot through shim and signed GRUB.
    pub secure_boot: bool,
    /// The kernel on BIOS.
    pub kernel: PlannedFile,
    /// The kernel on UEFI, if another.
    pub kernel_uefi: Option<PlannedFile>,
    /// Initial RAM disks, in order.
    pub initrds: Vec<PlannedFile>,
    /// Every artefact of its distro, for documents may name any of them.
    #[serde(default)]
    pub artefacts: Vec<PlannedFile>,
    /// Kernel command line, with token placeholders.
    pub cmdline: String,
    /// Documents by name, with token placeholders.
    pub documents: BTreeMap<String, Arc<Document>>,
    /// How long each phase may last.
    pub deadlines: Deadlines,
    /// Which disk may be written.
    pub disk: super::DiskRule,
    /// Which other disk may be, of a machine whose disks mirror each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<super::DiskRule>,
    /// What may be on a disk that is overwritten.
    pub may_destroy: Vec<String>,
    /// The operator's word that the disk may be overwritten whatever the profile allows, save what
    /// other machines may be using.
    #[serde(default)]
    pub wipe: bool,
    /// First boot hands over to an agent; otherwise the first report makes it Ready.
    pub handoff: bool,
    /// This server as the documents say that the machine reaches it. A machine without an address of
    /// its own may boot in another subnet than they were made for.
    #[serde(default)]
    pub server: Option<SocketAddrV4>,
    /// Its documents are for UEFI, or for BIOS; none if they are the same for both. A machine that was
    /// flagged before it was ever seen may be of the other kind.
    #[serde(default)]
    pub uefi: Option<bool>,
    /// How it is started, where that is not Linux's usual way.
    #[serde(default)]
    pub way: Way,
    /// The interfaces that the system had when it was flagged: what else has its name by now is another
    /// machine. Empty if that was not written down.
    #[serde(default)]
    pub macs: Vec<MacAddr>,
    /// What the agent's server will know the machine by.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// What this server runs against the machine after its first boot.
    #[serde(default)]
    pub push: Option<Push>,
    /// The agent that its hand-off names: no other's result makes it ready. None for nothing that is
    /// handed over.
    #[serde(default)]
    pub agent: Option<String>,
}

/// A playbook that this server runs against a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Its path.
    pub playbook: String,
    /// Who it logs in as.
    pub user: String,
    /// The private key's path.
    pub key: String,
    /// How long it may take, in seconds.
    pub timeout: u64,
}

impl Pinned {
    /// Whether it was flagged for the machine with this interface.
    pub fn is_for(&self, mac: MacAddr) -> bool {
        self.macs.is_empty() || self.macs.contains(&mac)
    }

    /// Every boot artefact that this build may ask for, some of them twice.
    pub fn files(&self) -> impl Iterator<Item = &PlannedFile> {
        std::iter::once(&self.kernel)
            .chain(&self.kernel_uefi)
            .chain(&self.initrds)
            .chain(&self.artefacts)
    }
}

/// A rendered document as pinned: token placeholders (`boot::token`) are filled when it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The name in its URL.
    pub name: String,
    /// HTTP content type.
    pub content_type: String,
    /// The bytes; of a packed folder, the tar before compression (placeholders are as long as
    /// tokens, so filling them in keeps every offset).
    #[serde(with = "text_or_hex")]
    pub bytes: Vec<u8>,
    /// Compress with gzip when served.
    pub gzip: bool,
    /// Only a holder of the secret token may fetch it (the hand-off's scripts).
    pub secret: bool,
}

mod text_or_hex {
    //! Bytes as a JSON string: as text if they are, else as hexadecimal with a mark.
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => s.serialize_str(&format!("t{text}")),
            Err(_) => {
                let mut out = String::with_capacity(bytes.len() * 2 + 1);
                out.push('x');
                for b in bytes {
                    out.push_str(&format!("{b:02x}"));
                }
                s.serialize_str(&out)
            }
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        if let Some(plain) = text.strip_prefix('t') {
            return Ok(plain.as_bytes().to_vec());
        }
        let hex = text.strip_prefix('x').unwrap_or("").as_bytes();
        hex.chunks(2)
            .map(|pair| {
                std::str::from_utf8(pair)
                    .ok()
                    .and_then(|p| u8::from_str_radix(p, 16).ok())
                    .ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
            })
            .collect()
    }
}
