//! Every message of RFC 2131 on the wire, from the one it belongs to and from others.

use std::net::Ipv4Addr;

use farrier::cli::demo::rack::{Patience, Rack, RackError, SERVER, tools, until};
use farrier::model::MacAddr;

use super::Desk;
use super::raw::{ACK, Asker, DECLINE, DISCOVER, INFORM, Message, NAK, OFFER, RELEASE, REQUEST};
use crate::rack::can_run;

const NEEDS: [&[tools::Need]; 1] = [tools::NETWORK];

/// The first two addresses of the pool.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);

/// Waits until a lease is recorded in this state.
fn recorded(desk: &Desk, ip: Ipv4Addr, state: &str) -> Result<(), RackError> {
    until(
        &format!("{ip} {state}"),
        Patience::seconds(20),
        || format!("{:?}{}", desk.leases(), desk.server.tail()),
        || {
            let found = desk
                .leases()?
                .into_iter()
                .any(|l| l.ip == ip && l.state == state);
            Ok(found.then_some(()))
        },
    )
}

#[test]
fn inform_is_told_everything_but_an_address() -> Result<(), RackError> {
    if !can_run("INFORM", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let desk = Desk::on(rack, &[("web01", host.mac().to_string(), None)], "")?;
    let own = [10, 77, 0, 50].into();
    host.address("10.77.0.50/24")?;
    let asker = Asker::from(&host, (own, 68), (SERVER, 67))?;
    let ack = asker.ask(&Message::new(INFORM, host.mac()).from(own));
    assert_eq!(ack.kind, ACK);
    assert!(ack.given.is_unspecified());
    assert_eq!(ack.option(1), Some(&[255, 255, 255, 0][..]));
    assert_eq!(ack.option(3), Some(&[10, 77, 0, 1][..]));
    assert_eq!(ack.text(12).as_deref(), Some("web01"));
    assert_eq!(ack.text(15).as_deref(), Some("lab.example"));
    for lease in [51, 58, 59] {
        assert_eq!(ack.option(lease), None, "option {lease}");
    }
    assert!(desk.leases()?.is_empty());
    // a machine that nobody declared
    let stranger = MacAddr([0x52, 0x54, 0, 9, 9, 9]);
    desk.stays_silent(&asker, &Message::new(INFORM, stranger).from(own))
}

#[test]
fn a_restarted_client_keeps_its_address() -> Result<(), RackError> {
    if !can_run("INIT-REBOOT", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let host = rack.host("client")?;
    let mac = |last| MacAddr([0x52, 0x54, 0, 1, 0, last]);
    let systems = [
        ("web01", mac(1).to_string(), Some("10.77.0.11")),
        ("web02", mac(2).to_string(), None),
        ("web03", mac(3).to_string(), None),
    ];
    let desk = Desk::on(rack, &systems, "")?;
    let asker = Asker::everyone(&host)?;
    let remembers = |last, ip: Ipv4Addr| Message::new(REQUEST, mac(last)).wants(ip);
    // a reservation
    let ip = [10, 77, 0, 11].into();
    let ack = asker.ask(&remembers(1, ip));
    assert_eq!((ack.kind, ack.given), (ACK, ip));
    assert_eq!(asker.ask(&remembers(1, [10, 77, 0, 12].into())).kind, NAK);
    assert_eq!(asker.ask(&remembers(1, [192, 168, 1, 7].into())).kind, NAK);
    // a lease
    assert_eq!(asker.lease(mac(2)), FIRST);
    let ack = asker.ask(&remembers(2, FIRST));
    assert_eq!((ack.kind, ack.given), (ACK, FIRST));
    assert_eq!(asker.ask(&remembers(2, SECOND)).kind, NAK);
    // no record: another server may know better (RFC 2131 section 4.3.2)
    desk.stays_silent(&asker, &remembers(3, SECOND))?;
    desk.stays_silent(&asker, &remembers(3, FIRST))?;
    desk.stays_silent(&asker, &remembers(3, [192, 168, 1, 7].into()))?;
    Ok(())
}

#[test]
fn only_the_holder_declines_and_the_address_is_set_aside() -> Result<(), RackError> {
    if !can_run("DECLINE", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (host, thief) = (rack.host("client")?, rack.host("thief")?);
    let systems = [
        ("web01", host.mac().to_string(), None),
        ("web02", thief.mac().to_string(), None),
    ];
    let mut desk = Desk::on(rack, &systems, "")?;
    let asker = Asker::everyone(&host)?;
    assert_eq!(asker.lease(host.mac()), FIRST);
    let decline = |mac| Message::new(DECLINE, mac).wants(FIRST).to(SERVER);
    desk.stays_silent(&Asker::everyone(&thief)?, &decline(thief.mac()))?;
    recorded(&desk, FIRST, "bound")?;

    asker.send(&decline(host.mac()));
    recorded(&desk, FIRST, "declined")?;
    assert_eq!(asker.lease(host.mac()), SECOND);
    // a power cut does not bring it back
    desk.server.kill();
    desk.server.up()?;
    recorded(&desk, FIRST, "declined")?;
    let next = Asker::everyone(&thief)?.lease(thief.mac());
    assert_eq!(next, Ipv4Addr::new(10, 77, 0, 102));
    Ok(())
}

#[test]
fn only_the_holder_releases() -> Result<(), RackError> {
    if !can_run("RELEASE", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (host, thief) = (rack.host("client")?, rack.host("thief")?);
    let systems = [
        ("web01", host.mac().to_string(), None),
        ("web02", thief.mac().to_string(), None),
        ("web03", "52:54:00:01:00:03".to_string(), Some("10.77.0.13")),
    ];
    let desk = Desk::on(rack, &systems, "")?;
    let holder = Asker::everyone(&host)?;
    assert_eq!(holder.lease(host.mac()), FIRST);
    let release = |mac, ip| Message::new(RELEASE, mac).from(ip).to(SERVER);
    // another machine, from its own address and from the holder's; and in the holder's name, from
    // another address
    thief.address("10.77.0.50/24")?;
    let own = Asker::from(&thief, ([10, 77, 0, 50].into(), 68), (SERVER, 67))?;
    desk.stays_silent(&own, &release(thief.mac(), FIRST))?;
    desk.stays_silent(&own, &release(host.mac(), FIRST))?;
    drop(own);
    thief.address(&format!("{FIRST}/24"))?;
    let spoofed = Asker::from(&thief, (FIRST, 68), (SERVER, 67))?;
    desk.stays_silent(&spoofed, &release(thief.mac(), FIRST))?;
    drop(spoofed);
    thief.no_address()?;
    recorded(&desk, FIRST, "bound")?;
    // the holder itself; a second time it is not its own any more
    drop(holder);
    host.address(&format!("{FIRST}/24"))?;
    let holder = Asker::from(&host, (FIRST, 68), (SERVER, 67))?;
    holder.send(&release(host.mac(), FIRST));
    recorded(&desk, FIRST, "released")?;
    desk.stays_silent(&holder, &release(host.mac(), FIRST))?;
    // a reservation is no one's to give back
    let reserved = MacAddr([0x52, 0x54, 0, 1, 0, 3]);
    desk.stays_silent(&holder, &release(reserved, [10, 77, 0, 13].into()))
}

#[test]
fn a_stranger_is_never_refused() -> Result<(), RackError> {
    if !can_run("no NAK for strangers", &NEEDS, false) {
        return Ok(());
    }
    for unknown in ["ignore", "local"] {
        let rack = Rack::new()?;
        let host = rack.host("stranger")?;
        let more = format!("[unknown]\naction = \"{unknown}\"\n");
        let desk = Desk::on(rack, &[], &more)?;
        let asker = Asker::everyone(&host)?;
        let request = || Message::new(REQUEST, host.mac());
        // of another network, of this one, of the pool; taking another server's offer
        for ip in [[192, 168, 1, 7], [10, 77, 0, 50], [10, 77, 0, 100]] {
            let ip = Ipv4Addr::from(ip);
            desk.stays_silent(&asker, &request().wants(ip))?;
            let other = [10, 77, 0, 9].into();
            desk.stays_silent(&asker, &request().wants(ip).to(other))?;
        }
        // renewing what another server gave
        desk.stays_silent(&asker, &request().from([10, 77, 0, 50].into()))?;
        desk.stays_silent(&asker, &request().from([192, 168, 1, 7].into()))?;
        let discover = Message::new(DISCOVER, host.mac());
        if unknown == "ignore" {
            desk.stays_silent(&asker, &discover)?;
        } else {
            assert_eq!(asker.ask(&discover).kind, OFFER);
        }
    }
    Ok(())
}

#[test]
fn an_address_that_is_leased_is_reserved_for_another() -> Result<(), RackError> {
    if !can_run("a reservation of a leased address", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let (holder, owner) = (rack.host("holder")?, rack.host("owner")?);
    let web01 = ("web01", holder.mac().to_string(), None);
    let desk = Desk::on(rack, &[web01], "")?;
    let asker = Asker::everyone(&holder)?;
    assert_eq!(asker.lease(holder.mac()), FIRST);
    let mac = owner.mac().to_string();
    let ip = format!("ip={FIRST}");
    let added = desk
        .server
        .farrier(&["add", "web02", &mac, "rescue", &ip])?;
    assert!(added.ok(), "{}", added.stderr);
    let warning = format!("warning: {FIRST} is leased to `web01` ({})", holder.mac());
    assert!(added.stderr.contains(&warning), "{}", added.stderr);
    assert!(desk.server.log().contains("is leased to `web01`"));
    // said when it is new, and not at every change after it
    let other = desk.server.farrier(&["set", "web02", "tags=x"])?;
    assert!(!other.stderr.contains("is leased"), "{}", other.stderr);

    let theirs = Asker::everyone(&owner)?;
    assert_eq!(theirs.lease(owner.mac()), SECOND, "until it is free");
    let renewal = Message::new(REQUEST, holder.mac()).from(FIRST);
    desk.stays_silent(&asker, &renewal)?;
    let why = desk.server.must(&["why", "web01"])?;
    assert!(
        why.contains("is reserved for another machine by now"),
        "{why}"
    );
    // the holder restarts
    let third = Ipv4Addr::new(10, 77, 0, 102);
    assert_eq!(asker.lease(holder.mac()), third);
    assert_eq!(theirs.lease(owner.mac()), FIRST);
    Ok(())
}
