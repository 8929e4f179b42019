//! ARP entries: one for a client that cannot answer ARP yet, and who answers at an address.

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

/// The hardware address that answers ARP for this address, as the kernel knows it: of a host that a
/// connection is open with and that is on one of this host's own networks, always.
pub fn neighbour(ip: Ipv4Addr) -> Option<MacAddr> {
    find(&std::fs::read_to_string("/proc/net/arp").ok()?, ip)
}

/// Reads `/proc/net/arp`: IP address, hardware type, flags, hardware address, mask, device. Only
/// complete entries (ATF_COM) count.
fn find(table: &str, ip: Ipv4Addr) -> Option<MacAddr> {
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        if words.next()?.parse() != Ok(ip) {
            return None;
        }
        let flags = words.nth(1)?.strip_prefix("0x")?;
        let flags = libc::c_int::from_str_radix(flags, 16).ok()?;
        let mac = words.next()?.parse().ok()?;
        (flags & libc::ATF_COM != 0).then_some(mac)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_entries_of_the_kernels_table() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
             10.77.0.5        0x1         0x2         52:54:00:00:00:05     *        br0\n\
             10.77.0.6        0x1         0x0         00:00:00:00:00:00     *        br0\n";
        let of = |last| find(table, Ipv4Addr::new(10, 77, 0, last));
        assert_eq!(of(5), "52:54:00:00:00:05".parse().ok());
        assert_eq!((of(6), of(7)), (None, None));
    }
}
