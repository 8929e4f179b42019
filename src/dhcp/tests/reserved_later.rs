//! An address is reserved while another machine has it by lease: never two machines at one address.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::super::testing::*;
use super::super::{LeaseTable, Silence};
use crate::model::{Digest, Lease, LeaseState, MacAddr};

const IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const NEW: &str = "52:54:00:00:00:03";

/// `db01` has the first pool address by lease, and then it is reserved for `new01`.
fn reserved_under_it() -> Rig {
    let mut rig = Rig::new();
    lease(&mut rig, DB01, IP);
    rig.add("new01", NEW, Some(IP.octets()));
    rig
}

fn lease(rig: &mut Rig, mac: &str, expected: Ipv4Addr) {
    let offer = rig.send(&discover(mac, &[]));
    assert_eq!((offer.word, offer.ip()), ("offer", expected));
    let chosen = expected.octets();
    let ack = rig.send(&packet(3, mac, &[(54, &SERVER), (50, &chosen)]));
    assert_eq!(ack.ip(), expected);
}

fn renewal(mac: &str, ip: Ipv4Addr) -> Vec<u8> {
    with(packet(3, mac, &[]), 12, ip.octets())
}

/// A REQUEST that takes this server's offer.
fn take(mac: &str, ip: Ipv4Addr) -> Vec<u8> {
    packet(3, mac, &[(54, &SERVER), (50, &ip.octets())])
}

fn of(mac: &str) -> Option<MacAddr> {
    Some(mac.parse().expect("a mac"))
}

fn told(records: &[Lease]) -> Vec<(Ipv4Addr, Option<MacAddr>, LeaseState)> {
    let told = records.iter().map(|l| (l.ip, Some(l.mac), l.state));
    told.collect()
}

#[test]
fn the_owner_waits_in_the_pool_until_the_lease_ends() {
    let mut rig = reserved_under_it();
    let waiting = Ipv4Addr::new(10, 77, 0, 101);
    lease(&mut rig, NEW, waiting);
    // asked for by name it is not given either
    let asked = rig.send(&packet(3, NEW, &[(54, &SERVER), (50, &IP.octets())]));
    assert_eq!(asked.word, "nak");
    // nor is it taken from its holder, which may be in the middle of an installation
    let renewed = rig.send(&renewal(DB01, IP));
    assert_eq!(renewed.silence, Some(Silence::Superseded));
    rig.wait(3601);
    let offer = rig.send(&discover(NEW, &[]));
    assert_eq!((offer.word, offer.ip()), ("offer", IP));
    assert_ne!(rig.send(&discover(DB01, &[])).ip(), IP);
}

#[test]
fn it_is_free_as_soon_as_its_holder_takes_another() {
    let mut rig = reserved_under_it();
    // the holder restarts: it remembers its address, is refused, and takes another
    let init_reboot = packet(3, DB01, &[(50, &IP.octets())]);
    assert_eq!(rig.send(&init_reboot).word, "nak");
    lease(&mut rig, DB01, Ipv4Addr::new(10, 77, 0, 101));
    assert_eq!(rig.table.holder(IP, rig.now), None);
    lease(&mut rig, NEW, IP);
}

#[test]
fn its_holder_may_give_it_back_or_decline_it() {
    let mut rig = reserved_under_it();
    rig.source = SocketAddrV4::new(IP, 68);
    let release = with(packet(7, DB01, &[(54, &SERVER)]), 12, IP.octets());
    let released = rig.send(&release);
    assert_eq!(
        released.lease.expect("a record").state,
        LeaseState::Released
    );
    assert_eq!(rig.send(&discover(NEW, &[])).ip(), IP);

    let mut rig = reserved_under_it();
    let decline = packet(4, DB01, &[(54, &SERVER), (50, &IP.octets())]);
    let declined = rig.send(&decline).lease.expect("a record");
    assert_eq!(declined.state, LeaseState::Declined);
}

#[test]
fn without_a_pool_its_owner_is_told_nothing_and_an_operator_why() {
    let mut rig = reserved_under_it();
    rig.site.subnets[0].pool.clear();
    let silence = rig.send(&discover(NEW, &[])).silence;
    assert_eq!(silence, Some(Silence::Taken));
    let text = Silence::Taken.to_string();
    assert!(text.contains("leased to another machine"), "{text}");
    rig.wait(3601);
    assert_eq!(rig.send(&discover(NEW, &[])).ip(), IP);
}

const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const NEXT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
const WEB02: &str = "52:54:00:00:00:04";

/// `web01` was acknowledged its address, and then another was reserved for it.
fn moved() -> Rig {
    let mut rig = Rig::new();
    let ack = rig.send(&take(WEB01, OWN));
    assert_eq!((ack.word, ack.ip()), ("ack", OWN));
    rig.site.by_ip.remove(&OWN);
    rig.add("web01", WEB01, Some(NEXT.octets()));
    rig.site.revision = Digest::of(b"another");
    rig
}

