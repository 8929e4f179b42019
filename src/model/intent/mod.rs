//! The intent: what a machine should be, said once and rendered to each installer.
//!
//! Several layers of a site say parts of it (a system's entry, its profile and that one's parents,
//! `[defaults]`): each is a [`Partial`]. Laid over one another they make an [`Intent`], in which
//! nothing is missing. Which installer can do what of it is the profiles' business.

mod network;
mod partial;
mod people;
mod software;
mod storage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use network::{BOND_MODES, Bond, Ipv6, Network, Vlan};
pub use partial::{Fault, Partial};
pub use people::{ROOT, User};
pub use software::Repository;
pub use storage::{Encrypt, Filesystem, Layout, Raid, Storage, Tang, Volume};

/// What a machine should be, complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Intent {
    /// Language, keyboard, clock.
    pub locale: Locale,
    /// How its disks are laid out.
    pub storage: Storage,
    /// How it is connected, besides what its interfaces say.
    pub network: Network,
    /// Accounts by name; `root` only if something is said of it.
    pub users: BTreeMap<String, User>,
    /// Packages added to the smallest useful system.
    pub packages: Vec<String>,
    /// Package repositories by name, besides the distribution's own.
    #[serde(rename = "repository")]
    pub repositories: BTreeMap<String, Repository>,
}

/// Language, keyboard and clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Locale {
    /// As POSIX names it: `en_US.UTF-8`.
    pub language: String,
    /// A console keymap: `us`, `de-latin1`.
    pub keyboard: String,
    /// As the time zone database names it: `Europe/Berlin`.
    pub timezone: String,
}

impl Default for Locale {
    fn default() -> Self {
        Locale {
            language: "en_US.UTF-8".to_string(),
            keyboard: "us".to_string(),
            timezone: "Etc/UTC".to_string(),
        }
    }
}
