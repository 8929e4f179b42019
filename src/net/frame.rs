//! Datagrams put straight onto the wire, past routing and ARP, and read from it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::model::MacAddr;

/// A packet socket of one interface. Needs CAP_NET_RAW.
#[derive(Debug)]
pub(super) struct RawSocket {
    socket: Socket,
    interface: u32,
}

impl RawSocket {
    /// One that only sends.
    pub(super) fn sender(interface: u32) -> io::Result<RawSocket> {
        // protocol 0: nothing is queued for reading
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        Ok(RawSocket { socket, interface })
    }

    /// One that also receives every IPv4 packet of the interface.
    pub(super) fn listener(interface: u32, patience: Duration) -> io::Result<RawSocket> {
        let protocol = i32::from((libc::ETH_P_IP as u16).to_be());
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(protocol)))?;
        socket.set_read_timeout(Some(patience))?;
        let raw = RawSocket { socket, interface };
        let address = raw.link(MacAddr([0; 6]));
        #[expect(
            unsafe_code,
            reason = "socket2 has no constructor for packet addresses"
        )]
        // SAFETY: the address is a whole `sockaddr_ll`, alive for the call, with its true size.
        let result = unsafe {
            libc::bind(
                raw.socket.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(raw)
    }

    /// Sends one UDP datagram to a hardware address.
    pub(super) fn send(
        &self,
        from: SocketAddrV4,
        to: SocketAddrV4,
        mac: MacAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        let packet = packet(from, to, payload)?;
        let address = self.link(mac);
        #[expect(
            unsafe_code,
            reason = "socket2 has no constructor for packet addresses"
        )]
        // SAFETY: packet and address are alive for the call and passed with their true sizes.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Waits for the next packet; none if there was none in time.
    pub(super) fn receive(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        match io::Read::read(&mut &self.socket, room) {
            Ok(length) => Ok(Some(length)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn link(&self, mac: MacAddr) -> libc::sockaddr_ll {
        let mut address = [0; 8];
        address[..6].copy_from_slice(&mac.0);
        libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_IP as u16).to_be(),
            // an interface number is a positive int in the kernel
            sll_ifindex: self.interface as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: address,
        }
    }
}

/// An IPv4 packet with a UDP datagram.
fn packet(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> io::Result<Vec<u8>> {
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "the datagram is too long");
    let total = u16::try_from(28 + payload.len()).map_err(too_long)?;
    let mut out = Vec::with_capacity(usize::from(total));
    out.extend_from_slice(&[0x45, 0]);
    out.extend_from_slice(&total.to_be_bytes());
    // no identification, do not fragment, 64 hops, UDP, checksum to come
    out.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
    out.extend_from_slice(&from.ip().octets());
    out.extend_from_slice(&to.ip().octets());
    let sum = checksum(&[&out]);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    let length = total - 20;
    let mut udp = Vec::with_capacity(8);
    udp.extend_from_slice(&from.port().to_be_bytes());
    udp.extend_from_slice(&to.port().to_be_bytes());
    udp.extend_from_slice(&length.to_be_bytes());
    udp.extend_from_slice(&[0, 0]);
    let pseudo = [&out[12..20], &[0, 17], &length.to_be_bytes()].concat();
    // zero would mean that there is no checksum (RFC 768)
    let sum = match checksum(&[&pseudo, &udp, payload]) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&udp);
    out.extend_from_slice(payload);
    Ok(out)
}

/// RFC 1071, over parts of which all but the last have even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    // folded above, so it fits
    !(sum as u16)
}

/// The payload of an unfragmented UDP datagram to this port, and where it came from.
pub(super) fn udp_to(packet: &[u8], port: u16) -> Option<(Ipv4Addr, &[u8])> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff;
    if packet.first()? >> 4 != 4 || header < 20 || *packet.get(9)? != 17 || fragment != 0 {
        return None;
    }
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let udp = packet.get(header..)?;
    if *udp.get(2..4)? != port.to_be_bytes() {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([*udp.get(4)?, *udp.get(5)?]));
    Some((source.into(), udp.get(8..length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_adds_up_and_is_read_again() {
        let from = "10.77.0.1:67".parse().expect("an address");
        let to = "10.77.0.11:68".parse().expect("an address");
        for payload in [&b"odd"[..], b"even", b""] {
            let built = packet(from, to, payload).expect("short");
            assert_eq!(checksum(&[&built[..20]]), 0);
            let length = u16::try_from(built.len() - 20)
                .expect("short")
                .to_be_bytes();
            let pseudo = [&built[12..20], &[0, 17], &length].concat();
            assert_eq!(checksum(&[&pseudo, &built[20..]]), 0);
            assert_eq!(udp_to(&built, 68), Some((*from.ip(), payload)));
            assert_eq!(udp_to(&built, 67), None);
            for cut in 0..built.len() {
                assert_eq!(udp_to(&built[..cut], 68), None);
            }
        }
        assert!(packet(from, to, &[0; 65_535]).is_err());
    }
}
