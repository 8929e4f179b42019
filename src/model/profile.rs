//! A profile: how to make a system what it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AgentPlan, Delivery, DiskRule, Name, Partial};

/// What sort of installer or live system a profile drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileKind {
    /// The Debian installer.
    Preseed,
    /// Anaconda: RHEL and its kin, Fedora.
    Kickstart,
    /// Subiquity: Ubuntu.
    Autoinstall,
    /// Fedora CoreOS, Flatcar.
    Ignition,
    /// Agama: SLES 16, Leap 16.
    Agama,
    /// YaST: SLES 15, Leap 15.
    Autoyast,
    /// Fully Automatic Installation.
    Fai,
    /// Proxmox VE, Backup Server, Mail Gateway. Posts what it is and is answered.
    Proxmox,
    /// Talos Linux.
    Talos,
    /// Alpine Linux, by an overlay that installs.
    Alpine,
    /// Windows Setup in Windows PE, by wimboot.
    Windows,
    /// VMware ESXi.
    Esxi,
    /// SmartOS: runs in RAM, from this server at every boot. What is flagged is the making of its pool.
    Smartos,
    /// FreeBSD, by bsdinstall.
    Freebsd,
    /// OpenBSD, by autoinstall(8).
    Openbsd,
    /// Any other installer that reports as `docs/profiles.md` says.
    Generic,
    /// A live system that changes nothing on disk and ends when switched off (rescue).
    Live,
    /// One kernel and nothing else (memtest).
    Kernel,
    /// A profile that others inherit from and that is never built itself.
    Base,
}

impl ProfileKind {
    /// Every kind, with the word for it in files and JSON.
    pub const WORDS: [(&'static str, ProfileKind); 19] = [
        ("preseed", ProfileKind::Preseed),
        ("kickstart", ProfileKind::Kickstart),
        ("autoinstall", ProfileKind::Autoinstall),
        ("ignition", ProfileKind::Ignition),
        ("agama", ProfileKind::Agama),
        ("autoyast", ProfileKind::Autoyast),
        ("fai", ProfileKind::Fai),
        ("proxmox", ProfileKind::Proxmox),
        ("talos", ProfileKind::Talos),
        ("alpine", ProfileKind::Alpine),
        ("windows", ProfileKind::Windows),
        ("esxi", ProfileKind::Esxi),
        ("smartos", ProfileKind::Smartos),
        ("freebsd", ProfileKind::Freebsd),
        ("openbsd", ProfileKind::Openbsd),
        ("generic", ProfileKind::Generic),
        ("live", ProfileKind::Live),
        ("kernel", ProfileKind::Kernel),
        ("base", ProfileKind::Base),
    ];

    /// The word in files, JSON and templates.
    pub fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, kind)| *kind == self);
        found.map_or("base", |(word, _)| word)
    }

    /// Whether this kind writes a disk and therefore goes through a full build.
    pub fn installs(self) -> bool {
        !matches!(
            self,
            ProfileKind::Live | ProfileKind::Kernel | ProfileKind::Base
        )
    }

    /// Whether the first boot of what it installs runs what it is handed over: steps, or an agent.
    /// The others report their first boot and could do nothing with a bundle. True of a base, which
    /// is said for its children.
    pub fn takes_steps(self) -> bool {
        !matches!(
            self,
            ProfileKind::Talos
                | ProfileKind::Windows
                | ProfileKind::Esxi
                | ProfileKind::Smartos
                | ProfileKind::Freebsd
                | ProfileKind::Openbsd
                | ProfileKind::Live
                | ProfileKind::Kernel
        )
    }

    /// Whether this server can run a playbook against it: its first boot reports the ssh host keys
    /// by which the machine is known again.
    pub fn takes_push(self) -> bool {
        self.takes_steps() || matches!(self, ProfileKind::Freebsd | ProfileKind::Openbsd)
    }

    /// Whether what is installed has no boot loader of its own: it is booted by this server every
    /// time, and never from its disk.
    pub fn resident(self) -> bool {
        self == ProfileKind::Smartos
    }

    /// Whether its installer's own DHCP client is told where the answers are.
    pub fn told_by_dhcp(self) -> bool {
        matches!(self, ProfileKind::Proxmox | ProfileKind::Openbsd)
    }

    /// Whether nothing of it ever reports. Then that the machine boots again after it was given its
    /// answers is all that is ever known of the end.
    pub fn silent(self) -> bool {
        matches!(
            self,
            ProfileKind::Kernel | ProfileKind::Talos | ProfileKind::Smartos
        )
    }

    /// The answer whose reader writes the disk that it names, without asking for a permit: to be
    /// given it is to be permitted.
    pub fn permitting_answer(self) -> Option<&'static str> {
        match self {
            ProfileKind::Proxmox => Some("answer.toml"),
            ProfileKind::Talos => Some("config.yaml"),
            ProfileKind::Smartos => Some("answers.json"),
            ProfileKind::Openbsd => Some("install.conf"),
            _ => None,
        }
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
    pub executable: BTreeSet<String>,
    /// The rule for the disk if the system has none.
    pub disk: DiskRule,
    /// What may be on a disk that is overwritten: `blank`, `linux`, `any`, or names that blkid prints.
    pub may_destroy: Vec<String>,
    /// Values for templates.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// What it says of a machine, over what its parents and `[defaults]` say.
    pub intent: Partial,
    /// The keys of the intent that somebody asked for by them: said in `[defaults]` or by a profile that
    /// is no [`ProfileKind::Base`]. Its templates must heed each.
    pub asked: BTreeSet<String>,
    /// The keys of the intent, or tables of them, that it leaves unheeded with its author's knowledge.
    pub ignores: BTreeSet<String>,
    /// What happens on first boot.
    pub handoff: Handoff,
    /// How long each phase may last.
    pub deadlines: Deadlines,
    /// Boots of the installer allowed before the machine is held.
    pub attempts: u32,
    /// Install again after a power cut although the disk was already being written.
    pub retry_after_write: bool,
    /// Answers that are not fetched, but come with the kernel.
    pub delivery: Delivery,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_word_everywhere() {
        for (word, kind) in ProfileKind::WORDS {
            assert_eq!(kind.word(), word);
            assert_eq!(
                serde_json::to_value(kind).expect("JSON"),
                serde_json::Value::from(word)
            );
        }
    }

    #[test]
    fn what_writes_no_disk_is_no_build() {
        for (word, kind) in ProfileKind::WORDS {
            let idle = ["live", "kernel", "base"].contains(&word);
            assert_eq!(kind.installs(), !idle, "{word}");
            assert!(!kind.resident() || kind.installs(), "{word}");
            assert!(
                kind.permitting_answer().is_none() || kind.installs(),
                "{word}"
            );
        }
    }
}
