//! REQUEST: the client takes an offer, comes back after a restart, or renews.
//!
//! A wrong NAK takes another server's clients off the net, so one is sent only to a machine that
//! means this server, or for which this server knows a better address. To a stranger: silence.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;

use super::conversation::{Outcome, Silence, Turn};
use super::reply::{Parts, compose};
use crate::dhcp::allocate::{Offer, later};
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
    // The reservation is newer than its lease: it keeps that until it restarts, for a NAK would take
    // an installer's address away in the middle of its work.
    if state == State::Renewing
        && let Some((own, _)) = turn.declared()
        && let Some(ip) = wanted.filter(|ip| *ip != own)
        && let Some(outcome) = kept(turn, ip)
    {
        return outcome;
    }
    let reservation = match state {
        // It is at its address: what it found there before is over.
        State::Renewing => turn.owned(),
        State::Selecting | State::InitReboot => turn.reservation(),
    };
    match reservation {
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
    let mac = turn.request.mac;
    // Some clients name no address at all; they get theirs (as from Kea).
    let wanted = wanted.unwrap_or(ip);
    if wanted != ip {
        let holds = turn.table.holder(wanted, turn.now) == Some(mac);
        return match holds && state == State::Renewing {
            true => Outcome::Silent(unrenewed(turn, wanted)),
            false => nak(turn),
        };
    }
    // Who renews is there already, and would answer for itself.
    if state != State::Renewing {
        match turn.table.claim(mac, ip, turn.now) {
            Offer::Address(_) => {}
            Offer::Check(ip) => return Outcome::Check(ip),
            Offer::Checking(_) | Offer::Refused(_) => return Outcome::Silent(Silence::Checking),
        }
        let ask = turn.ask(subnet);
        turn.table.leave(&ask, ip);
    }
    let expires = later(turn.now, subnet.lease);
    turn.table.acknowledged(mac, ip, turn.now, expires);
    Outcome::Reply(turn.reply(MessageType::Ack, ip, subnet))
}

/// Renews what the client has by lease, unless it is promised to another machine by now.
fn kept<'a>(turn: &mut Turn<'a, '_, '_>, ip: Ipv4Addr) -> Option<Outcome<'a>> {
    let request = turn.request;
    let subnet = turn.subnets().find(|s| s.network.contains(&ip))?;
    let ask = turn.ask(subnet);
    let granted = turn.table.renew(&ask, ip, request.hostname())?;
    let reply = turn.reply(MessageType::Ack, ip, subnet);
    Some(Outcome::Commit(granted, reply))
}

/// Why a client that renews hears nothing: it is not to have its address for longer, and not to lose
/// it before its lease ends.
fn unrenewed(turn: &Turn<'_, '_, '_>, ip: Ipv4Addr) -> Silence {
    if !turn.table.is_holder(turn.request.mac, ip) {
        return Silence::NoRecord;
    }
    match turn.site.by_ip.contains_key(&ip) {
        true => Silence::Superseded,
        false => Silence::OutOfPool,
    }
}

fn pooled<'a>(turn: &mut Turn<'a, '_, '_>, state: State, wanted: Option<Ipv4Addr>) -> Outcome<'a> {
    let request = turn.request;
    let Some(subnet) = turn.pool(wanted) else {
        let silence = wanted.map_or(Silence::NoRecord, |ip| unrenewed(turn, ip));
        return Outcome::Silent(silence);
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
        Err(known) => {
            let holds = turn.table.holder(ip, turn.now) == Some(request.mac);
            match state == State::Renewing && (known.is_none() || holds) {
                true => Outcome::Silent(unrenewed(turn, ip)),
                false => nak(turn),
            }
        }
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
