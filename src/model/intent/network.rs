//! How a machine is connected once it is installed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::model::MacAddr;

/// The modes of bonds, as Linux names them.
pub const BOND_MODES: [&str; 7] = [
    "active-backup",
    "802.3ad",
    "balance-rr",
    "balance-xor",
    "broadcast",
    "balance-tlb",
    "balance-alb",
];

/// How a machine is connected, besides what its interfaces say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// IPv6 of the booting interface.
    pub ipv6: Ipv6,
    /// Bonds by name.
    pub bond: BTreeMap<String, Bond>,
    /// VLANs by name.
    pub vlan: BTreeMap<String, Vlan>,
}

/// How an interface gets IPv6 addresses besides those declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv6 {
    /// Not at all.
    #[default]
    Off,
    /// From router advertisements (RFC 4862).
    Auto,
    /// By DHCPv6.
    Dhcp,
}

impl Ipv6 {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Ipv6::Off => "off",
            Ipv6::Auto => "auto",
            Ipv6::Dhcp => "dhcp",
        }
    }
}

/// Several interfaces as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bond {
    /// Its members, interfaces of the system. It takes over their addresses.
    pub interfaces: Vec<MacAddr>,
    /// One of [`BOND_MODES`].
    pub mode: String,
}

impl Default for Bond {
    fn default() -> Self {
        Bond {
            interfaces: Vec::new(),
            mode: "active-backup".to_string(),
        }
    }
}

/// A tagged VLAN (IEEE 802.1Q).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vlan {
    /// The bond it lies on; empty for the booting interface.
    pub link: String,
    /// Its number, 1 to 4094; 0 if none is said, which is a fault.
    pub id: u16,
    /// Its address with the length of the prefix; none means DHCP.
    pub ip: Option<Ipv4Net>,
    /// The default route, if it leads here.
    pub router: Option<Ipv4Addr>,
}