#[test]
fn an_address_that_is_reserved_for_another_is_its_machines_until_its_lease_ends() {
    let mut rig = moved();
    rig.add("web02", WEB02, Some(OWN.octets()));
    let waiting = Ipv4Addr::new(10, 77, 0, 100);
    let offer = rig.send(&discover(WEB02, &[]));
    assert_eq!((offer.word, offer.ip()), ("offer", waiting));
    assert_eq!(rig.table.holder(OWN, rig.now), of(WEB01));
    let record = (OWN, of(WEB01), LeaseState::Bound);
    assert_eq!(told(&offer.records), [record], "the site says it no more");
    rig.table = LeaseTable::load(offer.records);
    assert_eq!(rig.send(&discover(WEB02, &[])).ip(), waiting, "a restart");
    let renewed = rig.send(&renewal(WEB01, OWN));
    assert_eq!(renewed.silence, Some(Silence::Superseded), "not refused");
    // past its end it is asked whether it is there still
    rig.wait(3601);
    for message in [discover(WEB02, &[]), take(WEB02, OWN)] {
        assert_eq!(rig.send_once(&message).check, Some(OWN));
        let again = rig.send_once(&message).silence;
        assert_eq!(again, Some(Silence::Checking));
        assert_eq!(rig.table.last_holder(OWN), of(WEB01));
        let left = rig.table.checked(OWN, true, rig.now).expect("a record");
        assert_eq!(told(&[left]), [record]);
        assert_eq!(rig.table.holder(OWN, rig.now), of(WEB01));
        assert_eq!(rig.send(&discover(WEB02, &[])).ip(), waiting);
        rig.wait(3601);
    }
    assert_eq!(rig.send(&discover(WEB02, &[])).ip(), OWN);
    assert_eq!(rig.table.last_holder(OWN), None);
    let ack = rig.send(&take(WEB02, OWN));
    assert_eq!(ack.word, "ack");
    let record = (OWN, of(WEB02), LeaseState::Bound);
    assert_eq!(told(&ack.records), [record]);
    // it is its own from then on, also for a server that was restarted
    assert_eq!(rig.send_once(&discover(WEB02, &[])).ip(), OWN);
    rig.table = LeaseTable::load(ack.records);
    assert_eq!(rig.send_once(&discover(WEB02, &[])).ip(), OWN);
}

#[test]
fn what_its_owner_finds_there_by_arp_is_left_alone_too() {
    let mut rig = reserved_under_it();
    rig.wait(3601);
    assert_eq!(rig.send(&discover(NEW, &[])).ip(), IP);
    let declined = rig.send(&packet(4, NEW, &[(54, &SERVER), (50, &IP.octets())]));
    assert_eq!(declined.silence, Some(Silence::Conflict));
    let record = declined.lease.expect("a record");
    assert_eq!(told(&[record]), [(IP, of(DB01), LeaseState::Bound)]);
    assert_eq!(rig.table.holder(IP, rig.now), of(DB01));
    assert_ne!(rig.send(&discover(NEW, &[])).ip(), IP);
}

#[test]
fn a_machine_keeps_the_address_that_was_reserved_for_it_until_it_restarts() {
    let mut rig = moved();
    let renewed = rig.send(&renewal(WEB01, OWN));
    assert_eq!((renewed.word, renewed.ip()), ("commit", OWN));
    // then it has the new one, and the old one no more
    assert_eq!(rig.send(&discover(WEB01, &[])).ip(), NEXT);
    let ack = rig.send(&take(WEB01, NEXT));
    let left = (OWN, of(WEB01), LeaseState::Released);
    assert_eq!((ack.word, told(&ack.records)), ("ack", vec![left]));
    assert_eq!(rig.table.holder(OWN, rig.now), None);
    assert_eq!(rig.table.holder(NEXT, rig.now), of(WEB01));
}

#[test]
fn an_interface_that_was_replaced_keeps_its_machine_waiting_no_longer_than_a_ping() {
    let mut rig = Rig::new();
    assert_eq!(rig.send(&take(WEB01, OWN)).word, "ack");
    rig.site
        .by_mac
        .remove(&WEB01.parse::<MacAddr>().expect("a mac"));
    rig.add("web01", WEB02, Some(OWN.octets()));
    rig.site.revision = Digest::of(b"another");
    assert_eq!(rig.send_once(&discover(WEB02, &[])).check, Some(OWN));
    rig.table.checked(OWN, false, rig.now);
    assert_eq!(rig.send_once(&discover(WEB02, &[])).ip(), OWN);
}

#[test]
fn what_is_given_up_for_another_address_stays_so_after_a_restart() {
    // reserved for another
    let mut rig = reserved_under_it();
    let second = Ipv4Addr::new(10, 77, 0, 101);
    assert_eq!(rig.send(&discover(DB01, &[])).ip(), second);
    let ack = rig.send(&take(DB01, second));
    let left = (IP, of(DB01), LeaseState::Released);
    assert_eq!(told(&ack.records), [left]);
    rig.table = LeaseTable::load(ack.records.into_iter().chain(ack.lease));
    assert_eq!(rig.table.holder(IP, rig.now), None);
    assert_eq!(rig.table.holder(second, rig.now), of(DB01));

    // one of the pool, for its own
    let mut rig = Rig::new();
    lease(&mut rig, DB01, IP);
    rig.add("db01", DB01, Some(NEXT.octets()));
    rig.site.revision = Digest::of(b"another");
    let renewed = rig.send(&renewal(DB01, IP));
    assert_eq!((renewed.word, told(&renewed.records)), ("commit", vec![]));
    let ack = rig.send(&take(DB01, NEXT));
    assert_eq!((ack.word, told(&ack.records)), ("ack", vec![left]));
}
