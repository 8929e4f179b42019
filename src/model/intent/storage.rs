//! How a machine's disks are laid out.

use serde::{Deserialize, Serialize};

use crate::model::DiskRule;

/// MiB of swap if nothing is said.
const SWAP: u64 = 1024;

/// How a machine's disks are laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Partitions or logical volumes.
    pub layout: Layout,
    /// One disk or two.
    pub raid: Raid,
    /// The other disk of a mirror; none means the only other one there is.
    pub second: Option<DiskRule>,
    /// For volumes that name none.
    pub filesystem: Filesystem,
    /// MiB of swap; 0 for none.
    #[serde(rename = "swap")]
    pub swap_mib: u64,
    /// How everything but `/boot` and the ESP is encrypted.
    pub encrypt: Encrypt,
    /// Tang servers, any one of which unlocks.
    pub tang: Vec<Tang>,
    /// File systems as written. [`Storage::all`] has the complete list.
    pub volumes: Vec<Volume>,
}

impl Default for Storage {
    fn default() -> Self {
        Storage {
            layout: Layout::Plain,
            raid: Raid::None,
            second: None,
            filesystem: Filesystem::Ext4,
            swap_mib: SWAP,
            encrypt: Encrypt::None,
            tang: Vec::new(),
            volumes: Vec::new(),
        }
    }
}

impl Storage {
    /// Every volume: `/` is added if it is not named, and the one that takes the rest comes last.
    pub fn all(&self) -> Vec<Volume> {
        let mut all: Vec<Volume> = self.volumes.clone();
        if !all.iter().any(|v| v.mount == "/") {
            all.push(Volume {
                mount: "/".to_string(),
                size_mib: None,
                filesystem: None,
            });
        }
        all.sort_by_key(|v| v.size_mib.is_none());
        all
    }
}

/// Partitions or logical volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// A partition for each volume.
    Plain,
    /// A volume group over the disk, a logical volume for each volume.
    Lvm,
}

impl Layout {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Layout::Plain => "plain",
            Layout::Lvm => "lvm",
        }
    }
}

/// One disk or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Raid {
    /// One disk.
    None,
    /// The whole layout on two disks that mirror each other.
    Raid1,
}

impl Raid {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Raid::None => "none",
            Raid::Raid1 => "raid1",
        }
    }
}

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

impl Filesystem {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Filesystem::Ext4 => "ext4",
            Filesystem::Xfs => "xfs",
            Filesystem::Btrfs => "btrfs",
        }
    }
}

/// What unlocks encrypted disks at boot, with nobody there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encrypt {
    /// Nothing is encrypted.
    None,
    /// LUKS2, unlocked by a Tang server on the network.
    Tang,
    /// LUKS2, unlocked by the machine's TPM 2.0.
    Tpm2,
}

impl Encrypt {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Encrypt::None => "none",
            Encrypt::Tang => "tang",
            Encrypt::Tpm2 => "tpm2",
        }
    }
}

/// A Tang server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tang {
    /// Its URL.
    pub url: String,
    /// The thumbprint of its signing key, as `tang-show-keys` prints it.
    pub thumbprint: String,
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Where it is mounted: an absolute path.
    pub mount: String,
    /// MiB; none takes what is left.
    #[serde(rename = "size", default)]
    pub size_mib: Option<u64>,
    /// Its file system; none means the layout's.
    #[serde(default)]
    pub filesystem: Option<Filesystem>,
}

impl Volume {
    /// A name for a logical volume or a label: `/` is `root`, `/var/log` is `var_log`.
    pub fn name(&self) -> String {
        let path = self.mount.trim_matches('/');
        if path.is_empty() {
            return "root".to_string();
        }
        let plain = |c: char| match c {
            c if c.is_ascii_alphanumeric() => c,
            _ => '_',
        };
        path.chars().map(plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_always_there_and_the_rest_comes_last() {
        let volume = |mount: &str, size_mib| Volume {
            mount: mount.to_string(),
            size_mib,
            filesystem: None,
        };
        let names = |volumes: Vec<Volume>| -> Vec<String> {
            let storage = Storage {
                volumes,
                ..Storage::default()
            };
            storage.all().iter().map(Volume::name).collect()
        };
        assert_eq!(names(vec![]), ["root"]);
        assert_eq!(
            names(vec![
                volume("/srv", None),
                volume("/", Some(8192)),
                volume("/var/log", Some(1))
            ]),
            ["root", "var_log", "srv"]
        );
        assert_eq!(names(vec![volume("/var", Some(1))]), ["var", "root"]);
    }
}
