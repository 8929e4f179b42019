//! RELEASE and DECLINE are only heard from owners.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::super::testing::*;
use super::super::{LeaseTable, Silence};
use crate::model::{LeaseState, UnknownAction};

fn leased() -> (Rig, Ipv4Addr) {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let ip = rig.send(&discover(DB01, &[])).ip();
    let ack = rig.send(&packet(3, DB01, &[(54, &SERVER), (50, &ip.octets())]));
    assert_eq!(ack.word, "commit");
    (rig, ip)
}

#[test]
fn release_by_the_owner_from_its_address() {
    let (mut rig, ip) = leased();
    let release = |mac: &str, ip: Ipv4Addr| with(packet(7, mac, &[(54, &SERVER)]), 12, ip.octets());
    rig.source = SocketAddrV4::new(ip, 68);
    assert_eq!(
        rig.send(&release(STRANGER, ip)).silence,
        Some(Silence::NotOwner)
    );
    rig.source = SocketAddrV4::new([10, 77, 0, 66].into(), 68);
    assert_eq!(
        rig.send(&release(DB01, ip)).silence,
        Some(Silence::NotOwner),
        "spoofed"
    );
    assert!(rig.table.holder(ip, rig.now).is_some());
    rig.source = SocketAddrV4::new(ip, 68);
    let seen = rig.send(&release(DB01, ip));
    let lease = seen.lease.expect("a record");
    assert_eq!((seen.word, lease.state), ("record", LeaseState::Released));
    assert_eq!(rig.table.holder(ip, rig.now), None);
    // still its own for as long as nobody needs it
    assert_eq!(
        rig.send(&discover(STRANGER, &[])).ip(),
        Ipv4Addr::new(10, 77, 0, 101)
    );
    assert_eq!(rig.send(&discover(DB01, &[])).ip(), ip);
}

#[test]
fn a_reservation_is_never_released() {
    let mut rig = Rig::new();
    rig.source = SocketAddrV4::new([10, 77, 0, 11].into(), 68);
    let release = with(packet(7, WEB01, &[]), 12, [10, 77, 0, 11]);
    assert_eq!(rig.send(&release).silence, Some(Silence::Reserved));
    assert_eq!(
        rig.send(&discover(WEB01, &[])).ip(),
        Ipv4Addr::new(10, 77, 0, 11)
    );
}

#[test]
fn decline_quarantines() {
    let (mut rig, ip) = leased();
    let decline = |mac: &str| packet(4, mac, &[(54, &SERVER), (50, &ip.octets())]);
    assert_eq!(
        rig.send(&decline(STRANGER)).silence,
        Some(Silence::NotOwner)
    );
    let seen = rig.send(&decline(DB01));
    assert_eq!(seen.lease.map(|l| l.state), Some(LeaseState::Declined));
    assert_eq!(
        rig.send(&decline(DB01)).silence,
        Some(Silence::NotOwner),
        "only once"
    );
    let next = rig.send(&discover(DB01, &[(50, &ip.octets())])).ip();
    assert_eq!(next, Ipv4Addr::new(10, 77, 0, 101));
    // for an hour
    let mac = |n: u8| format!("52:54:00:00:02:{n:02x}");
    for n in 0..2 {
        assert_eq!(rig.send(&discover(&mac(n), &[])).word, "offer");
    }
    assert_eq!(rig.send(&discover(&mac(7), &[])).word, "silent");
    rig.wait(3601);
    let mut given: Vec<Ipv4Addr> = (10..14)
        .map(|n| rig.send(&discover(&mac(n), &[])).ip())
        .collect();
    given.sort();
    assert_eq!(given[0], ip);
}

