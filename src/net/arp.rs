//! ARP entries: one for a client that cannot answer ARP yet, and who answers at an address.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::SockaddrStorage;

use crate::model::MacAddr;

/// Tells the kernel which hardware address an IP address has on this interface. Needs
/// CAP_NET_ADMIN. The device is named, for on a host with several the kernel would guess.
pub(super) fn set(
    fd: BorrowedFd<'_>,
    interface: &str,
    ip: Ipv4Addr,
    mac: MacAddr,
) -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "the kernel's structure has no other constructor"
    )]
    // SAFETY: an `arpreq` of zeros is valid; every field is plain data.
    let mut request: libc::arpreq = unsafe { std::mem::zeroed() };
    request.arp_pa.sa_family = libc::AF_INET as libc::sa_family_t;
    // sockaddr_in within sockaddr: two bytes of port, then the address
    for (to, from) in request.arp_pa.sa_data[2..6].iter_mut().zip(ip.octets()) {
        *to = from as libc::c_char;
    }
    request.arp_ha.sa_family = libc::ARPHRD_ETHER;
    for (to, from) in request.arp_ha.sa_data.iter_mut().zip(mac.0) {
        *to = from as libc::c_char;
    }
    request.arp_flags = libc::ATF_COM;
    let room = request.arp_dev.len() - 1;
    for (to, from) in request.arp_dev[..room].iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    #[expect(unsafe_code, reason = "there is no safe call for SIOCSARP")]
    // SAFETY: the descriptor is open, and SIOCSARP reads one `arpreq`, which is alive.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), SIOCSARP, &request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// linux/sockios.h; libc has it for some targets only.
const SIOCSARP: libc::Ioctl = 0x8955;

/// linux/sockios.h, as above.
const SIOCGARP: libc::Ioctl = 0x8954;

/// The hardware address that answers ARP for this address, as the kernel knows it: of a host that a
/// connection is open with and that is on one of this host's own networks, always. One look-up for
/// each interface with such a network, however many neighbours there are.
pub fn neighbour(ip: Ipv4Addr) -> Option<MacAddr> {
    let near = networks();
    let mut near = near
        .iter()
        .filter(|n| n.own & n.mask == ip & n.mask)
        .peekable();
    near.peek()?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    near.find_map(|n| on(&socket, &n.device, ip))
}

struct Network {
    own: Ipv4Addr,
    mask: Ipv4Addr,
    device: String,
}

/// How long an answer about this host's networks is good for: asking costs more than a boot script.
const FRESH: Duration = Duration::from_millis(500);

/// This host's networks.
fn networks() -> Arc<Vec<Network>> {
    static KNOWN: Mutex<Option<(Instant, Arc<Vec<Network>>)>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((asked, networks)) if asked.elapsed() < FRESH => networks.clone(),
        _ => {
            let networks = Arc::new(ask());
            *known = Some((Instant::now(), networks.clone()));
            networks
        }
    }
}

fn ask() -> Vec<Network> {
    let ipv4 = |of: Option<SockaddrStorage>| Some(of?.as_sockaddr_in()?.ip());
    let Ok(addresses) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    addresses
        .filter_map(|a| {
            Some(Network {
                own: ipv4(a.address)?,
                mask: ipv4(a.netmask)?,
                // An address with a label appears under it (`eth0:1`).
                device: a.interface_name.split(':').next()?.to_string(),
            })
        })
        .collect()
}

fn on(socket: &UdpSocket, interface: &str, ip: Ipv4Addr) -> Option<MacAddr> {
    #[expect(
        unsafe_code,
        reason = "the kernel's structure has no other constructor"
    )]
    // SAFETY: an `arpreq` of zeros is valid; every field is plain data.
    let mut request: libc::arpreq = unsafe { std::mem::zeroed() };
    request.arp_pa.sa_family = libc::AF_INET as libc::sa_family_t;
    for (to, from) in request.arp_pa.sa_data[2..6].iter_mut().zip(ip.octets()) {
        *to = from as libc::c_char;
    }
    let room = request.arp_dev.len() - 1;
    for (to, from) in request.arp_dev[..room].iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    #[expect(unsafe_code, reason = "there is no safe call for SIOCGARP")]
    // SAFETY: the descriptor is open, and SIOCGARP reads and writes one `arpreq`, which is alive.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGARP, &raw mut request) };
    let complete = result == 0
        && request.arp_flags & libc::ATF_COM != 0
        && request.arp_ha.sa_family == libc::ARPHRD_ETHER;
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(request.arp_ha.sa_data) {
        *to = from as u8;
    }
    complete.then_some(MacAddr(mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_answers_for_an_address_that_no_network_has() {
        assert_eq!(neighbour(Ipv4Addr::LOCALHOST), None);
        assert_eq!(neighbour(Ipv4Addr::new(192, 0, 2, 77)), None);
    }
}
