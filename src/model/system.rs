//! A system: a machine as its owner declared it in `systems.toml`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::{MacAddr, Name, Partial};

/// One declared machine. Values are resolved: defaults are already applied.
#[derive(Debug, Clone, PartialEq)]
pub struct System {
    /// Its name, which is also its host name.
    pub name: Name,
    /// Its network interfaces; the first is the one it is known by.
    pub interfaces: Vec<Interface>,
    /// The profile it is built from.
    pub profile: Name,
    /// Words for grouping and selecting (`-l web`).
    pub tags: Vec<String>,
    /// Values for templates, before the profile's are merged in.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// What its entry says of the machine it should be, over what its profile says; none if nothing,
    /// which costs nothing.
    pub intent: Option<Arc<Partial>>,
    /// Which disk may be written; none means the profile's rule.
    pub disk: Option<DiskRule>,
    /// The disk may be written though it holds something the profile does not allow to destroy.
    pub wipe: bool,
    /// Refuses `rebuild`.
    pub protected: bool,
    /// Boot through shim and the distribution's signed GRUB instead of iPXE.
    pub secure_boot: bool,
    /// Public keys for root's `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// Set if this entry cannot be used (its profile does not render, say): the machine boots its
    /// own disk, and the reason is shown. One bad entry affects that system alone.
    pub broken: Option<String>,
    /// The management controller as written; read by the power room (a later capability).
    pub bmc: Option<serde_json::Value>,
}

/// One network interface of a system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Hardware address.
    pub mac: MacAddr,
    /// Reserved address; none means a sticky address from the pool.
    pub ip: Option<Ipv4Addr>,
    /// The installed system is given this address statically instead of by DHCP.
    pub static_ip: bool,
    /// Its name in the installed system; none leaves it to the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// An IPv6 address for the installed system, with the length of the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Box<Ipv6Net>>,
}

/// Which disk an installer may write. Exactly one disk must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskRule {
    /// The drive's serial number.
    pub serial: Option<String>,
    /// Its world-wide name.
    pub wwn: Option<String>,
    /// A device path such as `/dev/vda` or `/dev/disk/by-path/..`.
    pub path: Option<String>,
    /// Part of the model name.
    pub model: Option<String>,
    /// At least this many bytes.
    pub min_size: Option<u64>,
    /// At most this many bytes.
    pub max_size: Option<u64>,
}

impl System {
    /// The interface it is known by. A loaded system always has one.
    pub fn first(&self) -> Option<&Interface> {
        self.interfaces.first()
    }

    /// The interface with this hardware address.
    pub fn interface(&self, mac: MacAddr) -> Option<&Interface> {
        self.interfaces.iter().find(|i| i.mac == mac)
    }

    /// The reserved address of the first interface.
    pub fn ip(&self) -> Option<Ipv4Addr> {
        self.first().and_then(|i| i.ip)
    }
}