#[test]
fn a_decline_that_could_not_be_committed_stays_declined() {
    let (mut rig, ip) = leased();
    let request = packet(3, DB01, &[(54, &SERVER), (50, &ip.octets())]);
    let granted = rig.send(&request).granted.expect("granted");
    let decline = packet(4, DB01, &[(54, &SERVER), (50, &ip.octets())]);
    assert_eq!(rig.send(&decline).word, "record");
    // the renewal before it failed; the decline itself is never undone
    rig.table.uncommitted(&granted, rig.now);
    assert_eq!(rig.table.holder(ip, rig.now), None);
    let next = rig.send(&discover(DB01, &[(50, &ip.octets())])).ip();
    assert_ne!(next, ip);
}

#[test]
fn a_relayed_release_comes_from_the_relay() {
    let (mut rig, ip) = leased();
    let relay = [10, 77, 0, 2];
    let release = with(packet(7, DB01, &[(54, &SERVER)]), 12, ip.octets());
    let release = with(release, 24, relay);
    rig.source = SocketAddrV4::new([10, 77, 0, 66].into(), 67);
    assert_eq!(rig.send(&release).silence, Some(Silence::NotOwner));
    assert!(rig.table.holder(ip, rig.now).is_some());
    rig.source = SocketAddrV4::new(relay.into(), 67);
    assert_eq!(rig.send(&release).word, "record");
}

#[test]
fn a_client_that_declines_everything_does_not_empty_the_pool() {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    rig.site.subnets = vec![subnet(
        "10.77.0.0/24",
        Some(([10, 77, 0, 100], [10, 77, 0, 199])),
    )];
    let mut declined = 0;
    for _ in 0..20 {
        let ip = rig.send(&discover(DB01, &[])).ip();
        if !ip.is_unspecified() {
            rig.send(&packet(4, DB01, &[(54, &SERVER), (50, &ip.octets())]));
            declined += 1;
        }
    }
    assert_eq!(declined, 5);
    assert_eq!(rig.send(&discover(STRANGER, &[])).word, "offer");
}

#[test]
fn a_declined_reservation_waits_in_the_pool_for_an_hour() {
    let own = Ipv4Addr::new(10, 77, 0, 11);
    let waiting = Ipv4Addr::new(10, 77, 0, 100);
    let decline = packet(4, WEB01, &[(54, &SERVER), (50, &own.octets())]);
    let declined = || {
        let mut rig = Rig::new();
        let seen = rig.send(&decline);
        assert_eq!(
            (seen.word, seen.silence),
            ("record", Some(Silence::Conflict))
        );
        (rig, seen.lease.expect("a record"))
    };
    let (mut rig, record) = declined();
    assert_eq!((record.ip, record.state), (own, LeaseState::Declined));
    assert_eq!(rig.send(&decline).word, "silent", "it is no news");
    assert_eq!(rig.send(&discover(WEB01, &[])).ip(), waiting);
    rig.table = LeaseTable::load([record]);
    let offer = rig.send(&discover(WEB01, &[])).ip();
    assert_eq!(offer, waiting, "after a restart too");
    rig.wait(3601);
    assert_eq!(rig.send(&discover(WEB01, &[])).ip(), own);

    // whoever is at work there is not sent away
    let (mut rig, _) = declined();
    let renewal = with(packet(3, WEB01, &[]), 12, own.octets());
    assert_eq!(rig.send(&renewal).word, "ack");
    assert_eq!(rig.send(&discover(WEB01, &[])).ip(), own);

    // and without a pool there is nothing else to offer
    let (mut rig, _) = declined();
    rig.site.subnets[0].pool.clear();
    assert_eq!(rig.send(&discover(WEB01, &[])).ip(), own);
}

#[test]
fn choosing_another_server_frees_the_offer() {
    let mut rig = Rig::new();
    rig.site.unknown = UnknownAction::Local;
    let ip = rig.send(&discover(DB01, &[])).ip();
    let seen = rig.send(&packet(
        3,
        DB01,
        &[(54, &[10, 77, 0, 9]), (50, &[10, 77, 0, 60])],
    ));
    assert_eq!(seen.silence, Some(Silence::OtherServer));
    assert_eq!(rig.send(&discover(STRANGER, &[])).ip(), ip);
}
