//! This host's network interfaces.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::model::MacAddr;

/// One interface, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number in the kernel.
    pub index: u32,
    /// Its hardware address; none for loopback and tunnels.
    pub mac: Option<MacAddr>,
    /// Its IPv4 addresses, each with its network's prefix length.
    pub addresses: Vec<Ipv4Net>,
    /// The largest packet it sends, in bytes; 1500 if the kernel does not tell.
    pub mtu: u32,
    /// It is up.
    pub up: bool,
    /// It is the loopback.
    pub loopback: bool,
}

impl Interface {
    /// Its first address.
    pub fn ip(&self) -> Option<Ipv4Addr> {
        self.addresses.first().map(Ipv4Net::addr)
    }
}

/// All interfaces, by number.
///
/// # Errors
/// If the kernel does not tell.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs()? {
        let interface = found
            .entry(entry.interface_name.clone())
            .or_insert_with(|| Interface {
                name: entry.interface_name.clone(),
                index: 0,
                mac: None,
                addresses: Vec::new(),
                mtu: mtu(&entry.interface_name).unwrap_or(1500),
                up: entry.flags.contains(InterfaceFlags::IFF_UP),
                loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            });
        if let Some(link) = entry.address.as_ref().and_then(|a| a.as_link_addr()) {
            // an index fits in 32 bits: the kernel's is an int
            interface.index = u32::try_from(link.ifindex()).unwrap_or(0);
            interface.mac = link.addr().map(MacAddr).filter(MacAddr::is_unicast);
        }
        let ip = entry.address.as_ref().and_then(|a| a.as_sockaddr_in());
        let mask = entry.netmask.as_ref().and_then(|a| a.as_sockaddr_in());
        if let (Some(ip), Some(mask)) = (ip, mask)
            && let Ok(address) = Ipv4Net::with_netmask(ip.ip(), mask.ip())
        {
            interface.addresses.push(address);
        }
    }
    // Labelled addresses (`eth0:1`) appear under their label; they belong to the interface.
    let labels: Vec<String> = found.keys().filter(|n| n.contains(':')).cloned().collect();
    for label in labels {
        let Some(alias) = found.remove(&label) else {
            continue;
        };
        let owner = label.split(':').next().unwrap_or_default();
        if let Some(interface) = found.get_mut(owner) {
            interface.addresses.extend(alias.addresses);
        }
    }
    let mut all: Vec<Interface> = found.into_values().collect();
    all.sort_by_key(|i| i.index);
    Ok(all)
}

/// Asks the kernel for an interface's MTU.
fn mtu(name: &str) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    #[expect(
        unsafe_code,
        reason = "the kernel's structure has no other constructor"
    )]
    // SAFETY: an `ifreq` of zeros is valid; every field is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    #[expect(unsafe_code, reason = "there is no safe call for SIOCGIFMTU")]
    // SAFETY: the descriptor is open; SIOCGIFMTU fills one `ifreq`, which is alive, and leaves its
    // number in `ifru_mtu`.
    let mtu = unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_mtu
    };
    u32::try_from(mtu).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_there() {
        let all = interfaces().expect("the kernel tells");
        let loopback = all.iter().find(|i| i.loopback).expect("a loopback");
        assert_eq!(loopback.mac, None);
        assert!(loopback.index > 0);
        assert!(loopback.mtu > 1500, "the kernel told: {}", loopback.mtu);
        if loopback.up {
            assert_eq!(loopback.ip(), Some(Ipv4Addr::LOCALHOST));
        }
    }
}
