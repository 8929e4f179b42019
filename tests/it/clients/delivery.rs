//! How an answer gets to a client without an address: past an ARP entry, else as a frame to its
//! hardware address, else to everyone. Which way is left is decided by what the server may do.

use std::io::Read;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use farrier::cli::demo::rack::{Host, Rack, RackError, SERVER, tools};
use farrier::model::MacAddr;
use socket2::{Domain, Protocol, Socket, Type};

use super::raw::{Asker, DISCOVER, Message, REQUEST};
use super::{Declared, Desk, udhcpc, value};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 3] = [
    tools::NETWORK,
    tools::CLIENTS,
    &[tools::Need {
        path: "/usr/bin/setpriv",
        package: "util-linux",
        why: "a server with fewer rights",
    }],
];
const WEB01: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const EVERYONE: MacAddr = MacAddr([0xff; 6]);

/// One frame from the server to a client's port, as it was on the wire.
#[derive(Debug)]
struct Frame {
    to: MacAddr,
    from: Ipv4Addr,
    ip: Ipv4Addr,
    identified: bool,
}

/// Everything that comes in on a host's interface.
struct Wire(Socket);

impl Wire {
    fn tap(host: &Host) -> Result<Wire, RackError> {
        host.namespace().inside(|| {
            let every = i32::from((libc::ETH_P_ALL as u16).to_be());
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(every)));
            Wire(socket.expect("a packet socket"))
        })
    }

    /// The answer to a message.
    fn answer(&mut self, number: [u8; 4]) -> Frame {
        let until = Instant::now() + Duration::from_secs(20);
        let mut room = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no answer to {number:?}");
            self.0.set_read_timeout(Some(left)).expect("a timeout");
            let Ok(length) = self.0.read(&mut room) else {
                continue;
            };
            let frame = &room[..length];
            // IPv4 without options, UDP from port 67 to port 68
            let dhcp = frame.get(12..15) == Some(&[8, 0, 0x45])
                && frame.get(23) == Some(&17)
                && frame.get(34..38) == Some(&[0, 67, 0, 68])
                && frame.get(46..50) == Some(&number);
            if !dhcp {
                continue;
            }
            let address =
                |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).expect("four"));
            return Frame {
                to: MacAddr(frame[..6].try_into().expect("six")),
                from: address(26),
                ip: address(30),
                identified: frame[18..20] != [0, 0],
            };
        }
    }
}

/// OFFER and ACK of a reservation, each with the frame that it came in.
fn converse(host: &Host) -> Result<[Frame; 2], RackError> {
    let mut wire = Wire::tap(host)?;
    let asker = Asker::everyone(host)?;
    let discover = asker.send(&Message::new(DISCOVER, host.mac()).unicast());
    let offer = wire.answer(discover);
    let request = Message::new(REQUEST, host.mac())
        .unicast()
        .wants(WEB01)
        .to(SERVER);
    let request = asker.send(&request);
    Ok([offer, wire.answer(request)])
}

/// What the server's kernel has for an address.
fn neighbour(desk: &Desk) -> Result<String, RackError> {
    let ip = WEB01.to_string();
    Ok(desk.rack.namespace().ip(&["neigh", "show", &ip])?.stdout)
}

fn rack() -> Result<(Rack, Host), RackError> {
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    Ok((rack, host))
}

fn web01(host: &Host) -> [Declared<'static>; 1] {
    [("web01", host.mac().to_string(), Some("10.77.0.11"))]
}

/// A client that others wrote takes it, checksums and all.
fn a_real_client_takes_it(desk: &Desk, host: &Host) -> Result<(), RackError> {
    let (out, told) = udhcpc(host, desk.rack.dir(), &[])?;
    assert!(out.ok(), "{}{}", out.stderr, desk.server.tail());
    assert_eq!(value(&told, "ip"), Some("10.77.0.11"));
    assert_eq!(desk.counter("dhcp.unsent")?, 0);
    Ok(())
}

#[test]
fn by_an_arp_entry() -> Result<(), RackError> {
    if !can_run("an ARP entry", &NEEDS, false) {
        return Ok(());
    }
    let (rack, host) = rack()?;
    let desk = Desk::on(rack, &web01(&host), "")?;
    for frame in converse(&host)? {
        assert_eq!(
            (frame.to, frame.from, frame.ip),
            (host.mac(), SERVER, WEB01)
        );
    }
    let entry = neighbour(&desk)?;
    assert!(entry.contains(&host.mac().to_string()), "{entry}");
    a_real_client_takes_it(&desk, &host)
}

#[test]
fn by_a_frame_where_no_arp_entry_can_be_made() -> Result<(), RackError> {
    if !can_run("a raw frame", &NEEDS, false) {
        return Ok(());
    }
    let (rack, host) = rack()?;
    let desk = Desk::without(rack, &web01(&host), &["net_admin"])?;
    for frame in converse(&host)? {
        assert_eq!(
            (frame.to, frame.from, frame.ip),
            (host.mac(), SERVER, WEB01)
        );
        assert!(
            !frame.identified,
            "made by the server, not by its kernel: {frame:?}"
        );
    }
    assert_eq!(
        neighbour(&desk)?.trim(),
        "",
        "no ARP entry, and nobody was asked"
    );
    a_real_client_takes_it(&desk, &host)
}

#[test]
fn by_broadcast_where_no_frame_can_be_made_either() -> Result<(), RackError> {
    if !can_run("the broadcast", &NEEDS, false) {
        return Ok(());
    }
    let (rack, host) = rack()?;
    let desk = Desk::without(rack, &web01(&host), &["net_admin", "net_raw"])?;
    for frame in converse(&host)? {
        let all = Ipv4Addr::BROADCAST;
        assert_eq!((frame.to, frame.from, frame.ip), (EVERYONE, SERVER, all));
    }
    a_real_client_takes_it(&desk, &host)
}
