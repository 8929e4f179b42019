//! A reply as bytes.
//!
//! The order is our own, because `dhcproto` sorts by code and firmware is particular: option 53
//! first (as Kea and dnsmasq do), the relay's 82 verbatim and last, END, and only then zeros up to
//! 300 bytes. Padding *before* END makes Raspberry Pis ignore a reply (raspberrypi/rpi-eeprom#82);
//! without any, relays drop it (opnsense/core#7744). Options 52 (overload) is never used.

use std::net::Ipv4Addr;

use dhcproto::v4::{MAGIC, MIN_PACKET_SIZE, OptionCode};

use super::reply::{Reply, Value};
use super::wire::HEADER;

/// Appends the reply to an empty buffer that may be used again.
pub fn encode(reply: &Reply<'_>, out: &mut Vec<u8>) {
    header(reply, out);
    option(out, OptionCode::MessageType, &[reply.kind.into()]);
    let relay = reply.relay.unwrap_or_default();
    // what must still go in: option 82 and END
    let kept = encoded(relay.len()) * usize::from(reply.relay.is_some()) + 1;
    let mut value = Vec::with_capacity(64);
    for (code, what) in &reply.options {
        value.clear();
        write(what, &mut value);
        if out.len() + encoded(value.len()) + kept <= reply.limit {
            option(out, *code, &value);
        }
    }
    if reply.relay.is_some() {
        option(out, OptionCode::RelayAgentInformation, relay);
    }
    out.push(OptionCode::End.into());
    if out.len() < MIN_PACKET_SIZE {
        out.resize(MIN_PACKET_SIZE, 0);
    }
}

fn header(reply: &Reply<'_>, out: &mut Vec<u8>) {
    out.resize(HEADER, 0);
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[2, 1, 6, 0]);
    put(4, &reply.xid.to_be_bytes());
    put(10, &reply.flags.to_be_bytes());
    let addresses = [reply.ciaddr, reply.yiaddr, reply.siaddr, reply.giaddr];
    for (at, address) in [12, 16, 20, 24].into_iter().zip(addresses) {
        put(at, &address.octets());
    }
    put(28, &reply.mac.0);
    if let Some(server) = reply.sname {
        put(44, server.to_string().as_bytes());
    }
    // The last byte of each field stays NUL; a longer URL is in option 67 alone.
    if let Some(file) = reply.file.as_deref().filter(|f| f.len() < 128) {
        put(108, file.as_bytes());
    }
    put(236, &MAGIC);
}

/// Bytes that a value of this length takes with its code and lengths.
fn encoded(length: usize) -> usize {
    length + 2 * length.div_ceil(255).max(1)
}

/// Writes an option; what is longer than 255 bytes is split (RFC 3396).
fn option(out: &mut Vec<u8>, code: OptionCode, value: &[u8]) {
    if value.is_empty() {
        out.extend_from_slice(&[code.into(), 0]);
    }
    for part in value.chunks(255) {
        // chunks are at most 255 long
        out.extend_from_slice(&[code.into(), part.len() as u8]);
        out.extend_from_slice(part);
    }
}

fn write(value: &Value<'_>, out: &mut Vec<u8>) {
    let mut address = |a: &Ipv4Addr| out.extend_from_slice(&a.octets());
    match value {
        Value::Address(a) => address(a),
        Value::Addresses(list) => list.iter().for_each(address),
        Value::Seconds(seconds) => out.extend_from_slice(&seconds.to_be_bytes()),
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Name(text, terminated) => {
            out.extend_from_slice(text.as_bytes());
            if *terminated {
                out.push(0);
            }
        }
    }
}
