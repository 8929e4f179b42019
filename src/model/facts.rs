//! Who asks, by which door, with which firmware, at which stage of the chain.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Firmware, MacAddr};

/// What a door found out about a request before it asks `control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The hardware address, which is the identity. Never option 61.
    pub mac: MacAddr,
    /// The address it asks from, if it has one.
    pub ip: Option<Ipv4Addr>,
    /// The door.
    pub door: Door,
    /// What its firmware is, as far as this request tells.
    pub firmware: Option<Firmware>,
    /// Which program asks.
    pub stage: ClientStage,
}

/// The service that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// DHCP, port 67.
    Dhcp,
    /// ProxyDHCP, port 4011.
    Proxy,
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
    /// An operator typed the facts in.
    Typed,
}

/// Which program of the boot chain asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientStage {
    /// The firmware's own PXE or HTTP boot client.
    Rom,
    /// iPXE.
    Ipxe,
    /// GRUB.
    Grub,
    /// PXELINUX, or another reader of `pxelinux.cfg`.
    Pxelinux,
    /// The distro's own boot program.
    Own,
    /// An operating system or installer: not a boot client.
    Os,
}
