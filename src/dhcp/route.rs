//! Where a reply goes (RFC 2131 section 4.1).

use std::net::{Ipv4Addr, SocketAddrV4};

use dhcproto::v4::{CLIENT_PORT, MessageType, SERVER_PORT};

use super::quirks;
use super::reply::Reply;
use super::request::Request;
use crate::model::{Door, MacAddr};

/// The way to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// An address that answers for itself: a relay, or a client that has one.
    Address(SocketAddrV4),
    /// A client on this wire that was just given its address and cannot answer ARP for it yet: an
    /// ARP entry is made for it, else a frame is sent straight to its hardware address, else it is
    /// broadcast.
    Fresh {
        /// Given just now.
        ip: Ipv4Addr,
        /// Where it really is.
        mac: MacAddr,
    },
    /// Everyone on this wire.
    Broadcast,
}

/// The way for this reply. `source` is where the request came from.
pub fn route(
    request: &Request<'_>,
    reply: &Reply<'_>,
    source: SocketAddrV4,
    door: Door,
) -> Destination {
    if let Some(relay) = request.giaddr {
        let port = if request.relay_says.source_port {
            source.port()
        } else {
            SERVER_PORT
        };
        return Destination::Address(SocketAddrV4::new(relay, port));
    }
    if reply.kind == MessageType::Nak {
        return Destination::Broadcast;
    }
    // PXE 2.1: port 4011 answers to where it was asked from.
    if door == Door::Proxy && !source.ip().is_unspecified() {
        return Destination::Address(source);
    }
    if let Some(own) = request.ciaddr {
        return Destination::Address(SocketAddrV4::new(own, CLIENT_PORT));
    }
    if request.broadcast() || quirks::effect(request).broadcast || reply.yiaddr.is_unspecified() {
        return Destination::Broadcast;
    }
    Destination::Fresh {
        ip: reply.yiaddr,
        mac: request.mac,
    }
}
