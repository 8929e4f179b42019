//! Which other DHCP servers answer on a wire.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::frame::{RawSocket, udp_to};
use super::interface::Interface;
use crate::dhcp::probe;
use crate::model::MacAddr;

pub use crate::dhcp::probe::OtherServer;

/// How long answers are waited for. Servers ping an address before they offer it the first time:
/// ISC's for one second, dnsmasq for three.
const PATIENCE: Duration = Duration::from_millis(5500);
/// How often is asked meanwhile: a packet may be lost, and what a server pinged is offered at once.
const AGAIN: Duration = Duration::from_secs(2);

/// Sends a DISCOVER from an invented hardware address and lists who answers. This server itself
/// does not, for it does not answer unknown machines unless told to; if it does, its answer leaves
/// this host and is not seen here. Takes five and a half seconds. Needs CAP_NET_RAW.
///
/// # Errors
/// If packets cannot be sent or read on this interface.
pub fn probe_dhcp(interface: &Interface) -> io::Result<Vec<OtherServer>> {
    let raw = RawSocket::listener(interface.index, Duration::from_millis(100))?;
    let random = *uuid::Uuid::new_v4().as_bytes();
    // locally administered, one machine's
    let mac = MacAddr([0x02, random[1], random[2], random[3], random[4], random[5]]);
    let xid = u32::from_be_bytes([random[10], random[11], random[12], random[13]]);
    let ask = probe::discover(mac, xid);
    let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
    let everyone = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
    let mut found: Vec<OtherServer> = Vec::new();
    let mut room = [0; 2048];
    let begun = Instant::now();
    let mut due = Duration::ZERO;
    while begun.elapsed() < PATIENCE {
        if begun.elapsed() >= due {
            raw.send(from, everyone, MacAddr([0xff; 6]), &ask)?;
            due += AGAIN;
        }
        let Some(length) = raw.receive(&mut room)? else {
            continue;
        };
        let answer = udp_to(&room[..length], 68)
            .and_then(|(source, payload)| probe::server(payload, source, xid));
        if let Some(server) = answer
            && !found.contains(&server)
        {
            found.push(server);
        }
    }
    Ok(found)
}
