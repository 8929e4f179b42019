//! An ARP entry for a client that cannot answer ARP yet.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

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
