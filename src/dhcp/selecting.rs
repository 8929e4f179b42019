//! REQUEST: the client takes an offer, comes back after a restart, or renews.
//!
//! A wrong NAK takes another server's clients off the net, so one is sent only to a machine that
//! means this server, or for which this server knows a better address. To a stranger: silence.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;

use super::conversation::{Outcome, Silence, Turn};
use super::reply::{Parts, compose};
use crate::dhcp::allocate::later;
use crate::model::Subnet;

/// Which kind of REQUEST this is (RFC 2131 section 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It takes this server's offer.
    Selecting,
    /// It remembers an address from before its restart.
    InitReboot,
    /// It has an address and wants to keep it.
    Renewing,
}

pub(super) fn answer<'a>(turn: &mut Turn<'a, '_, '_>) -> Outcome<'a> {
    let request = turn.request;
    let state = match (request.server, request.ciaddr) {
        (_, Some(_)) => State::Renewing,
        (Some(_), None) => State::Selecting,
        (None, None) => State::InitReboot,
    };
    if let Some(id) = request.server
        && !turn.place.is_me(id, request, turn.site)
    {
        turn.table.forgo(request.mac);
        return Outcome::Silent(Silence::OtherServer);
    }
    if turn.subnets().next().is_none() {
        return Outcome::Silent(Silence::NoSubnet);
    }
    let wanted = request.ciaddr.or(request.requested);
    match turn.reservation() {
        Some((ip, subnet)) => reserved(turn, state, wanted, ip, subnet),
        None => pooled(turn, state, wanted),
    }
}

/// The client has a reservation on this link. Nothing needs committing: the site says it all.
fn reserved<'a>(
    turn: &mut Turn<'a, '_, '_>,
    state: State,
    wanted: Option<Ipv4Addr>,
    ip: Ipv4Addr,
    subnet: &'a Subnet,
) -> Outcome<'a> {
    // Some clients name no address at all; they get theirs (as from Kea).
    let wanted = wanted.unwrap_or(ip);
    if wanted == ip {
        let expires = later(turn.now, subnet.lease);
        turn.table.acknowledged(turn.request.mac, ip, expires);
        return Outcome::Reply(turn.reply(MessageType::Ack, ip, subnet));
    }
    // The reservation is newer than its lease: it keeps that until it restarts, for a NAK would
    // take an installer's address away in the middle of its work.
    if state == State::Renewing && turn.table.is_holder(turn.request.mac, wanted) {
        let outcome = pooled(turn, state, Some(wanted));
        if matches!(outcome, Outcome::Commit(..)) {
            return outcome;
        }
    }
    nak(turn)
}

fn pooled<'a>(turn: &mut Turn<'a, '_, '_>, state: State, wanted: Option<Ipv4Addr>) -> Outcome<'a> {
    let request = turn.request;
    let Some(subnet) = turn.pool(wanted) else {
        return Outcome::Silent(Silence::NoRecord);
    };
    let ask = turn.ask(subnet);
    let known = turn.table.known(&ask);
    let Some(ip) = wanted.or(known) else {
        return Outcome::Silent(Silence::NoRecord);
    };
    if state == State::InitReboot && !turn.table.is_holder(request.mac, ip) {
        // Silence unless a record says otherwise (RFC 2131 section 4.3.2).
        let bound = known.is_some_and(|k| k != ip && turn.table.is_holder(request.mac, k));
        return if bound {
            nak(turn)
        } else {
            Outcome::Silent(Silence::NoRecord)
        };
    }
    match turn.table.request(&ask, ip, request.hostname()) {
        Ok(granted) => {
            let reply = turn.reply(MessageType::Ack, ip, subnet);
            Outcome::Commit(granted, reply)
        }
        Err(None) if state == State::Renewing => {
            Outcome::Silent(match turn.table.is_holder(request.mac, ip) {
                true => Silence::Superseded,
                false => Silence::NoRecord,
            })
        }
        Err(_) => nak(turn),
    }
}

fn nak<'a>(turn: &Turn<'a, '_, '_>) -> Outcome<'a> {
    let subnet = turn.subnets().next();
    Outcome::Reply(compose(
        turn.request,
        Parts {
            kind: MessageType::Nak,
            server: turn.place.server(subnet),
            address: None,
            subnet: None,
            lease: None,
            name: None,
            boot: None,
            proxy: false,
        },
    ))
}
