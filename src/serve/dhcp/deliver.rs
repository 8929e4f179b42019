//! Sending: an ARP entry, else a frame, else everyone.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering;

use super::batch::Letter;
use super::running::Shared;
use crate::dhcp::{Destination, Place};
use crate::model::MacAddr;
use crate::net::{DhcpSocket, Outgoing};

/// The port that clients listen on (RFC 2131 section 4.1).
const CLIENT: u16 = 68;

/// Sends all of them and says which addresses were acknowledged.
pub(super) fn deliver(shared: &Shared, socket: &DhcpSocket, place: &Place, letters: Vec<Letter>) {
    let mut list: Vec<Outgoing> = Vec::with_capacity(letters.len());
    let mut fresh: Vec<Option<MacAddr>> = Vec::with_capacity(letters.len());
    let mut told = Vec::new();
    let count = letters.len() as u64;
    for letter in letters {
        let (to, mac) = match letter.to {
            Destination::Address(to) => (to, None),
            Destination::Broadcast => (SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT), None),
            Destination::Fresh { ip, mac } => (SocketAddrV4::new(ip, CLIENT), Some(mac)),
        };
        told.extend(letter.told);
        let out = Outgoing {
            bytes: letter.bytes,
            to,
            from: letter.from,
        };
        match mac {
            Some(mac) if !place.here(*to.ip()) || socket.neighbour(*to.ip(), mac).is_err() => {
                past_arp(shared, socket, &out, mac);
            }
            _ => {
                list.push(out);
                fresh.push(mac);
            }
        }
    }
    let mut again = Vec::new();
    socket.send(&list, &mut |at, error| again.push((at, error)));
    for (at, error) in again {
        match fresh[at] {
            Some(mac) => past_arp(shared, socket, &list[at], mac),
            None => lost(shared, &list[at], &error),
        }
    }
    let counters = &shared.counters;
    counters.replied.fetch_add(count, Ordering::Relaxed);
    for event in told {
        shared.control.note(event);
    }
}

fn past_arp(shared: &Shared, socket: &DhcpSocket, out: &Outgoing, mac: MacAddr) {
    if socket.send_frame(out, mac).is_ok() {
        return;
    }
    let everyone = Outgoing {
        to: SocketAddrV4::new(Ipv4Addr::BROADCAST, out.to.port()),
        ..out.clone()
    };
    socket.send(&[everyone], &mut |_, error| lost(shared, out, &error));
}

fn lost(shared: &Shared, out: &Outgoing, error: &std::io::Error) {
    shared.counters.unsent.fetch_add(1, Ordering::Relaxed);
    if shared.gate.pass() {
        tracing::warn!(to = %out.to, "an answer could not be sent: {error}");
    }
}
