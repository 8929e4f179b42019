//! An address is reserved while another machine has it by lease: never two machines at one address.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::super::Silence;
use super::super::testing::*;
use crate::model::LeaseState;

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
